"""The README of a bundle, made from `bundle.json` and from nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from kdray.distillation.card import trained_sentence

HEADER = """---
pipeline_tag: {pipeline_tag}
tags: [kdray, {format}]
---
# {title}

A {kind} exported by kdray {kdray} in the format `{format}`.
It reads {reads}, {max_length} tokens of a row at most. {meaning}

## Compared with the model it came from

| rows | model | this bundle | largest difference in logits | equal labels |
|---|---|---|---|---|
| {rows} {source} ({metric}) | {model_score:.4f} | {score:.4f} | {difference:.2g} | {labels} |

{edge_cases} edge cases (empty, one word, longest, unknown characters) are in the difference too, each alone and in a
batch; {edges} of these predictions have equal labels{counted}.
Measured on {processor} ({instructions}).
"""

TRIED = """
## What was tried

At most {tolerance:g} points of {metric} may be lost, and {least:g} % of the labels must be equal.
The first that passed was kept.

| quantization | {metric} | points lost | equal labels | MB | result |
|---|---|---|---|---|---|
{attempts}

int8 was measured on a processor {vnni} VNNI, with {bits}-bit weights. On processors without VNNI, 8-bit weights may
saturate and score lower: export with `--reduce-range` for them.
"""

ONNX_USE = """
## Use

```sh
pip install -r requirements.txt
python predict.py {example}
docker build -t classifier . && docker run --rm -i classifier < rows.jsonl
```

`predict.py` needs onnxruntime, tokenizers and numpy, and nothing else.
"""

HF_USE = """
## Use

{usage}
"""

CALIBRATED = """
Logits are divided by the temperature {temperature:.3f}, that of the smallest log-loss on {rows} {source}: log-loss
{log_loss[before]:.4f} before and {log_loss[after]:.4f} after, expected calibration error {ece[before]:.4f} and
{ece[after]:.4f}. These are the rows it was fitted on; new rows may score a little worse.
"""

PRUNED = """
It was trained on pruned texts: {how}
"""


def bundle_card(about: Mapping[str, Any]) -> str:
    """Markdown with a Hugging Face header. `about` is the document saved as bundle.json."""
    proof, machine, is_hf = about["proof"], about["machine"], about["format"] == "hf"
    of_tokens = about["task"] == "token_classification"
    text = HEADER.format(
        title=about["title"],
        kdray=about["versions"]["kdray"],
        format=about["format"],
        pipeline_tag="token-classification" if of_tokens else about.get("pipeline_tag", "text-classification"),
        kind="classifier of tokens" if of_tokens else "text classifier",
        reads="a list of tokens" if of_tokens else "a pair of texts" if len(about["fields"]) == 2 else "one text",
        max_length=about["max_length"],
        meaning=_meaning(about["task"], about["labels"]),
        source=about["rows"],
        labels=_percent(proof["equal_labels"]),
        edges=_percent(proof["equal_edges"]),
        counted=", which is not a condition for int8" if about["int8"] else "",
        processor=machine["processor"],
        instructions=", ".join(machine["instruction_set"]) or machine["architecture"],
        **{name: proof[name] for name in ("rows", "metric", "model_score", "score", "difference", "edge_cases")},
    )
    if training := about.get("training"):
        text += f"\n{trained_sentence(training)}\n"
    if about["test"]:
        rows = "\n".join(f"| {name} | {value:.4f} |" for name, value in about["test"].items())
        text += f"\nScores of the model on its test rows, before the export:\n\n| metric | test |\n|---|---|\n{rows}\n"
    if about.get("verdict"):
        text += f"\n{about['verdict']}\n"
    if about["int8"]:
        text += _tried(about)
    if (found := about.get("calibration")) is not None:
        text += CALIBRATED.format(**found, source=about["rows"])
    if (least := about.get("abstain_below")) is not None:
        text += f"\nRows whose most likely class has a probability below {least:g} get no label.\n"
    if about["prunable"]:
        how = (
            "give it texts that `pruner.json` has shortened (`kdray.pruning.Pruner`)."
            if is_hf
            else ("`predict.py` shortens each text first, by `pruner.json`.")
        )
        text += PRUNED.format(how=how)
    if is_hf:
        return text + HF_USE.format(usage=about["usage"])
    return text + ONNX_USE.format(example=" ".join(['"a text"'] * len(about["fields"])))


def _meaning(task: str, labels: Sequence[str]) -> str:
    if task == "regression":
        return "Its output is a number."
    names = ", ".join(f"`{label}`" for label in labels)
    meanings = {"multi_label": "Labels (none, one or several a row)", "token_classification": "Tags of each token"}
    return f"{meanings.get(task, 'Classes')}: {names}."


def _tried(about: Mapping[str, Any]) -> str:
    int8 = about["int8"]
    rows = [
        f"| {each['name']} | {each['score']:.4f} | {each['lost_points']:.2f} | {_percent(each['equal_labels'])} | "
        f"{each['megabytes']:.1f} | {each['fault'] or 'kept'} |"
        if each["score"] is not None
        else f"| {each['name']} | | | | | {each['fault']} |"
        for each in int8["tried"]
    ]
    return TRIED.format(
        tolerance=int8["tolerance"],
        least=100 * int8["least_equal_labels"],
        metric=about["proof"]["metric"],
        attempts="\n".join(rows),
        vnni="with" if int8["vnni"] else "without",
        bits=7 if int8["reduce_range"] else 8,
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"

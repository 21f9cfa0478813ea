"""The model card: a README for the exported folder, made from the result and from nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdray.errors import plural
from kdray.models import Architecture, Transformer

CARD = """---
library_name: {library}
pipeline_tag: {pipeline}
tags: [kdray, knowledge-distillation]
---
# {title}

A {kind} made by kdray {kdray}: {layers}, {parameters:,} parameters, method `{method}`.

| split | {names} |
|---|{rule}|
{rows}

{report}

{usage}

It reads {tokens} tokens of a row at most, as in its training.

Classes: {labels}. {training}
Selection used the split `validation`; nothing was selected by scores on `test`.
"""


def model_card(result: Mapping[str, Any], architecture: Architecture) -> str:
    """Markdown with a Hugging Face header. `result` is the document saved as result.json."""
    spec, scores = result["spec"], result["metrics"]
    names = list(scores["test"])
    rows = [f"| {split} | {' | '.join(f'{values[n]:.4f}' for n in names)} |" for split, values in scores.items()]
    teachers = ", ".join(teacher["info"]["name"] for teacher in spec["teachers"])
    epochs = len(result["history"])
    trained = f"Trained on {result['rows']['train']:,} rows for {epochs} {'epoch' if epochs == 1 else 'epochs'}"
    kept = f"(epoch {result['best_epoch']} kept), seed {spec['train']['seed']}."
    return CARD.format(
        library=architecture.library,
        kind="text classifier" if architecture.pipeline == "text-classification" else "classifier of tokens",
        pipeline=architecture.pipeline,
        usage=architecture.usage,
        title=result["title"],
        kdray=result["versions"]["kdray"],
        layers=_layers(result) if isinstance(architecture, Transformer) else architecture.label,
        parameters=result["cost"]["parameters"],
        method=spec["method"]["name"],
        tokens=spec["train"]["max_length"],
        names=" | ".join(names),
        rule="|".join("---" for _ in names),
        rows="\n".join(rows),
        report=f"Teachers: {teachers}." if teachers else "No teacher: trained on hard labels.",
        labels=", ".join(f"`{label}`" for label in spec["labels"]),
        training=f"{trained} {kept}" if result["history"] else "Its weights are as they were given: not trained here.",
    )


def _layers(result: Mapping[str, Any]) -> str:
    """How many, and of which model: layers of a fine-tuned one have learned from the corpus already."""
    model, number = result["spec"]["model"], plural(result["cost"]["layers"], "layer")
    which = f" (`init: {model['init']}`)" if isinstance(model["layers"], int) else ""
    if isinstance(model["layers"], list):
        which = f" (numbers {', '.join(map(str, model['layers']))})"
    if (artifact := model["artifact"]) is not None:
        return f"{number}{which} of the fine-tuned `{artifact['stage']}/{artifact['name']}`"
    encoder = str(model["encoder"])
    is_folder = encoder.startswith(("/", ".", "~"))  # a card is shared, a path of a machine is not
    return f"{number}{which} of `{Path(encoder).name if is_folder else encoder}`"

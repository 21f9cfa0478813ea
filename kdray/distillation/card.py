"""The model card: a README for the exported folder, made from the result and from nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdray.errors import plural
from kdray.models import Architecture, Transformer
from kdray.origin import shown

CARD = """---
library_name: {library}
pipeline_tag: {pipeline}
tags: [kdray, knowledge-distillation]
---
# {title}

A {kind} made by kdray {kdray}: {layers}, {parameters:,} parameters.

| split | {names} |
|---|{rule}|
{rows}

{training}
Selection used the split `validation`; nothing was selected by scores on `test`.

{usage}

It reads {tokens} tokens of a row at most, as in its training.

Classes: {labels}.
"""
TRAINED = "It was trained on {rows:,} rows by the method `{name}`{settings}, {origin}{epochs}, with the seed {seed}."


def model_card(result: Mapping[str, Any], architecture: Architecture) -> str:
    """Markdown with a Hugging Face header. `result` is the document saved as result.json."""
    spec, scores = result["spec"], result["metrics"]
    names = list(scores["test"])
    rows = [f"| {split} | {' | '.join(f'{values[n]:.4f}' for n in names)} |" for split, values in scores.items()]
    return CARD.format(
        library=architecture.library,
        kind="text classifier" if architecture.pipeline == "text-classification" else "classifier of tokens",
        pipeline=architecture.pipeline,
        usage=architecture.usage,
        title=result["title"],
        kdray=result["versions"]["kdray"],
        layers=_layers(result) if isinstance(architecture, Transformer) else architecture.label,
        parameters=result["cost"]["parameters"],
        tokens=spec["train"]["max_length"],
        names=" | ".join(names),
        rule="|".join("---" for _ in names),
        rows="\n".join(rows),
        labels=", ".join(f"`{label}`" for label in spec["labels"]),
        training=f"{trained_sentence(training_of(result))} Epoch {result['best_epoch']} was kept."
        if result["history"]
        else "Its weights are as they were given: not trained here.",
    )


def training_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """How a model was trained, for a card: rows, epochs, seed, method, and teachers with their scores where known."""
    spec, scores = result["spec"], result.get("teachers", {})
    return {
        "rows": result["rows"]["train"],
        "epochs": len(result["history"]),
        "seed": spec["train"]["seed"],
        "method": {**spec["method"], "name": _shared_name(spec["method"]["name"])},
        "teachers": {each["info"]["name"]: scores.get(each["info"]["name"], {}) for each in spec["teachers"]},
    }


def trained_sentence(training: Mapping[str, Any]) -> str:
    """What `training_of` returns, in words."""
    settings = {name: value for name, value in training["method"].items() if name != "name" and value is not None}
    teachers = [
        name + "".join(f" ({metric} {score:.4f} on test)" for metric, score in scores.items())
        for name, scores in training["teachers"].items()
    ]
    return TRAINED.format(
        name=training["method"]["name"],
        settings=f" ({', '.join(f'{name} = {_short(value)}' for name, value in settings.items())})" if settings else "",
        origin=f"from {' and '.join(teachers)}" if teachers else "without a teacher",
        epochs=f", in {plural(training['epochs'], 'epoch')}" if training["epochs"] else "",
        rows=training["rows"],
        seed=training["seed"],
    )


def _short(value: Any) -> Any:
    """A number that a search found, with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else value


def _shared_name(method: str) -> str:
    """A card is shared, a path of a machine is not.

    >>> _shared_name("/home/ada/my_file.py:MyKD@1a2b"), _shared_name("kd")
    ('my_file.py:MyKD', 'kd')
    """
    return Path(shown(method)).name


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

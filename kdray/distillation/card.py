"""The model card: a README for the exported folder, made from the result and from nothing else."""

from collections.abc import Mapping
from typing import Any

from kdray.models import TRANSFORMER, Architecture

CARD = """---
library_name: {library}
pipeline_tag: text-classification
tags: [kdray, knowledge-distillation]
---
# {title}

A text classifier made by kdray {kdray}: {layers}, {parameters:,} parameters, method `{method}`.

| split | {names} |
|---|{rule}|
{rows}

{report}

{usage}

It reads {tokens} tokens of a row at most, as in its training.

Classes: {labels}. {training}
Selection used the split `select`; `report` was never selected on.
"""


def model_card(result: Mapping[str, Any], architecture: Architecture) -> str:
    """Markdown with a Hugging Face header. `result` is the document saved as result.json."""
    spec, scores = result["spec"], result["metrics"]
    names = list(scores["test"])
    rows = [f"| {split} | {' | '.join(f'{values[n]:.4f}' for n in names)} |" for split, values in scores.items()]
    teachers = ", ".join(teacher["info"]["name"] for teacher in spec["teachers"])
    trained = f"Trained on {result['rows']['train']:,} rows for {len(result['history'])} epochs"
    kept = f"(epoch {result['best_epoch']} kept), seed {spec['train']['seed']}."
    return CARD.format(
        library=architecture.library,
        usage=architecture.usage,
        title=result["title"],
        kdray=result["versions"]["kdray"],
        layers=architecture.label if architecture != TRANSFORMER else f"{result['cost']['layers']} layers",
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

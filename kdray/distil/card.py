"""The model card: a README for the exported folder, made from the result and from nothing else."""

from collections.abc import Mapping
from typing import Any

CARD = """---
library_name: transformers
pipeline_tag: text-classification
tags: [kdray, knowledge-distillation]
---
# {title}

A text classifier made by kdray {kdray}: {layers} layers, {parameters:,} parameters, method `{method}`.

| split | {names} |
|---|{rule}|
{rows}

{report}

```python
from transformers import pipeline
classify = pipeline("text-classification", "PATH/TO/THIS/FOLDER")
```

Classes: {labels}. Trained on {train_rows:,} rows for {epochs} epochs (epoch {best} kept), seed {seed}.
Selection used the split `select`; `report` was never selected on.
"""


def model_card(result: Mapping[str, Any]) -> str:
    """Markdown with a Hugging Face header. `result` is the document saved as result.json."""
    spec, scores = result["spec"], result["metrics"]
    names = list(scores["report"])
    rows = [f"| {split} | {' | '.join(f'{values[n]:.4f}' for n in names)} |" for split, values in scores.items()]
    teachers = ", ".join(teacher["name"] for teacher in spec["teachers"])
    return CARD.format(
        title=result["title"],
        kdray=result["versions"]["kdray"],
        layers=result["cost"]["layers"],
        parameters=result["cost"]["parameters"],
        method=spec["method"]["name"],
        names=" | ".join(names),
        rule="|".join("---" for _ in names),
        rows="\n".join(rows),
        report=f"Teachers: {teachers}." if teachers else "No teacher: trained on hard labels.",
        labels=", ".join(f"`{label}`" for label in spec["labels"]),
        train_rows=result["rows"]["train"],
        epochs=len(result["history"]),
        best=result["best_epoch"],
        seed=spec["train"]["seed"],
    )

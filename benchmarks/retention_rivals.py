"""The rivals of `retention.py`: `retention_rivals.py RIVAL JOB` trains one student and prints its test accuracy.

Both read the teacher's logits from a file, by the number of a row, where they would run the teacher. They update
weights as kdray does: AdamW without decay of biases and norms, a linear schedule with a tenth of warm-up, gradients
clipped at 1.
"""

import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from sweep_runners import Job, decay_groups, encoded, warm_up
from torch import Tensor, nn
from torch.utils.data import DataLoader

# torchdistill imports torchvision, and so does transformers where it is there. Its operators fit one build of torch
# alone, none of them is used here, and before the import they can be declared.
OPERATORS = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from transformers import (  # noqa: E402
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    get_linear_schedule_with_warmup,
)

SCORED = 64  # rows of a batch that is scored


class Stored(nn.Module):
    """A teacher whose logits are read by the number of a row."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits, requires_grad=False)

    def forward(self, row: Tensor, **_: Tensor) -> Tensor:
        return self.logits[row]


class OfTexts(nn.Module):
    """A student that leaves out the number of a row."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, row: Tensor, labels: Tensor | None = None, **texts: Tensor) -> Tensor:
        return self.model(**texts).logits


class Scores:
    """The test accuracy of the first epoch with the best validation accuracy."""

    def __init__(self, validation: DataLoader[Any], test: DataLoader[Any]) -> None:
        self.loaders, self.best, self.test = (validation, test), -1.0, 0.0

    def __call__(self, model: nn.Module, step: int | None = None) -> None:
        model.eval()
        found = self._accuracy(model, self.loaders[0])
        if found > self.best:
            self.best, self.test = found, self._accuracy(model, self.loaders[1])

    @staticmethod
    def _accuracy(model: nn.Module, loader: DataLoader[Any]) -> float:
        with torch.inference_mode():
            right = [(model(**batch).argmax(-1) == batch["labels"]).float() for batch in loader]
        return float(torch.cat(right).mean())


def main() -> None:
    rival, job_file = sys.argv[1:]
    job: Job = json.loads(Path(job_file).read_text())
    random.seed(job["seed"])
    torch.manual_seed(job["seed"])
    tokenizer = AutoTokenizer.from_pretrained(job["student"], trust_remote_code=False)
    examples = {split: _examples(job, tokenizer, split) for split in ("train", "validation", "test")}
    padded = DataCollatorWithPadding(tokenizer)

    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:  # TextBrewer needs a dict and no other mapping
        return dict(padded(rows))

    train = DataLoader(examples["train"], batch_size=job["batch"], shuffle=True, collate_fn=collate)
    scored = (DataLoader(examples[name], batch_size=SCORED, collate_fn=collate) for name in ("validation", "test"))
    scores = Scores(*scored)
    model = AutoModelForSequenceClassification.from_pretrained(job["student"], trust_remote_code=False)
    RIVALS[rival](job, OfTexts(model), Stored(_logits(job)), train, scores)
    print(scores.test)


def _examples(job: Job, tokenizer: Any, split: str) -> list[dict[str, Any]]:
    return [{**each, "row": row} for row, each in enumerate(encoded(job, tokenizer, split, pad=False))]


def _logits(job: Job) -> Tensor:
    """In the order of the training rows."""
    file = pq.read_table(job["logits"])
    ids = pq.read_table(Path(job["rows"]) / "train.parquet", columns=["id"])["id"]
    assert file["id"].to_pylist() == ids.to_pylist()
    return torch.tensor([file[f"logit:{name}"].to_pylist() for name in job["labels"]]).T.contiguous()


def textbrewer(job: Job, student: nn.Module, teacher: nn.Module, train: DataLoader[Any], scores: Scores) -> None:
    from textbrewer import BasicDistiller, DistillationConfig, TrainingConfig

    def of_student(batch: dict[str, Tensor], logits: Tensor) -> dict[str, Any]:
        return {"logits": logits, "losses": nn.functional.cross_entropy(logits, batch["labels"])}

    with tempfile.TemporaryDirectory() as folder:
        distiller = BasicDistiller(
            train_config=TrainingConfig(device="cpu", log_dir=None, output_dir=folder),
            distill_config=DistillationConfig(
                temperature=job["temperature"],
                kd_loss_type="ce",
                kd_loss_weight=job["alpha"] * job["temperature"] ** 2,
                hard_label_weight=1 - job["alpha"],
            ),
            model_T=teacher,
            model_S=student,
            adaptor_T=lambda batch, logits: {"logits": logits},
            adaptor_S=of_student,
        )
        with distiller:
            distiller.train(
                torch.optim.AdamW(decay_groups(student), lr=job["rate"]),
                train,
                num_epochs=job["epochs"],
                scheduler_class=get_linear_schedule_with_warmup,
                scheduler_args=warm_up(len(train) * job["epochs"]),
                max_grad_norm=1.0,
                callback=scores,
            )


def torchdistill(job: Job, student: nn.Module, teacher: nn.Module, train: DataLoader[Any], scores: Scores) -> None:
    from torchdistill.core.distillation import DistillationBox

    class Box(DistillationBox):
        """With the loader and the optimizer that the others have, which no configuration can name."""

        def setup_data_loaders(self, train_config: Any) -> None:
            self.train_data_loader = train

    box = Box(
        teacher,
        student,
        {},
        {
            "num_epochs": job["epochs"],
            "teacher": {"forward_proc": "forward_batch_only_as_kwargs", "requires_grad": False},
            "student": {"forward_proc": "forward_batch_only_as_kwargs"},
            "criterion": {
                "key": "WeightedSumLoss",
                "kwargs": {"sub_terms": {"kd": {"criterion": _kd_loss(job), "weight": 1.0}}},
            },
        },
        torch.device("cpu"),
        None,
        False,
        1,
    )
    box.optimizer = torch.optim.AdamW(decay_groups(student), lr=job["rate"])
    box.lr_scheduler = get_linear_schedule_with_warmup(box.optimizer, **warm_up(len(train) * job["epochs"]))
    box.scheduling_step, box.grad_accum_step, box.max_grad_norm = 1, 1, 1.0
    for epoch in range(job["epochs"]):
        box.pre_epoch_process(epoch=epoch)
        for batch in box.train_data_loader:
            box.pre_forward_process()
            box.post_forward_process(box.forward_process(batch, batch["labels"]))
        box.post_epoch_process()
        scores(student)


def _kd_loss(job: Job) -> dict[str, Any]:
    place = {"student_module_path": ".", "student_module_io": "output"}
    place |= {"teacher_module_path": ".", "teacher_module_io": "output"}
    return {
        "key": "KDLoss",
        "kwargs": {**place, "temperature": job["temperature"], "alpha": 1 - job["alpha"], "reduction": "batchmean"},
    }


RIVALS: dict[str, Callable[[Job, nn.Module, nn.Module, DataLoader[Any], Scores], None]] = {
    "textbrewer": textbrewer,
    "torchdistill": torchdistill,
}

if __name__ == "__main__":
    main()

"""What `sweep.py` times: `sweep_runners.py RUNNER JOB OUT` writes the metric of every point on the validation split."""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Job = dict[str, Any]
WORKERS = 2


def kdray_sweep(job: Job) -> list[float]:
    """As a user would: a run, its points as the parameters to try, one search, in a store that holds the teacher."""
    from kdray.config import parse
    from kdray.engines.ray.engine import OnRay
    from kdray.engines.ray.session import session
    from kdray.experiments.search import search
    from kdray.experiments.settings import SweepSettings
    from kdray.stages import Context, prepare
    from kdray.store import Store
    from kdray.tuning.tune import RayTune

    store = tempfile.mkdtemp(prefix="kdray-bench-store-")
    for where, made in job["made"].items():
        shutil.copytree(made, Path(store) / where)
    run = parse(
        {
            "store": store,
            "corpus": job["corpus"],
            "prune": {"policy": "none"},
            "outputs": {"quality_check": False},
            "teachers": job["teachers"],
            "student": {"encoder": job["student"], "layers": 3, "init": "bottom", "init_from": "encoder"},
            "train": {
                "epochs": job["epochs"],
                "learning_rate": job["rate"],
                "batch_size": job["batch"],
                "max_length": job["length"],
                "precision": "fp32",  # as the peers train
            },
        },
        source="benchmark",
    )

    def space(trial: Any) -> dict[str, Any]:
        return {
            "method.temperature": trial.suggest_float("temperature", 1, 20),
            "method.alpha": trial.suggest_float("alpha", 0, 1),
        }

    points = [{"label": None, "params": point} for point in job["points"]]
    with session(None):
        from kdray.corpora import kdray_data

        context = Context(Store(store), OnRay(run.work), kdray_data())
        settings = SweepSettings("s", space, points, trials=len(points), pruning="none")
        found = search(settings, run, prepare(run, context, every_teacher=True), context, RayTune())
    return [trial["value"] for trial in found.trials]


def hf_sweep(job: Job, *, pad: bool) -> list[float]:
    """Ray Tune over a Trainer whose loss asks the teacher in every step."""
    import ray
    from ray import tune

    ray.init("local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)

    def trainable(config: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        tune.report({"accuracy": hf_student(job, config, pad=pad)})

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"CPU": 1}),
        param_space={"point": tune.grid_search(job["points"])},
        run_config=tune.RunConfig(storage_path=tempfile.mkdtemp(prefix="hf-"), verbose=0),
    )
    results = tuner.fit()
    by_point = {json.dumps(r.config["point"], sort_keys=True): r.metrics["accuracy"] for r in results}
    ray.shutdown()
    return [by_point[json.dumps(point, sort_keys=True)] for point in job["points"]]


def hf_student(job: Job, config: dict[str, Any], *, pad: bool) -> float:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer
    from transformers import TrainingArguments as Arguments

    temperature, alpha = config["point"]["temperature"], config["point"]["alpha"]
    teacher = (
        AutoModelForSequenceClassification.from_pretrained(job["teacher"], trust_remote_code=False)
        .eval()
        .requires_grad_(False)
    )
    student = AutoModelForSequenceClassification.from_pretrained(job["student"], trust_remote_code=False)

    class KDTrainer(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
            out = model(**inputs)
            if not model.training:
                return (out.loss, out) if return_outputs else out.loss
            with torch.no_grad():
                target = teacher(**{k: v for k, v in inputs.items() if k != "labels"}).logits
            loss = kd_loss(out.logits, target, inputs["labels"], temperature, alpha)
            return (loss, out) if return_outputs else loss

    tokenizer = AutoTokenizer.from_pretrained(job["student"], trust_remote_code=False)
    train, select = (encoded(job, tokenizer, split, pad=pad) for split in ("train", "validation"))
    with tempfile.TemporaryDirectory() as folder:
        trainer = KDTrainer(
            model=student,
            args=Arguments(
                output_dir=folder,
                num_train_epochs=job["epochs"],
                learning_rate=job["rate"],
                per_device_train_batch_size=job["batch"],
                per_device_eval_batch_size=64,
                weight_decay=0.01,
                warmup_steps=0.1,
                max_grad_norm=1.0,
                eval_strategy="epoch",
                save_strategy="no",
                report_to="none",
                use_cpu=True,
                disable_tqdm=True,
                seed=0,
            ),
            train_dataset=train,
            eval_dataset=select,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())},
        )
        trainer.train()
        scores = [entry["eval_accuracy"] for entry in trainer.state.log_history if "eval_accuracy" in entry]
    return max(scores)


def textbrewer_loop(job: Job) -> list[float]:
    """One after the other, with both processors; the teacher's logits are cached in memory for each student."""
    torch.set_num_threads(WORKERS)
    return [textbrewer_student(job, point) for point in job["points"]]


def textbrewer_student(job: Job, point: dict[str, Any]) -> float:
    from textbrewer import BasicDistiller, DistillationConfig, TrainingConfig
    from torch.utils.data import DataLoader
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        get_linear_schedule_with_warmup,
    )

    random.seed(0)
    torch.manual_seed(0)
    temperature, alpha = point["temperature"], point["alpha"]
    teacher = AutoModelForSequenceClassification.from_pretrained(job["teacher"], trust_remote_code=False).eval()
    student = AutoModelForSequenceClassification.from_pretrained(job["student"], trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(job["student"], trust_remote_code=False)
    train, select = (encoded(job, tokenizer, split, pad=False) for split in ("train", "validation"))
    collate = DataCollatorWithPadding(tokenizer)
    loader = DataLoader(train, batch_size=job["batch"], shuffle=True, collate_fn=collate)
    judges = DataLoader(select, batch_size=64, collate_fn=collate)
    scores: list[float] = []

    def score(model: Any, step: int) -> None:
        model.eval()
        with torch.inference_mode():
            right = [(model(**b).logits.argmax(-1) == b["labels"]).float() for b in judges]
        scores.append(float(torch.cat(right).mean()))

    with tempfile.TemporaryDirectory() as folder:
        distiller = BasicDistiller(
            train_config=TrainingConfig(device="cpu", log_dir=None, output_dir=folder),
            distill_config=DistillationConfig(
                temperature=temperature,
                kd_loss_type="ce",
                kd_loss_weight=alpha * temperature**2,
                hard_label_weight=1 - alpha,
                is_caching_logits=True,
            ),
            model_T=teacher,
            model_S=student,
            adaptor_T=lambda batch, out: {"logits": out.logits},
            adaptor_S=lambda batch, out: {"logits": out.logits, "losses": out.loss},
        )
        optimizer = torch.optim.AdamW(decay_groups(student), lr=job["rate"], fused=True)
        with distiller:
            distiller.train(
                optimizer,
                loader,
                num_epochs=job["epochs"],
                scheduler_class=get_linear_schedule_with_warmup,
                scheduler_args=warm_up(len(loader) * job["epochs"]),
                max_grad_norm=1.0,
                callback=score,
            )
    return max(scores)


def decay_groups(model: torch.nn.Module) -> list[dict[str, Any]]:
    """What AdamW updates, as for the other runners: without decay of biases and norms."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]


def warm_up(steps: int) -> dict[str, int]:
    """Of a linear schedule, as kdray has it."""
    return {"num_warmup_steps": steps // 10, "num_training_steps": steps}


def kd_loss(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, t: float, alpha: float) -> torch.Tensor:
    soft = torch.nn.functional.kl_div(
        torch.log_softmax(student / t, -1), torch.softmax(teacher / t, -1), reduction="batchmean"
    )
    return (1 - alpha) * torch.nn.functional.cross_entropy(student, labels) + alpha * t * t * soft


def encoded(job: Job, tokenizer: Any, split: str, *, pad: bool) -> list[dict[str, Any]]:
    """The rows of a split as kdray stored them, tokenized once for each student, as the peers' examples do."""
    import pyarrow.parquet as pq

    table = pq.read_table(Path(job["rows"]) / f"{split}.parquet")
    fields = [name for name in table.column_names if name not in ("id", "label")]
    texts = [table[name].to_pylist() for name in fields]
    tokens = tokenizer(*texts, truncation=True, max_length=job["length"], padding="max_length" if pad else False)
    labels = np.asarray(table["label"].to_pylist())
    return [{name: tokens[name][i] for name in tokens} | {"labels": int(labels[i])} for i in range(len(labels))]


RUNNERS: dict[str, Callable[[Job], list[float]]] = {
    "kdray": kdray_sweep,
    "hf-128": lambda job: hf_sweep(job, pad=True),
    "hf-dynamic": lambda job: hf_sweep(job, pad=False),
    "textbrewer": textbrewer_loop,
}

if __name__ == "__main__":
    name, job_file, out_file = sys.argv[1:]
    Path(out_file).write_text(json.dumps(RUNNERS[name](json.loads(Path(job_file).read_text()))))

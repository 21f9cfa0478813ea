"""Students that are fitted at once: what `fit` is for students of steps, in one epoch."""

import dataclasses
import time

import numpy as np
import torch
from torch import nn

from kdray.methods import Batch, Method
from kdray.models import Fitted, NetworkModel
from kdray.signals import Signals
from kdray.train.loop import FitResult, Hooks, TrainingData
from kdray.train.objective import objective
from kdray.train.progress import MetricAccumulator
from kdray.train.ranks import SingleRank, WorldRanks
from kdray.train.settings import TrainSettings


def fit_at_once(
    student: NetworkModel,
    *,
    method: Method,
    data: TrainingData,
    settings: TrainSettings,
    hooks: Hooks,
    ranks: WorldRanks,
    device: torch.device,
) -> FitResult:
    """Fit `student` in place to the soft labels of `method`; every worker does it alike.

    Its one epoch reports the terms of the method as a training does, by the fitted student's logits.
    """
    architecture, clock = student.architecture, time.perf_counter()
    assert isinstance(architecture, Fitted)
    rows, cpu, every = data.rows, torch.device("cpu"), np.arange(len(data.rows))
    step = Batch(
        student=Signals(logits=torch.zeros(len(rows), student.config.num_labels)),
        teachers=tuple(teacher.signals_for(every, cpu, method.needs) for teacher in data.teachers),
        assistant=None,
        labels=rows.labels,
        ranks=SingleRank(),
        key=(settings.seed, 0, 0),
        adapters=nn.ModuleDict(),
        prepared=data.prepared,
        known=data.known,
        task=data.task,
        predicted=data.predicted,
    )
    logits = architecture.fit(student, rows.encoded, method.soft_labels(step), seed=settings.seed)
    student.to(device)
    seconds = time.perf_counter() - clock
    sums = MetricAccumulator()
    sums.add(objective(method, dataclasses.replace(step, student=Signals(logits=logits.float())), SingleRank()))
    means, weighted, queries = sums.totals(method.weights(), SingleRank(), cpu)
    mine = hooks.score(student) if ranks.rank == 0 else 0.0
    score = float(ranks.sum(torch.tensor(mine, dtype=torch.float64, device=device)))
    epoch = {
        "epoch": 1,
        "phase": method.name,
        "scored": True,
        "score": score,
        "loss": sum(weighted.values()),
        "terms": means,
        "weighted": weighted,
        "queries": queries,
    }
    hooks.report(epoch)
    return FitResult([epoch], 1, score, seconds, len(rows), len(rows), queries)

"""The loop. One for teachers, assistants and students, one process or many; it contains no method by name."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kdray import metrics
from kdray.corpora import balanced_batches, length_batches
from kdray.errors import RunError
from kdray.methods import Batch, Method, MethodOutput, MethodState, Phase
from kdray.models import autocast, forward
from kdray.origin import is_shipped, outside_class
from kdray.seeds import seed_of
from kdray.signals import TEACHER_NEEDS, Need, Signals
from kdray.tasks import SINGLE_LABEL, Task, is_better
from kdray.train.checkpoint import Checkpoint, Checkpoints, optimizer_tensors, restore_optimizer
from kdray.train.data import Rows, Teacher
from kdray.train.memory import trim_memory
from kdray.train.objective import MicroBatchFraction, objective
from kdray.train.optimizer import make_optimizer, set_learning_rate
from kdray.train.progress import MetricAccumulator, Progress
from kdray.train.ranks import WorldRanks
from kdray.train.reward_evaluator import RewardEvaluator
from kdray.train.schedule import TrainingSchedule
from kdray.train.settings import TrainSettings
from kdray.train.words import by_word

log = logging.getLogger(__name__)
Epoch = dict[str, Any]


@dataclass(frozen=True)
class Hooks:
    """Callbacks and options of the caller.

    Attributes:
        score: The selection score of the model; called on rank 0 after every epoch.
        report: Called after every epoch, on every rank.
        checkpoints: Where to save and resume.
        title: Names the training in progress lines.
        higher_is_better: Of two scores.
    """

    score: Callable[[Any], float]
    report: Callable[[Epoch], None]
    checkpoints: Checkpoints
    title: str
    higher_is_better: bool = True


@dataclass(frozen=True)
class FitResult:
    """The epochs in order, the kept one, and the cost. The weights are in the model that was given.

    Attributes:
        rows: Trained on, over all epochs.
        units: What queries are counted in: these rows, or their words.
    """

    history: list[Epoch]
    best_epoch: int
    score: float
    seconds: float
    rows: int
    units: int
    queries: Mapping[str, int]


@dataclass(frozen=True)
class TrainingData:
    """The data of a training.

    Attributes:
        rows: Trained on.
        teachers: In the order of the method's pair.
        prepared: What `Method.prepare` returned.
        reward_rows: The rows of `Method.reward`; None if it needs none.
        known: The classes that each teacher scores (`ModelInfo.known`); empty if all of them score all.
        predicted: Rows that every teacher predicts, bool [rows]; of rows of words [rows, words]; None is all of them.
    """

    rows: Rows
    teachers: Sequence[Teacher] = ()
    assistant: Teacher | None = None
    prepared: MethodState = field(default_factory=dict[str, Tensor])
    reward_rows: Rows | None = None
    known: tuple[tuple[int, ...] | None, ...] = ()
    task: Task = SINGLE_LABEL
    predicted: Tensor | None = None


class TrainableStudent(nn.Module):
    """The student with the method's adapters: what the optimizer moves and a checkpoint holds."""

    def __init__(self, student: Any, adapters: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.adapters = adapters

    def forward(self, batch: Mapping[str, Tensor], needs: frozenset[str]) -> Signals:
        return forward(self.student, batch, needs)


@dataclass
class _State:
    """The state of the training; all of it is in the checkpoint."""

    epoch: int = 0
    step: int = 0  # optimizer steps done in this epoch
    history: list[Epoch] = field(default_factory=list[Epoch])
    best_score: float | None = None
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    accumulator: MetricAccumulator = field(default_factory=MetricAccumulator)
    queries: dict[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0


def fit(
    student: Any,
    *,
    method: Method,
    adapters: nn.Module,
    data: TrainingData,
    settings: TrainSettings,
    hooks: Hooks,
    ranks: WorldRanks,
    device: torch.device,
) -> FitResult:
    """Train `student` in place and leave it in eval mode with the kept epoch's weights.

    The order of rows depends on (seed, epoch) alone; each worker takes every `ranks.size`-th row of a global batch.
    Resuming from a checkpoint gives the same weights, bit for bit, as never having stopped.

    Raises:
        RunError: The loss is not finite.
    """
    return _Loop(student, method, adapters, data, settings, hooks, ranks, device).run()


class _Loop:
    def __init__(
        self,
        student: Any,
        method: Method,
        adapters: nn.Module,
        data: TrainingData,
        settings: TrainSettings,
        hooks: Hooks,
        ranks: WorldRanks,
        device: torch.device,
    ) -> None:
        self.trainable = TrainableStudent(student, adapters).to(device)
        self.data, self.rows = data, data.rows
        self.prepared = {name: value.to(device) for name, value in data.prepared.items()}
        self.settings, self.hooks, self.ranks, self.device = settings, hooks, ranks, device
        self.schedule, self.method = TrainingSchedule(method.phases(settings.epochs)), method
        assert settings.precision != "auto", "precision is resolved before the loop"
        self.precision: Literal["fp32", "bf16"] = settings.precision
        self.wrapped = DistributedDataParallel(self.trainable) if ranks.size > 1 else self.trainable
        self.optimizer = make_optimizer(self.trainable, settings)
        self.steps_per_epoch = -(-len(self.rows) // settings.batch_size)
        self.probe = RewardEvaluator(student, data.reward_rows, ranks, device, self.precision)
        self.state = _State()

    def run(self) -> FitResult:
        self._resume()
        while not self._done():
            self._epoch()
        if self.settings.keep == "best":
            self.trainable.load_state_dict(self.state.best)
        self.trainable.eval()
        state = self.state
        assert state.best_score is not None
        kept = state.best_epoch if self.settings.keep == "best" else state.epoch
        score = state.best_score if self.settings.keep == "best" else state.history[-1]["score"]
        words = self.rows.encoded.words
        units = len(self.rows) if words is None else int((words.starts >= 0).sum())
        rows = len(self.rows) * state.epoch
        return FitResult(state.history, kept, score, state.seconds, rows, units * state.epoch, dict(state.queries))

    def _epoch(self) -> None:
        state, settings = self.state, self.settings
        lengths, groups = self.rows.encoded.lengths, self.rows.groups
        order = {"batch_size": settings.batch_size, "seed": settings.seed, "epoch": state.epoch}
        if settings.balance == "languages":
            assert groups is not None, "refused where languages do not count"
            batches = balanced_batches(lengths, groups, **order)
        else:
            batches = length_batches(lengths, **order)
        phase = self.schedule.phase(state.epoch)
        if self.schedule.starts_afresh(state.epoch) and state.step == 0:
            self.optimizer = make_optimizer(self.trainable, settings)
        title = self.hooks.title if len(self.schedule.phases) == 1 else f"{self.hooks.title}, {phase.name}"
        self.trainable.train()
        before, clock = state.seconds, time.perf_counter()
        epochs, is_first = self.schedule.epochs, self.ranks.rank == 0
        title = f"{title}: epoch {state.epoch + 1}/{epochs}"
        with Progress(title, len(self.rows), is_logging=is_first) as progress:
            for batch in batches[state.step :]:
                self._step(batch, phase)
                state.step += 1
                state.seconds = before + time.perf_counter() - clock
                progress.show(len(batch), lambda: f"hard-label loss {state.accumulator.described()}")
                if is_first:
                    metrics.count("rows", len(batch))
                if settings.checkpoint_steps and state.step % settings.checkpoint_steps == 0:
                    self._save()
        self._end_epoch(phase)
        state.seconds = before + time.perf_counter() - clock
        self._save()
        trim_memory()
        self.hooks.report(state.history[-1])

    def _step(self, batch: np.ndarray, phase: Phase) -> None:
        settings, state = self.settings, self.state
        key = (settings.seed, state.epoch, state.step)
        torch.manual_seed(seed_of(*key, "dropout", self.ranks.rank))
        parts = np.array_split(batch, min(settings.accumulate, len(batch)))
        place = self.schedule.position(state.epoch, step=state.step, steps_per_epoch=self.steps_per_epoch)
        seen: list[tuple[Batch, MethodOutput]] = []
        for number, part in enumerate(parts):
            with self._sync(last=number == len(parts) - 1):
                micro_key = (*key[:2], key[2] * settings.accumulate + number)
                seen.append(self._micro_step(part, self._share(part, batch), phase, key=micro_key, place=place))
        if phase.trains != "controller":
            self._move_student(phase, place)
        if phase.trains != "student":
            for step, output in seen:
                with outside_class("method", phase.method):
                    phase.method.learn(step, output, self.probe)

    def _move_student(self, phase: Phase, place: tuple[int, int]) -> None:
        settings, (done, total) = self.settings, place
        peak = phase.learning_rate or settings.learning_rate
        set_learning_rate(self.optimizer, peak=peak, warmup=settings.warmup, done=done, total=total)
        if settings.clip:
            nn.utils.clip_grad_norm_(self.trainable.parameters(), settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _share(self, part: np.ndarray, batch: np.ndarray) -> MicroBatchFraction:
        predicted, words = self.data.predicted, self.rows.encoded.words
        if words is not None:
            mine, whole = (torch.from_numpy(words.starts[rows] >= 0) for rows in (part, batch))
            return MicroBatchFraction(
                rows=_ratio(mine, whole),
                labeled=_ratio(mine & (self.rows.labels[part] >= 0), whole & (self.rows.labels[batch] >= 0)),
                predicted=None if predicted is None else _ratio(mine & predicted[part], whole & predicted[batch]),
                sequences=len(part) / len(batch),
            )
        return MicroBatchFraction(
            rows=len(part) / len(batch),
            labeled=_ratio(*(self.data.task.labeled(self.rows.labels[rows]) for rows in (part, batch))),
            predicted=None if predicted is None else _ratio(predicted[part], predicted[batch]),
        )

    def _micro_step(
        self,
        part: np.ndarray,
        share: MicroBatchFraction,
        phase: Phase,
        *,
        key: tuple[int, int, int],
        place: tuple[int, int],
    ) -> tuple[Batch, MethodOutput]:
        mine, data = part[self.ranks.rank :: self.ranks.size], self.data
        needs = phase.method.needs
        moves = phase.trains != "controller"
        done, total = place
        with torch.set_grad_enabled(moves):
            step = Batch(
                student=self._student(mine, part, needs - TEACHER_NEEDS),
                teachers=tuple(self._signals_of(teacher, mine, part, needs) for teacher in data.teachers),
                assistant=self._signals_of(data.assistant, mine, part, needs) if data.assistant else None,
                labels=self.rows.labels[mine].to(self.device),
                ranks=self.ranks,
                key=key,
                adapters=self.trainable.adapters,
                prepared=self.prepared,
                known=data.known,
                progress=done / max(1, total),
                task=data.task,
                predicted=None if data.predicted is None else data.predicted[mine].to(self.device),
                phase=phase.name,
                rows=torch.from_numpy(mine).to(self.device),
                scores=self._scores(),
            )
            if (words := self.rows.encoded.words) is not None:
                step = by_word(step, torch.from_numpy(words.starts[mine] >= 0).to(self.device))
            step_loss = objective(phase.method, step, self.ranks, share)
        if moves:
            (self._touching_adapters(step_loss.loss) * self.ranks.size).backward()  # DDP averages; the loss is a sum
        self.state.accumulator.add(step_loss)
        return step.detach(), step_loss.output

    def _touching_adapters(self, loss: Tensor) -> Tensor:
        """DDP waits for the gradient of every parameter, also of adapters that a phase does not use."""
        parameters = list(self.trainable.adapters.parameters())
        if self.ranks.size == 1 or not parameters:
            return loss
        return loss + 0.0 * torch.stack([parameter.sum() for parameter in parameters]).sum()

    def _student(self, mine: np.ndarray, part: np.ndarray, needs: frozenset[Need]) -> Signals:
        # A model cannot run on zero rows, and every worker must take part in the backward pass: a worker without
        # rows of this batch runs its first row with weight 0.
        with autocast(self.device, self.precision):
            signals = self.wrapped(self.rows.batch(_at_least_one(mine, part), self.device), needs)
        return signals.each(lambda value: value[: len(mine)])

    def _signals_of(self, teacher: Teacher, mine: np.ndarray, part: np.ndarray, needs: frozenset[Need]) -> Signals:
        # the row that the student runs instead of none is the teacher's too: their tokens must have one length
        return teacher.signals_for(_at_least_one(mine, part), self.device, needs).each(lambda value: value[: len(mine)])

    def _sync(self, *, last: bool) -> AbstractContextManager[None]:
        if isinstance(self.wrapped, DistributedDataParallel) and not last:
            return self.wrapped.no_sync()
        return nullcontext()

    def _end_epoch(self, phase: Phase) -> None:
        state = self.state
        means, weighted, queries = state.accumulator.totals(phase.method.weights(), self.ranks, self.device)
        loss = sum(weighted.values())
        if not np.isfinite(loss):
            terms = [name for name, value in weighted.items() if not np.isfinite(value)]
            method = phase.method
            check = "" if is_shipped(type(method)) else f", or check {method.label} with kdray.testing.check_method"
            which = f"terms {' and '.join(terms)} are" if len(terms) > 1 else f"term {terms[0]} is"
            raise RunError(
                f"{self.hooks.title}: the loss is {loss} in epoch {state.epoch + 1} because the {which} not finite "
                f"({means}); try a smaller train.learning_rate{check}."
            )
        for name, number in queries.items():
            state.queries[name] = state.queries.get(name, 0) + number
        self.trainable.eval()
        score = self._score()
        epoch = {
            "epoch": state.epoch + 1,
            "phase": phase.name,
            "scored": phase.scored,
            "score": score,
            "loss": loss,
            "terms": means,
            "weighted": weighted,
            "queries": queries,
        }
        if phase.scored and self._is_best(score):
            state.best_score, state.best_epoch = score, state.epoch + 1
            state.best = _copied(self.trainable)
        state.history.append(epoch)
        state.epoch, state.step, state.accumulator = state.epoch + 1, 0, MetricAccumulator()

    def _is_best(self, score: float) -> bool:
        best = self.state.best_score
        return best is None or is_better(score, best, higher_is_better=self.hooks.higher_is_better)

    def _score(self) -> float:
        mine = self.hooks.score(self.trainable.student) if self.ranks.rank == 0 else 0.0
        return float(self.ranks.sum(torch.tensor(mine, dtype=torch.float64, device=self.device)))

    def _done(self) -> bool:
        if self.state.epoch >= self.schedule.epochs or self._out_of_patience():
            return True
        return self.method.ends(self._scores(), teachers=len(self.data.teachers))

    def _scores(self) -> tuple[float, ...]:
        """Of the scored epochs so far; higher is better."""
        sign = 1.0 if self.hooks.higher_is_better else -1.0
        return tuple(sign * epoch["score"] for epoch in self.state.history if epoch["scored"])

    def _out_of_patience(self) -> bool:
        patience = self.settings.patience
        since = [epoch for epoch in self.state.history[self.state.best_epoch :] if epoch["scored"]]
        return bool(patience) and len(since) >= patience

    def _save(self) -> None:
        state = self.state
        accumulator = state.accumulator.merged(self.ranks, self.device)
        if self.ranks.rank:
            return
        tensors = {f"model/{k}": v for k, v in self.trainable.state_dict().items()}
        if state.step or state.best_epoch != state.epoch:  # else the model is the best
            tensors |= {f"best/{k}": v for k, v in state.best.items()}
        if not self._done():
            tensors |= {f"optimizer/{k}": v for k, v in optimizer_tensors(self.trainable, self.optimizer).items()}
        progress = {
            name: getattr(state, name)
            for name in ("epoch", "step", "history", "best_score", "best_epoch", "queries", "seconds")
        }
        self.hooks.checkpoints.save(Checkpoint(tensors, progress | {"accumulator": accumulator}))

    def _resume(self) -> None:
        saved = self.hooks.checkpoints.load()
        if saved is None:
            return
        parts = {kind: dict(_under(saved.tensors, kind)) for kind in ("model", "best", "optimizer")}
        self.trainable.load_state_dict(parts["model"])
        restore_optimizer(self.trainable, self.optimizer, parts["optimizer"])
        accumulator = MetricAccumulator.of(saved.progress.pop("accumulator"), share=float(self.ranks.rank == 0))
        best = parts["best"] or (_copied(self.trainable) if saved.progress["best_epoch"] else {})
        self.state = _State(**saved.progress, best=best, accumulator=accumulator)
        log.info("%s: resuming after epoch %d, step %d", self.hooks.title, self.state.epoch, self.state.step)
        for epoch in self.state.history:
            self.hooks.report(epoch)  # the caller of this process may not have received it


def _ratio(mine: Tensor, every: Tensor) -> float:
    return int(mine.sum()) / max(1, int(every.sum()))


def _at_least_one(mine: np.ndarray, part: np.ndarray) -> np.ndarray:
    return mine if len(mine) else part[:1]


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _under(tensors: Mapping[str, Tensor], kind: str) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors.items():
        if name.startswith(f"{kind}/"):
            yield name[len(kind) + 1 :], tensor

"""The contract between a method and the loop: what it needs, what it checks, what it returns.

A method never reduces, weighs, logs or touches a model. It returns named terms, one value per row; the objective
weighs them and the loop reduces once, by the global number of rows that a term covers.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, get_args

import torch
from jaxtyping import Bool, Float, Int
from pydantic import ConfigDict
from torch import Tensor, nn

from kdray.errors import ConfigError
from kdray.models import ModelInfo
from kdray.origin import OpenSettings
from kdray.seeds import seed_of
from kdray.signals import TEACHER_NEEDS, TOKEN_NEEDS, Need, Signals
from kdray.tasks import SINGLE_LABEL, Task


class Ranks(Protocol):
    """The workers that share one global batch. One process is a world of one."""

    def gather(
        self, values: Float[Tensor, "rows *rest"]
    ) -> tuple[Float[Tensor, "all_rows *rest"], Int[Tensor, " rows"]]:
        """Every worker's values in the order of the global batch, and where this worker's rows stand in it."""
        ...

    def sum(self, values: Tensor) -> Tensor:
        """The element-wise sum over workers."""
        ...


@dataclass(frozen=True)
class TeacherStudent:
    """The teachers and the student; a method's `check` refuses unsupported ones.

    Attributes:
        rows: The number of training rows; 0 where it is not known yet. Only for what `adapters` keeps by row.
    """

    student: ModelInfo
    teachers: tuple[ModelInfo, ...]
    assistant: ModelInfo | None = None
    task: Task = SINGLE_LABEL
    rows: int = 0


@dataclass(frozen=True)
class TeacherLogits:
    """The teachers' outputs for one split, before any training.

    Attributes:
        labels: Class indices; -1 marks an unlabeled row.
        teachers: Logits, one tensor a teacher, in the order of the pair.
    """

    labels: Int[Tensor, " rows"]
    teachers: tuple[Float[Tensor, "rows classes"], ...]


@dataclass(frozen=True)
class PriorOutputs:
    """The data for `prepare`, before the first step: the rows it trains on and those that models are selected on.

    Attributes:
        scores: The teachers' on validation, by the metric that models are selected on; higher is better.
    """

    train: TeacherLogits
    validation: TeacherLogits
    scores: Callable[[], tuple[float, ...]] = tuple


MethodState = Mapping[str, Tensor]


class Probe(Protocol):
    """The student as it stands, on the method's reward rows: in eval mode, without gradient, equal on every worker."""

    def cross_entropy(self) -> float: ...

    def accuracy(self) -> float: ...


@dataclass(frozen=True)
class Reward:
    """The labeled training rows that a controller's reward is measured on.

    Attributes:
        rows: A number of rows, or a share of them below 1.
        held_out: The student does not train on them.
    """

    rows: int | float
    held_out: bool


@dataclass(frozen=True)
class Batch:
    """One micro-batch, as one worker sees it.

    Attributes:
        labels: Targets of the task; for a single label class indices, -1 marks an unlabeled row.
        key: (seed, epoch, step): the counter for random choices.
        adapters: What the method's `adapters` built; its parameters are trained with the student, its buffers are a
            controller's state, which only `learn` changes.
        prepared: The return value of the method's `prepare`.
        known: The classes that each teacher scores (`ModelInfo.known`); empty if all of them score all.
        progress: The share of the schedule's steps that are done, 0 to 1.
        task: The task; only methods with `any_task` see others than a single label.
        predicted: Rows that every teacher predicts; None is all of them. Of the others the objective counts only the
            hard labels: their teacher logits are 0.
        phase: The name of the running phase.
        rows: The rows' positions in the training rows.
        sequences: Where the rows are words, of how many rows of the corpus: signals of tokens are of these, and a term
            may have one value for each of them.
        scores: The student's on validation after each epoch that is scored, by the metric that models are selected on;
            higher is better.
    """

    student: Signals
    teachers: tuple[Signals, ...]
    assistant: Signals | None
    labels: Int[Tensor, " batch"]
    ranks: Ranks
    key: tuple[int, int, int]
    adapters: nn.Module
    prepared: MethodState = field(default_factory=dict[str, Tensor])
    known: tuple[tuple[int, ...] | None, ...] = ()
    progress: float = 0.0
    task: Task = SINGLE_LABEL
    predicted: Bool[Tensor, " batch"] | None = None
    phase: str = ""
    rows: Int[Tensor, " batch"] | None = None
    sequences: int | None = None
    scores: tuple[float, ...] = ()

    def detach(self) -> "Batch":
        return dataclasses.replace(self, student=self.student.detach())

    def generator(self, purpose: str) -> torch.Generator:
        """A CPU generator that is the same on every worker for this step and purpose."""
        return torch.Generator().manual_seed(seed_of(*self.key, purpose))


@dataclass(frozen=True)
class LossTerm:
    """One named part of a loss: a value per row, and the rows it covers (all rows by default)."""

    values: Float[Tensor, " batch"]
    rows: Bool[Tensor, " batch"] | None = None

    def covered(self) -> Bool[Tensor, " batch"]:
        return torch.ones_like(self.values, dtype=torch.bool) if self.rows is None else self.rows


@dataclass(frozen=True)
class MethodOutput:
    """A method's output for one step.

    Attributes:
        terms: By name; each name has a weight in `Method.weights`.
        hard_rows: Rows whose hard-label loss counts (None: all labeled ones).
        queries: By kind of model (`teacher`, `assistant`), how many of them were queried for each row, or whether one
            was; their sum is the query ratio's numerator.
        hard: Replaces the hard-label loss of each row; None is the cross-entropy of the student's logits.
    """

    terms: Mapping[str, LossTerm]
    hard_rows: Bool[Tensor, " batch"] | None = None
    queries: Mapping[str, Bool[Tensor, " batch"] | Int[Tensor, " batch"]] = field(default_factory=dict[str, Tensor])
    hard: Float[Tensor, " batch"] | None = None

    def detach(self) -> "MethodOutput":
        terms = {name: LossTerm(term.values.detach(), term.rows) for name, term in self.terms.items()}
        hard = None if self.hard is None else self.hard.detach()
        return MethodOutput(terms, self.hard_rows, self.queries, hard)


@dataclass(frozen=True)
class Phase:
    """Consecutive epochs with terms of their own.

    Attributes:
        name: Shown in progress lines.
        method: Whose needs, weights and terms count.
        epochs: 1 or more.
        schedule: Phases of one schedule share optimizer state and one learning-rate schedule over their epochs.
        learning_rate: None takes the run's.
        trains: The `student` (with adapters), a `controller` by `Method.learn` while the student stands still, or
            `both`.
        scored: Its epochs may be the one that is kept, and early stopping counts them.
    """

    name: str
    method: "Method"
    epochs: int
    schedule: str = "main"
    learning_rate: float | None = None
    trains: Literal["student", "controller", "both"] = "student"
    scored: bool = True


_OF_DISTRIBUTIONS = ("temperature", "t2_scaling", "direction", "reduction", "combine", "kd_term")
Status = Literal["as published", "gaps filled", "task variant", "reconstruction"]


class Method(OpenSettings):
    """A frozen settings record with pure functions.

    A subclass outside of kdray is a method of its own (see `kdray.origin`). It writes its settings as fields, `needs`,
    `weights` (and `schedule` where these change), and `losses` or `terms`.

    Attributes:
        title, source, access: Shown by `kdray methods`.
        name: What `method.name` is in a run file.
    """

    model_config = ConfigDict(ignored_types=(frozenset,))  # `needs = frozenset({"cls"})` in a class is not a setting

    title: ClassVar[str]
    source: ClassVar[str]
    status: ClassVar[Status] = "as published"
    access: ClassVar[str] = "cached"
    min_teachers: ClassVar[int] = 1
    max_teachers: ClassVar[int | None] = 1
    allows_class_subsets: ClassVar[bool] = False
    any_task: ClassVar[bool] = False

    def refuse_idle(self, names: Iterable[str], *, because: str) -> None:
        """For validators: refuse settings that were changed although they have no effect.

        Raises:
            ValueError: Naming them; pydantic turns it into its own error.
        """
        fields = type(self).model_fields
        if idle := sorted(name for name in names if getattr(self, name) != fields[name].default):
            raise ValueError(f"{', '.join(idle)} would have no effect, because {because}; leave it out")

    @property
    def needs(self) -> frozenset[Need]:
        """The signals it needs from teachers (and, but for `TEACHER_NEEDS`, from the student)."""
        return frozenset({"logits"})

    @property
    def dropout_passes(self) -> int:
        """Passes with dropout behind the signal `mc_probs`; 0 where it is not needed."""
        return 0

    @property
    def compares_tokens(self) -> bool:
        """Whether teachers and student must read the same tokens."""
        return any(phase.method.needs & TOKEN_NEEDS for phase in self.phases(1))

    @property
    def uses_assistant(self) -> bool:
        return False

    def assistant_depths(self, *, student: int, teacher: int) -> tuple[int, ...]:
        """The layers of each assistant between a teacher and a student of these depths, from the teacher downwards.

        Each is distilled from the one before it; the last one teaches the student.
        """
        raise ConfigError(f"method {self.name} uses no assistant.")

    @property
    def reward(self) -> Reward | None:
        """The rows that `learn` may probe the student on; None if it never does."""
        return None

    def phases(self, epochs: int) -> tuple[Phase, ...]:
        """The phases of a training; the scored ones that train the student have `epochs` epochs together."""
        return (Phase(self.name, self, epochs),)

    def check(self, pair: TeacherStudent) -> None:
        """Refuse a pair it cannot work with.

        Raises:
            ConfigError: With the reason in one sentence.
        """
        self.check_needs()
        given = len(pair.teachers)
        most = self.max_teachers
        if given < self.min_teachers or (most is not None and given > most):
            allowed = f"{self.min_teachers}" if most == self.min_teachers else f"{self.min_teachers} or more"
            raise ConfigError(f"method {self.name} works with {allowed} teachers, {given} given.")
        self._check_signals(pair.student)
        if pair.student.fitted and type(self).soft_labels is Method.soft_labels:
            raise ConfigError(
                f"method {self.name} trains by steps, but {pair.student.name} is fitted at once to soft labels; take "
                "soft_classic, or finetune for hard labels."
            )
        self.check_task(pair.task)
        self._check_soft_labels(pair)
        if pair.task.class_scores and pair.student.classes < 2:
            raise ConfigError(
                f"method {self.name}: a head with one output has no distribution to distill; 2 or more classes."
            )
        others = (*pair.teachers, *([pair.assistant] if pair.assistant else []))
        if self.compares_tokens:
            for other in others:
                if other.tokenizer != pair.student.tokenizer:
                    raise ConfigError(
                        f"method {self.name} compares token by token, but {other.name} has another tokenizer than the "
                        "student; take a method that needs only logits, such as kd."
                    )
        for other in others:
            if other.known is None and other.classes != pair.student.classes:
                raise ConfigError(
                    f"method {self.name}: {other.name} has {other.classes} classes, the student {pair.student.classes}."
                )
        partial = [other for other in others if other.known is not None]
        if partial and not self.allows_class_subsets:
            raise ConfigError(
                f"method {self.name} needs teachers of all {pair.student.classes} classes, {partial[0].name} scores "
                "only some; take a method that merges teachers of different classes, such as uhc."
            )
        _check_subsets(self.name, pair)

    def check_needs(self) -> None:
        """
        Raises:
            ConfigError: `needs` has a name that is no signal.
        """
        for phase in self.phases(1):
            if unknown := sorted(set(phase.method.needs).difference(get_args(Need))):
                raise ConfigError(
                    f"method {phase.method.label}: needs has {unknown[0]!r}, which is no signal; allowed are "
                    f"{', '.join(get_args(Need))}."
                )

    def _check_signals(self, student: ModelInfo) -> None:
        """Refuse a student whose architecture lacks a signal."""
        needs = frozenset[Need]().union(*(phase.method.needs for phase in self.phases(1))) - TEACHER_NEEDS
        gives = needs if student.gives is None else student.gives
        if missing := sorted(needs.difference(gives)):
            raise ConfigError(
                f"method {self.name} compares the student's {missing[0]}, but {student.name} gives only "
                f"{', '.join(gives)}; take a method that needs only logits, such as kd."
            )

    def check_task(self, task: Task) -> None:
        """
        Raises:
            ConfigError: The method makes no sense for the task.
        """
        if not task.class_scores and not self.any_task:
            raise ConfigError(
                f"method {self.name} learns from one distribution over classes, but the task {task.name} has none; "
                "allowed are finetune, kd and ens_u."
            )

    def _check_soft_labels(self, pair: TeacherStudent) -> None:
        """Refuse settings of distributions where teachers give values."""
        if self.max_teachers == 0 or pair.task.distributions(torch.zeros(1, pair.student.classes)) is not None:
            return
        fields = type(self).model_fields
        names = [name for name in _OF_DISTRIBUTIONS if name in fields and getattr(self, name) != fields[name].default]
        if names:
            raise ConfigError(
                f"method {self.name}: {', '.join(names)} would have no effect for the task {pair.task.name}, where the "
                "student learns the teacher's value by squared error; leave it out."
            )

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        """Projections and the like that train with the student and are dropped at export."""
        return nn.ModuleDict()

    def prepare(self, evidence: PriorOutputs) -> MethodState:
        """Constants of a training, computed once from the teachers' outputs: ensemble weights and the like."""
        del evidence
        return {}

    def ends(self, scores: Sequence[float], *, teachers: int) -> bool:
        """Whether the training is over before its last epoch.

        Args:
            scores: As `Batch.scores`.
            teachers: How many there are.
        """
        del scores, teachers
        return False

    def learn(self, step: Batch, output: MethodOutput, probe: Probe) -> None:
        """Move a controller's state (buffers of `step.adapters`) after an optimizer step; the same on every worker."""

    def weights(self) -> dict[str, float]:
        """The weight of each term, and of the hard-label term under `hard`."""
        raise NotImplementedError(
            f"{type(self).__name__} has no weights; write them, such as {{'hard': 1.0, 'kd': 1.0}}"
        )

    def schedule(self, step: Batch) -> Mapping[str, float | Float[Tensor, " batch"]]:
        """Weights that differ from `weights` in this step: by `step.progress` (a number) or by row (a tensor).

        Gradients do not flow through them.
        """
        del step
        return {}

    def losses(self, step: Batch) -> Mapping[str, Float[Tensor, " batch"]]:
        """By name, one loss value a row; a pure function of the step. Write `terms` instead for more than that."""
        raise NotImplementedError(f"{type(self).__name__} has neither losses nor terms; write one of them")

    def soft_labels(self, step: Batch) -> Float[Tensor, "batch classes"]:
        """The weight of each class in each row, for students that are fitted at once to all rows.

        Rows without label and prediction have the weight 0. Methods without them train students of steps only.
        """
        raise NotImplementedError

    def terms(self, step: Batch) -> MethodOutput:
        """The terms of one step; a pure function of it. By default those of `losses`, each over all rows."""
        found: Any = self.losses(step)
        if not isinstance(found, Mapping):  # of a class from outside
            raise ConfigError(
                f"method {self.label}: losses gives a {type(found).__name__}; it must return a dictionary, such as "
                '{"kd": values}, with one value a row for each term.'
            )
        terms = {str(name): LossTerm(values) for name, values in found.items()}
        queries = (
            {"teacher": torch.full(step.labels.shape[:1], len(step.teachers), device=step.labels.device)}
            if terms
            else {}
        )
        return MethodOutput(terms, queries=queries)


def all_asked(step: Batch, term: LossTerm) -> dict[str, Int[Tensor, " batch"]]:
    """The queries of a term that uses every teacher for each row it covers."""
    return {"teacher": len(step.teachers) * term.covered().long()}


def _check_subsets(method: str, pair: TeacherStudent) -> None:
    """A teacher of some classes scores two or more, one an output, and all teachers together score every class."""
    every = set(range(pair.student.classes))
    for teacher in pair.teachers:
        known = teacher.known
        if known is not None and not 2 <= len(known) == len(every.intersection(known)) == teacher.classes:
            raise ConfigError(
                f"method {method}: {teacher.name} has {teacher.classes} outputs for the classes {list(known)}; allowed "
                f"are two or more different ones of 0 to {len(every) - 1}, one for each output."
            )
    scored = [every if teacher.known is None else set(teacher.known) for teacher in pair.teachers]
    if scored and (missing := every.difference(*scored)):
        raise ConfigError(f"method {method}: no teacher scores the classes {sorted(missing)} of 0 to {len(every) - 1}.")

"""The contract between a method and the loop: what it needs, what it checks, what it returns.

A method never reduces, weighs, logs or touches a model. It returns named terms, one value per row; the objective
weighs them and the loop reduces once, by the global number of rows that a term covers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from kdray.errors import BadInput
from kdray.seeds import seed_of
from kdray.signals import Need, Signals


class Ranks(Protocol):
    """The workers that share one global batch. One process is a world of one."""

    def gather(self, values: Float[Tensor, " rows"]) -> tuple[Float[Tensor, " all_rows"], Int[Tensor, " rows"]]:
        """Every worker's values in the order of the global batch, and where this worker's rows stand in it."""
        ...

    def sum(self, values: Tensor) -> Tensor:
        """The element-wise sum over workers."""
        ...


@dataclass(frozen=True)
class Facts:
    """What is known of a model before it runs."""

    name: str
    layers: int
    width: int
    classes: int


@dataclass(frozen=True)
class Pair:
    """Who teaches whom; a method's `check` refuses what it cannot work with."""

    student: Facts
    teachers: tuple[Facts, ...]
    assistant: Facts | None = None


@dataclass(frozen=True)
class Step:
    """One micro-batch, as one worker sees it.

    Attributes:
        labels: Class indices; -1 marks an unlabelled row.
        key: (seed, epoch, step): the counter for random choices.
        adapters: What the method's `adapters` built; trained with the student.
    """

    student: Signals
    teachers: tuple[Signals, ...]
    assistant: Signals | None
    labels: Int[Tensor, " batch"]
    ranks: Ranks
    key: tuple[int, int, int]
    adapters: nn.Module

    def generator(self, purpose: str) -> torch.Generator:
        """A CPU generator that is the same on every worker for this step and purpose."""
        return torch.Generator().manual_seed(seed_of(*self.key, purpose))


@dataclass(frozen=True)
class Term:
    """One named part of a loss: a value per row, and the rows it covers (all of them unless said)."""

    values: Float[Tensor, " batch"]
    rows: Bool[Tensor, " batch"] | None = None

    def covered(self) -> Bool[Tensor, " batch"]:
        return torch.ones_like(self.values, dtype=torch.bool) if self.rows is None else self.rows


@dataclass(frozen=True)
class Terms:
    """A method's answer for one step.

    Attributes:
        terms: By name; each name has a weight in `Method.weights`.
        hard_rows: Rows whose hard-label loss counts (None: all labelled ones).
        queries: Rows for which each model was asked, by model; their number is the query ratio's numerator.
    """

    terms: Mapping[str, Term]
    hard_rows: Bool[Tensor, " batch"] | None = None
    queries: Mapping[str, Bool[Tensor, " batch"]] = field(default_factory=dict[str, Tensor])


class Method(BaseModel):
    """A frozen settings record with pure functions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: ClassVar[str]
    source: ClassVar[str]
    access: ClassVar[str] = "cached"
    min_teachers: ClassVar[int] = 1
    max_teachers: ClassVar[int | None] = 1

    name: str

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
        """The signals it needs from teachers (and from the student)."""
        return frozenset({"logits"})

    @property
    def uses_assistant(self) -> bool:
        return False

    def assistant_depth(self, *, student: int, teacher: int) -> int:
        """How many layers the assistant has between a student and a teacher of these depths."""
        raise BadInput(f"method {self.name} uses no assistant.")

    def check(self, pair: Pair) -> None:
        """Refuse a pair it cannot work with.

        Raises:
            BadInput: With the reason in one sentence.
        """
        given = len(pair.teachers)
        most = self.max_teachers
        if given < self.min_teachers or (most is not None and given > most):
            allowed = f"{self.min_teachers}" if most == self.min_teachers else f"{self.min_teachers} or more"
            raise BadInput(f"method {self.name} works with {allowed} teacher(s), {given} given.")
        if pair.student.classes < 2:
            raise BadInput(
                f"method {self.name}: a head with one output has no distribution to distil; 2 or more classes."
            )
        for other in (*pair.teachers, *([pair.assistant] if pair.assistant else [])):
            if other.classes != pair.student.classes:
                raise BadInput(
                    f"method {self.name}: {other.name} has {other.classes} classes, the student {pair.student.classes}."
                )

    def adapters(self, pair: Pair) -> nn.Module:
        """Projections and the like that train with the student and are dropped at export."""
        return nn.ModuleDict()

    def weights(self) -> dict[str, float]:
        """The weight of each term, and of the hard-label term under `hard`."""
        raise NotImplementedError

    def terms(self, step: Step) -> Terms:
        """The terms of one step; a pure function of it."""
        raise NotImplementedError

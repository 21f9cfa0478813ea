"""The phase of each epoch, and the position of each step in its learning-rate schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from kdray.methods import Phase


@dataclass(frozen=True)
class TrainingSchedule:
    """The phases of a method, laid end to end."""

    phases: Sequence[Phase]

    @property
    def epochs(self) -> int:
        return sum(phase.epochs for phase in self.phases)

    def phase(self, epoch: int) -> Phase:
        """The phase of a 0-based epoch."""
        return self._by_epoch[epoch]

    def starts_afresh(self, epoch: int) -> bool:
        """Whether the optimizer is reset at this epoch, because another schedule begins."""
        every = self._by_epoch
        before = [phase.schedule for phase in every[:epoch] if _moves(phase)]
        return _moves(every[epoch]) and bool(before) and before[-1] != every[epoch].schedule

    def position(self, epoch: int, *, step: int, steps_per_epoch: int) -> tuple[int, int]:
        """(steps done, steps in all) of the schedule that a step of this epoch belongs to."""
        every = self._by_epoch
        mine = [i for i, phase in enumerate(every) if _moves(phase) and phase.schedule == every[epoch].schedule]
        return sum(i < epoch for i in mine) * steps_per_epoch + step, len(mine) * steps_per_epoch

    @cached_property
    def _by_epoch(self) -> list[Phase]:
        return [phase for phase in self.phases for _ in range(phase.epochs)]


def _moves(phase: Phase) -> bool:
    return phase.trains != "controller"

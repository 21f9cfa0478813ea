"""Phases: whose epoch it is, which step of which schedule, and what a controller may touch."""

import pytest

from kdray.methods import FineTune, Phase
from kdray.train.schedule import TrainingSchedule


def phase(name, epochs, **more):
    return Phase(name, FineTune(), epochs, **more)


def test_phases_lie_end_to_end():
    schedule = TrainingSchedule([phase("a", 2), phase("b", 1)])
    assert schedule.epochs == 3
    assert [schedule.phase(epoch).name for epoch in range(3)] == ["a", "a", "b"]


def test_phases_of_one_schedule_share_it_and_controllers_take_no_part():
    schedule = TrainingSchedule([phase("a", 1), phase("c", 1, trains="controller"), phase("b", 2)])
    places = [schedule.position(epoch, step=3, steps_per_epoch=10) for epoch in (0, 2, 3)]
    assert places == [(3, 30), (13, 30), (23, 30)]
    assert not any(schedule.starts_afresh(epoch) for epoch in range(4))


@pytest.mark.parametrize("between", [[], [phase("c", 2, trains="controller")]])
def test_another_schedule_starts_the_optimizer_afresh(between):
    schedule = TrainingSchedule([phase("a", 2, schedule="first"), *between, phase("b", 2)])
    start = 2 + sum(each.epochs for each in between)
    assert [epoch for epoch in range(schedule.epochs) if schedule.starts_afresh(epoch)] == [start]
    assert schedule.position(start, step=0, steps_per_epoch=5) == (0, 10)

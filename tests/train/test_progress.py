"""Lines of a running epoch: when they are written, and what they state."""

import io
import logging
import sys
from itertools import chain, repeat

import pytest
import torch

from kdray.methods import MethodOutput
from kdray.train import progress
from kdray.train.objective import StepLoss
from kdray.train.progress import EVERY_SECONDS, MetricAccumulator, Progress


def accumulator(loss: float, rows: int) -> MetricAccumulator:
    found = MetricAccumulator()
    zero = torch.zeros(())
    hard = {"hard": torch.tensor(rows)}
    found.add(StepLoss(zero, {"hard": torch.tensor(loss * rows)}, hard, {}, {}, MethodOutput({})))
    return found


def note() -> str:
    return f"hard-label loss {accumulator(0.25, 20).described()}"


def lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, first: bool) -> list[str]:
    """Of an epoch of 100 rows, of which 20 are trained on in every half of the time between two lines."""
    times = chain([0.0], (number * EVERY_SECONDS / 2 for number in range(1, 6)), repeat(1e9))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(times))
    caplog.set_level(logging.INFO, logger="kdray.train.progress")
    shown = Progress("kd: epoch 2/3", 100, is_logging=first)
    for _ in range(5):
        shown.show(20, note)
    return [record.getMessage() for record in caplog.records]


def test_a_line_is_written_whenever_the_interval_has_passed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rate = f"{40 / EVERY_SECONDS:.0f} rows/s"
    assert lines(monkeypatch, caplog, first=True) == [
        f"kd: epoch 2/3, 40 of 100 rows, {rate}, hard-label loss 0.2500",
        f"kd: epoch 2/3, 80 of 100 rows, {rate}, hard-label loss 0.2500",
    ]


def test_a_line_has_the_mean_of_every_term() -> None:
    found, rows = MetricAccumulator(), torch.tensor(4)
    sums = {"hard": torch.tensor(1.0), "kd": torch.tensor(2.0)}
    found.add(StepLoss(torch.zeros(()), sums, dict.fromkeys(sums, rows), {}, {}, MethodOutput({})))
    assert found.described() == "0.2500, kd 0.5000"


def test_only_the_first_worker_writes_lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert lines(monkeypatch, caplog, first=False) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Cell(io.StringIO):
    """As ipykernel's stream of a cell."""

    __module__ = "ipykernel.iostream"


@pytest.mark.parametrize("stream", [Terminal, Cell])
def test_a_person_sees_a_bar_with_the_loss_and_no_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stream: type[io.StringIO]
) -> None:
    monkeypatch.setattr(progress, "BAR_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", shown := stream())
    caplog.set_level(logging.INFO, logger="kdray.train.progress")
    with Progress("kd: epoch 2/3", 100) as bar:
        for _ in range(2):
            bar.show(20, note)
    texts = [each for each in shown.getvalue().split("\r") if each.strip()]
    assert texts[0].startswith("kd: epoch 2/3:   0%")
    assert " 40/100 [" in texts[-1]
    assert "hard-label loss 0.2500]" in texts[-1]
    assert shown.getvalue().endswith("\r")  # the bar is wiped out at the end
    assert not caplog.records


def test_other_workers_and_streams_show_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, first in ((Terminal(), False), (io.StringIO(), True), (None, True)):
        monkeypatch.setattr(sys, "stderr", stream)
        with Progress("kd: epoch 2/3", 100, is_logging=first) as none:
            none.show(100, note)
        assert stream is None or stream.getvalue() == ""

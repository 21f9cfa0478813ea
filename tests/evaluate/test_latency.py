"""Measurements are interleaved, take a lock of the machine, and name the load of other processes."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import filelock
import numpy as np
import pytest

from kdray.evaluate import latency
from kdray.evaluate.latency import CpuTimes, Load, alone, cpu_times, interleaved, load_between


def test_works_are_timed_in_turns_after_a_warm_up() -> None:
    calls: list[str] = []

    def work(name: str) -> tuple[float, ...]:
        calls.append(name)
        return float(len(calls)), 0.0

    found = interleaved({"a": lambda: work("a"), "b": lambda: work("b")}, seconds=0.0, least=2)
    assert calls == ["a"] * 3 + ["b"] * 3 + ["a", "b"] * 2
    assert found["b"].tolist() == [[8.0, 0.0], [10.0, 0.0]]


def test_rounds_end_at_the_most_or_when_the_time_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(0.0, 1e6))  # a second a reading
    monkeypatch.setattr(latency.time, "perf_counter", lambda: float(next(clock)))
    work = {"a": lambda: (0.0,)}
    assert len(interleaved(work, seconds=1e9, most=7)["a"]) == 7
    assert len(interleaved(work, seconds=10.0)["a"]) == 15  # 5 without a look at the clock, then one a second


def test_the_load_is_what_other_processes_used() -> None:
    before, after = CpuTimes(0, 100, 5, 20), CpuTimes(10, 118, 5, 28)
    assert load_between(before, after) == Load(1.0, 0.0)
    assert not load_between(before, after).is_quiet
    assert load_between(before, CpuTimes(10, 108, 5, 28)) == Load(0.0, 0.0)
    assert load_between(before, CpuTimes(10, 108, 5, 29)).others == 0.0  # rounding, not a negative load


def test_time_of_a_hypervisor_is_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency.os, "cpu_count", lambda: 2)
    found = load_between(CpuTimes(0, 0, 0, 0), CpuTimes(10, 5, 1, 5))
    assert (found.others, found.stolen) == (0.0, 0.05)
    assert "5.0 % of the time was stolen" in found.sentence


@pytest.mark.parametrize(
    ("load", "quiet", "said"),
    [
        (Load(0.15), True, ""),
        (Load(0.16), False, "other processes used 0.16 cores"),
        (Load(None), False, "the load of this machine cannot be read"),
    ],
)
def test_a_busy_machine_is_named_in_a_sentence(load: Load, quiet: bool, said: str) -> None:
    assert load.is_quiet == quiet
    assert load.sentence.startswith("the machine was not quiet: " + said if "cores" in said else said)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="Linux counts it there")
def test_load_separates_this_process_from_others() -> None:
    before = cpu_times()
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    after = cpu_times()
    assert after.own - before.own > 0
    assert after.busy is not None
    assert before.busy is not None
    assert after.busy - before.busy > 0


def test_without_proc_the_load_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *args, **more: (_ for _ in ()).throw(FileNotFoundError()))
    assert load_between(cpu_times(), cpu_times()) == Load(None, 0.0)


def test_one_process_of_the_machine_measures_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        f"import filelock; filelock.FileLock({str(tmp_path / latency.LOCK)!r}).acquire(timeout=0, poll_interval=0.01)"
    )

    def other() -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr

    with alone():
        assert "Timeout" in other()
    assert other() == ""
    assert filelock.FileLock(tmp_path / latency.LOCK).is_locked is False

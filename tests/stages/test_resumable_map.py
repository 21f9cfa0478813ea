"""Parts that outlive a kill: whose they are, and whether they are whole."""

import logging
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tiny
import torch
from blocks import Backwards

from kdray import metrics
from kdray.engines import InProcess, InThreads
from kdray.errors import ConfigError, RunError
from kdray.stages import Context
from kdray.stages.resumable_map import longest_first, map_resumable, split_rows
from kdray.store import Store
from kdray.teachers import TeacherInference
from kdray.train import progress
from kdray.train.data import SORTED_ROWS
from kdray.train.progress import EVERY_SECONDS

_small_ranges = tiny.ranges_of(4)


def doubling() -> Callable[[pa.Table], pa.Table]:
    return lambda part: pa.table({"double": [2 * number for number in part["number"].to_pylist()]})


def doubled(folder: Path, numbers: range, engine: Backwards) -> list[int]:
    context = Context(Store(str(folder)), engine, None)
    parts = split_rows(pa.table({"number": list(numbers)}))
    found = map_resumable(parts, doubling, context, context.store.work("ab" * 32), "doubles", title="double")
    return pa.concat_tables(list(found))["double"].to_pylist()


def test_what_was_made_of_other_rows_is_not_taken(tmp_path: Path) -> None:
    assert doubled(tmp_path, range(10), Backwards()) == list(range(0, 20, 2))
    again = Backwards()
    assert doubled(tmp_path, range(10), again) == list(range(0, 20, 2))
    assert again.done == []
    moved = Backwards()  # as if texts were cut another way: the second part has the same rows
    assert doubled(tmp_path, range(-4, 8), moved) == list(range(-8, 16, 2))
    assert len(moved.done) == 3


@pytest.mark.parametrize("left", [0, 40, 200])
def test_a_damaged_part_is_made_again(tmp_path: Path, left: int) -> None:
    """A file that a power loss left empty, or cut off after the schema, where Arrow would read no rows at all."""
    doubled(tmp_path, range(10), Backwards())
    (file,) = tmp_path.glob("work/*/doubles/1-*.arrow")
    whole = file.read_bytes()
    assert len(whole) > 200
    file.write_bytes(whole[:left])
    again = Backwards()
    assert doubled(tmp_path, range(10), again) == list(range(0, 20, 2))
    assert again.done == [("double", 4)]
    assert file.read_bytes() == whole


def test_a_flipped_bit_anywhere_in_a_part_is_never_used(tmp_path: Path) -> None:
    doubled(tmp_path, range(10), Backwards())
    (file,) = tmp_path.glob("work/*/doubles/1-*.arrow")
    whole = file.read_bytes()
    for place in (*range(0, len(whole), 37), len(whole) - 1):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        again = Backwards()
        assert doubled(tmp_path, range(10), again) == list(range(0, 20, 2)), place
        assert again.done == [("double", 4)], place


def test_a_part_under_the_name_of_another_is_made_again(tmp_path: Path) -> None:
    doubled(tmp_path, range(10), Backwards())
    (first,), (second,) = (list(tmp_path.glob(f"work/*/doubles/{number}-*.arrow")) for number in (0, 1))
    second.write_bytes(first.read_bytes())
    assert doubled(tmp_path, range(10), Backwards()) == list(range(0, 20, 2))


def test_a_part_that_is_damaged_between_the_check_and_its_use_ends_the_command(tmp_path: Path) -> None:
    doubled(tmp_path, range(10), Backwards())
    (file,) = tmp_path.glob("work/*/doubles/1-*.arrow")
    context, parts = Context(Store(str(tmp_path)), Backwards(), None), split_rows(pa.table({"number": list(range(10))}))
    found = map_resumable(parts, doubling, context, context.store.work("ab" * 32), "doubles", title="double")
    next(found)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"1-\w+\.arrow was damaged while it was in use; run the same command again\.$"):
        next(found)


def test_a_part_is_given_as_soon_as_it_is_there(tmp_path: Path) -> None:
    context = Context(Store(str(tmp_path)), InProcess(), None)
    started: list[int] = []

    def noting() -> Callable[[pa.Table], pa.Table]:
        def apply(part: pa.Table) -> pa.Table:
            started.append(part["number"][0].as_py())
            return part

        return apply

    parts = split_rows(pa.table({"number": list(range(10))}))
    found = map_resumable(parts, noting, context, context.store.work("ab" * 32), "same", title="same")
    assert next(found)["number"].to_pylist() == [0, 1, 2, 3]
    assert started == [0]
    assert [part["number"][0].as_py() for part in found] == [4, 8]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines so far, of work that takes as long as two lines are apart, whatever it does."""
    times = count(0.0, EVERY_SECONDS)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(times))
    caplog.set_level(logging.INFO, logger=progress.__name__)
    return lambda: [record.getMessage() for record in caplog.records if record.name == progress.__name__]


@pytest.mark.parametrize(("engine", "first"), [(InProcess(), 4), (Backwards(), 2)])
def test_lines_show_how_many_rows_are_done(
    tmp_path: Path, slow: Callable[[], list[str]], engine: InProcess | Backwards, first: int
) -> None:
    doubled(tmp_path, range(10), engine)
    lines = slow()
    assert lines[0] == f"double, {first} of 10 rows, 0 rows/s"
    assert lines[2:] == ["double, 10 of 10 rows, 0 rows/s"]
    doubled(tmp_path, range(10), engine)  # every part is there from before
    assert slow() == lines


def test_rows_of_a_teacher_in_this_process_are_shown_by_batches(
    tmp_path: Path, tiny_encoder: Path, slow: Callable[[], list[str]]
) -> None:
    def embedder() -> TeacherInference:
        settings: dict[str, Any] = {"labels": ("0", "1"), "fields": ["text"], "kinds": ("sent_emb",), "max_length": 16}
        return TeacherInference(tiny_encoder, name="t", precision="fp32", embeds_only=True, **settings)

    rows, context = SORTED_ROWS["cpu"], Context(Store(str(tmp_path)), InProcess(), None)
    part = pa.table({"id": [str(number) for number in range(rows + 8)], "text": ["good film"] * (rows + 8)})
    list(map_resumable([part], embedder, context, context.store.work("ab" * 32), "rows", title="embed films"))
    assert slow() == [
        f"embed films, {rows} of {rows + 8} rows, 3 rows/s",
        f"embed films, {rows + 8} of {rows + 8} rows, 2 rows/s",
    ]


def test_the_longest_texts_come_first_and_equal_ones_in_their_order() -> None:
    first = pa.chunked_array([["one", "of five"], ["", "aé"]])
    assert longest_first([first]).tolist() == [1, 0, 3, 2]
    assert longest_first([first, pa.array(["", "", "é" * 9, "a"])]).tolist() == [2, 1, 0, 3]
    assert longest_first([pa.array([], pa.string())]).tolist() == []


def test_an_error_in_a_thread_keeps_its_text() -> None:
    def broken() -> Callable[[pa.Table], pa.Table]:
        raise ConfigError("the encoder is damaged")

    with pytest.raises(ConfigError, match="the encoder is damaged"):
        list(InThreads(threads=2).map([pa.table({"number": [1]})], broken, title="double"))


def test_threads_leave_the_number_of_torchs_threads_alone() -> None:
    def used() -> Callable[[pa.Table], pa.Table]:
        return lambda part: pa.table({"double": [float(torch.ones(2).sum()) for _ in part["number"]]})

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        list(InThreads(threads=2).map([pa.table({"number": [1]})] * 4, used, title="double"))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("engine", [InProcess(), InThreads(threads=2)])
def test_rows_are_counted_wherever_they_are_worked_on(engine: InProcess) -> None:
    counted: list[tuple[str, float, str]] = []

    class Counts:
        def count(self, name: str, amount: float, tags: Mapping[str, str]) -> None:
            counted.append((name, amount, tags["stage"]))

        def show(self, name: str, value: float, tags: Mapping[str, str]) -> None: ...

    metrics.install(Counts())
    try:
        found = list(engine.map(split_rows(pa.table({"number": list(range(10))})), doubling, title="embed some"))
    finally:
        metrics.install(None)
    assert len(found) == 3
    assert sorted(counted) == [("rows", 2, "embed"), ("rows", 4, "embed"), ("rows", 4, "embed")]

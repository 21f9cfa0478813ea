"""The table of `kdray bench`: what is in it, from which texts, and how a busy machine is marked."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made
import numpy as np
import pytest

from kdray.cli import main
from kdray.errors import ConfigError, RunError
from kdray.evaluate.latency import CpuTimes
from kdray.export import bench, predict
from kdray.export.bench import Benchmark, candidate_of, run_benchmark, time_one_row
from kdray.export.bundle import write_drafts, write_saved
from kdray.export.trained import TrainedModel

QUICK: dict[str, Any] = {"batches": (1, 2), "threads": [1], "seconds": 1e-9}


@pytest.fixture(scope="module")
def saved(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "student"
    write_saved(model, folder)
    return folder


@pytest.fixture
def no_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh processes take seconds; one test has them."""
    monkeypatch.setattr(bench, "_one_start", lambda command: (0.5, 2e8))


def clock(others: float) -> Iterator[CpuTimes]:
    """A machine on which other processes use so many cores."""
    for second in range(1000):
        yield CpuTimes(second, second * (1 + others), 0.0, second)


def measured(candidates: Any, *, others: float = 0.0, **more: Any) -> Benchmark:
    times = clock(others)
    return run_benchmark(candidates, **{"texts": made.TEXTS, **QUICK, **more}, sample=lambda: next(times))


def test_every_candidate_is_measured_at_each_length_batch_and_number_of_threads(
    saved: Path, onnx_bundle: Path, no_starts: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="kdray"):
        found = measured([saved, onnx_bundle, f"{saved}@bf16"], threads=[1, 2])
    (first, *_) = caplog.messages
    assert first.startswith(f"{len(found.rows)} rows of 1e-09 s each, then 3 cold starts of each model: about")
    assert len(found.rows) == 3 * 3 * 2 * 2
    assert {(row["length"], row["batch"], row["threads"]) for row in found.rows} == {
        (length, batch, threads) for length in ("median", "p95", "128") for batch in (1, 2) for threads in (1, 2)
    }
    for row in found.rows:
        assert 0 < row["without_tokenizer"]["p50_ms"] <= row["p50_ms"] <= row["p95_ms"]
        assert row["p99_ms"] is None  # of five rounds
        assert row["rows_per_second"] < row["without_tokenizer"]["rows_per_second"]
        assert row["times_faster"] > 0
    assert {row["times_faster"] for row in found.rows if row["model"] == str(saved)} == {1.0}
    runtimes = [each["runtime"].split()[0] for each in found.candidates]
    assert runtimes == ["torch", "onnxruntime", "torch"]
    assert [each["precision"] for each in found.candidates] == ["fp32", "fp32", "bf16"]
    assert found.candidates[1]["megabytes"] == pytest.approx(
        sum(file.stat().st_size for file in onnx_bundle.iterdir()) / 1e6
    )
    assert {"processor", "instruction_set", "cores"} <= set(found.machine)
    assert len(found.to_pandas()) == len(found.rows)
    assert json.loads(json.dumps(found.plain()))["rows"] == found.rows


def test_texts_have_the_median_the_95th_percentile_and_128_tokens(saved: Path, onnx_bundle: Path) -> None:
    for given in (saved, onnx_bundle):
        first = candidate_of(given)
        rows = [(text,) for text in made.TEXTS]
        lengths = first.lengths(rows)
        texts = bench._by_length(first, rows)
        assert first.lengths(texts["median"](1))[0] == np.median(lengths)
        assert first.lengths(texts["p95"](1))[0] == pytest.approx(np.percentile(lengths, 95), abs=1)
        assert first.lengths(texts["128"](2)).tolist() == [32, 32]  # all that this model reads
        assert len(texts["median"](100)) == 100  # more than there are


def test_long_texts_are_cut_to_128_tokens(saved: Path) -> None:
    class Long(bench.InTorch):
        def lengths(self, rows: Any) -> np.ndarray:
            return np.array([2 + 2 * len(row[-1].split()) for row in rows])

    opened: Any = candidate_of(saved)
    first = Long(opened.name, opened.model, "fp32", opened.loaded)
    (row,) = bench._by_length(first, [("question", "a film"), ("other", "it was good")])["128"](1)
    assert first.lengths([row])[0] == 128
    assert row[0] in ("question", "other")


def test_drafts_of_a_student_are_timed_in_turns_at_the_median_length(
    model: TrainedModel, same_graph: None, tmp_path: Path
) -> None:
    drafts = write_drafts(model, tmp_path, ["onnx-int8", "onnx"])
    assert list(drafts) == ["onnx-int8", "onnx"]
    times, rows = clock(1.0), [(text,) for text in made.TEXTS]
    candidates = [candidate_of(folder) for folder in drafts.values()]
    found = time_one_row(candidates, rows, seconds=1e-9, sample=lambda: next(times))
    assert list(found.p50_ms) == [str(folder) for folder in drafts.values()]
    assert all(ms > 0 for ms in found.p50_ms.values())
    assert found.tokens == np.median(candidates[0].lengths(rows))
    assert found.load.others == 1.0
    assert [each.precision for each in candidates] == ["int8", "fp32"]


def test_a_99th_percentile_needs_a_hundred_rounds() -> None:
    assert bench._percentiles(np.ones(99), 1)["p99_ms"] is None
    assert bench._percentiles(np.ones(100), 4) == {
        "p50_ms": 1000.0,
        "p95_ms": 1000.0,
        "p99_ms": 1000.0,
        "rows_per_second": 4.0,
    }


@pytest.mark.parametrize(("others", "quiet"), [(0.0, True), (1.5, False)])
def test_a_busy_machine_is_marked_and_named(saved: Path, others: float, quiet: bool, no_starts: None) -> None:
    found = measured([saved], others=others)
    assert found.is_quiet == quiet
    assert {row["quiet"] for row in found.rows} == {quiet}
    assert ("other processes used 1.50 cores" in found.plain()["load"]["warning"]) != quiet
    assert ("not to be trusted" in found._repr_html_()) != quiet


def test_the_lock_is_held_while_candidates_are_timed(
    saved: Path, no_starts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import contextmanager

    events: list[str] = []

    @contextmanager
    def alone() -> Iterator[None]:
        events.append("taken")
        yield
        events.append("released")

    timed = bench.interleaved
    monkeypatch.setattr(bench, "alone", alone)
    monkeypatch.setattr(bench, "interleaved", lambda *args, **more: events.append("timed") or timed(*args, **more))
    measured([saved])
    assert events == ["taken", *["timed"] * 6, "released"]


def test_a_fresh_process_gives_cold_start_and_peak_memory(saved: Path, onnx_bundle: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(bench, "STARTS", 1)
    in_torch, in_onnx = (bench._started(candidate_of(each), ("a film",)) for each in (saved, onnx_bundle))
    assert in_onnx["cold_start_ms"] > 0
    assert 20 < in_onnx["peak_megabytes"] < in_torch["peak_megabytes"]


def test_kdray_runs_no_code_of_a_bundle(onnx_bundle: Path, model: TrainedModel, tmp_path: Path) -> None:
    folder = shutil.copytree(onnx_bundle, tmp_path / "bundle")
    made.pruner().save(folder)
    for name in ("predict.py", "sentences.py", "importance.py"):
        (folder / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(1)\n")
    made.change(folder, files={name: predict.sha256_of(folder / name) for name in predict.FILES | predict.PRUNER_FILES})
    found = measured([folder])
    assert found.candidates[0]["cold_start_ms"] > 0
    assert not (tmp_path / "ran").exists()


def test_a_process_that_fails_is_an_error_with_its_last_line(saved: Path) -> None:
    with pytest.raises(RunError, match=r"could not classify one row \(exit code 1\): ValueError: no"):
        bench._one_start([bench.sys.executable, "-c", "raise ValueError('no')"])


@pytest.mark.parametrize(
    ("candidates", "more", "said"),
    [
        ([], {}, "there is nothing to measure"),
        (["{saved}", "{saved}"], {}, "a model is named twice"),
        (["{saved}"], {"texts": None}, r"no model names its corpus, .* give texts \(--texts FILE\)"),
        (["{saved}"], {"texts": [("a", "b")]}, "expected one or more rows of 1 text each"),
        (
            ["{saved}"],
            {"texts": Path("none.txt")},
            r"none\.txt: there is no such file; check its name and folder\.",
        ),
        (["{saved}"], {"batches": (0,)}, r"batches = \[0\], seconds = 1e-09: both must be above 0"),
        (["{onnx}@bf16"], {}, "a bundle has the precision that it was exported with; leave out @bf16"),
        (["nowhere"], {}, "nowhere does not exist"),
        (["{saved}"], {"device": "tpu"}, "device = tpu: expected cpu or cuda"),
    ],
)
def test_bad_input_is_one_sentence(
    candidates: list[str], more: dict[str, Any], said: str, saved: Path, onnx_bundle: Path
) -> None:
    named = [each.format(saved=saved, onnx=onnx_bundle) for each in candidates]
    with pytest.raises(ConfigError, match=said):
        measured(named, **more)


def test_a_gpu_that_is_not_there_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device = cuda, but torch finds no GPU on this machine; leave it out"):
        measured([saved], device="cuda")


@pytest.mark.skipif(not bench.torch.cuda.is_available(), reason="needs a GPU")
def test_students_are_timed_on_a_gpu_and_bundles_on_the_cpu(saved: Path, onnx_bundle: Path, no_starts: None) -> None:
    found = measured([saved, onnx_bundle], device="cuda")
    assert [" on " in each["runtime"] for each in found.candidates] == [True, False]
    assert all(row["p50_ms"] > 0 for row in found.rows)


def test_the_command_prints_tables_and_one_json_document(
    saved: Path, onnx_bundle: Path, tmp_path: Path, no_starts: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(made.TEXTS))
    command = ["bench", str(saved), str(onnx_bundle), "--texts", str(tmp_path / "texts.txt")]
    command += ["--batches", "1", "--threads", "1", "--seconds", "1e-9"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "times_faster" in shown
    assert "cold_start_ms" in shown
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in document["rows"]] == [str(saved), str(onnx_bundle)] * 3
    assert main([*command, "--batches", "x"]) == 2
    assert "--batches x: expected whole numbers of 1 or more" in capsys.readouterr().err


def test_models_that_tag_tokens_are_timed_with_lists_and_with_texts(
    tagger: TrainedModel, tag_bundle: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_saved(tagger, tmp_path / "student")
    tokens = made.TAGGED["tokens"]
    lines = (json.dumps({"tokens": each}) + "\n" for each in tokens)
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    student, bundle = candidate_of(tmp_path / "student"), candidate_of(tag_bundle)
    rows = [(each,) for each in tokens]
    assert [student.lengths([row])[0] for row in rows[:9]] == [bundle.lengths([row])[0] for row in rows[:9]]
    assert bench._texts([student], tmp_path / "rows.jsonl") == bench._texts([bundle], tokens) == rows
    assert bench._texts([bundle], ["a film."]) == [(["a", "film", "."],)]
    starts: list[list[str]] = []
    monkeypatch.setattr(bench, "_one_start", lambda command: starts.append(command) or (0.5, 2e8))
    found = measured([tmp_path / "student", tag_bundle], texts=tokens)
    assert {(row["length"], row["batch"]) for row in found.rows} == {
        (length, batch) for length in ("median", "p95", "128") for batch in (1, 2)
    }
    assert {each["tokens"] for each in found.rows if each["length"] == "128"} == {32}  # all that it reads
    assert {command[-1] for command in starts} == {" ".join(tokens[0])}
    bench.answer(str(tmp_path / "student"), "fp32", "cpu", ("a bad film.",))
    with pytest.raises(ConfigError, match=r"all models must read texts, or all lists of tokens: .* reads tokens"):
        measured([tag_bundle, saved])

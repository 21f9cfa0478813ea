"""Students by the latency of their export: what is measured, which shapes are left, and the bundle at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tagged
import tiny

from kdray.api import experiments as api
from kdray.api.dataset import Dataset
from kdray.api.experiments import search, search_settings
from kdray.config import RunConfig, merge, parse
from kdray.engines import InProcess
from kdray.engines.choice import Local
from kdray.errors import ConfigError, RunError
from kdray.evaluate.latency import Load
from kdray.experiments import latency
from kdray.experiments.documents import Provenance
from kdray.experiments.latency import Exported, changed, exported_latency, shape_of, within
from kdray.experiments.settings import Shapes, SweepSettings
from kdray.export.bench import OneRow
from kdray.report import summary
from kdray.results import Bundle, ExportedLatency
from kdray.stages import Context, read
from kdray.stages.train_stage import result_of
from kdray.store import Store

QUIET = Load(0.0)


def space(trial: Any, shape: Mapping[str, Any]) -> dict[str, Any]:
    return {"train.learning_rate": trial.suggest_categorical("rate", [3e-3, 1e-3])}


def settings(*depths: int, limit: float | None = 2.0) -> SweepSettings:
    shapes = Shapes([{"student.layers": depth} for depth in depths], space)
    start = {"label": "defaults", "params": {"rate": 3e-3}}
    return SweepSettings("s", lambda trial: space(trial, {}), [start], trials=2, shapes=shapes, limit_ms=limit)


def measured(run: RunConfig, ms: Mapping[int, tuple[float, float]]) -> Exported:
    """By depth, in onnx and onnx-int8."""
    students = {
        shape_of(changed(run, {"student.layers": depth})): {"onnx": fp32, "onnx-int8": int8}
        for depth, (fp32, int8) in ms.items()
    }
    return Exported(students, {"teacher": 9.0}, 7, "", {})


RUN = parse({"student": {"layers": 3}}, source="test")
TIMES = {1: (1.0, 0.5), 2: (2.5, 1.5), 3: (4.0, 2.1)}


class Asked:
    def __init__(self) -> None:
        self.choices: dict[str, list[Any]] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.choices[name] = list(choices)
        return choices[-1]


def test_only_shapes_within_the_limit_are_searched_and_trial_0_gets_the_slowest_of_them() -> None:
    narrowed, run = within(settings(1, 2, 3), RUN, measured(RUN, TIMES))
    assert run.student.layers == 2
    assert narrowed.starts[0]["params"] == {"rate": 3e-3, "student": "layers=2"}
    trial = Asked()
    assert narrowed.space(trial) == {"student.layers": 2, "train.learning_rate": 1e-3}
    assert trial.choices["student"] == ["layers=1", "layers=2"]


def test_the_runs_own_shape_is_kept_if_it_meets_the_limit() -> None:
    _, run = within(settings(1, 3, limit=2.1), RUN, measured(RUN, TIMES))
    assert run == RUN


def test_one_shape_alone_is_no_parameter_of_the_search() -> None:
    narrowed, _ = within(settings(1, 2, limit=1.0), RUN, measured(RUN, TIMES))
    assert narrowed.starts[0]["params"] == {"rate": 3e-3}
    assert narrowed.space(Asked())["student.layers"] == 1


def test_a_limit_that_no_student_meets_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"within 0.4 ms on this machine: the fastest, 1 layer of minilm, takes 0.50"):
        within(settings(1, 2, limit=0.4), RUN, measured(RUN, TIMES))


def test_a_shape_that_was_not_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match="the student 5 layers of minilm was not measured"):
        measured(RUN, TIMES).of(changed(RUN, {"student.layers": 5}))


def test_which_layers_and_tokens_are_kept_does_not_change_the_shape() -> None:
    shapes = [{"layers": 3}, {"layers": [0, 2, 4]}, {"layers": 3, "init": "skip"}, {"layers": 3, "vocabulary": "trim"}]
    assert len({shape_of(parse({"student": each}, source="test")) for each in shapes}) == 1
    others = [{"student": {"layers": 2}}, {"student": {"layers": 3}, "train": {"max_length": 64}}]
    assert not {shape_of(parse(each, source="test")) for each in others} & {shape_of(RUN)}


@pytest.fixture
def run(tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path) -> RunConfig:
    return tiny.run_config(
        tiny_encoder,
        tiny_corpus,
        store=str(tmp_path / "store"),
        student={"encoder": str(tiny_encoder), "layers": 2},
        train=tiny.training(1),
        method={"name": "kd"},
    )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Bundles take a millisecond a layer; what was exported and timed together is listed."""
    calls = list[list[str]]()

    def drafts(model: Any, place: Path, formats: Sequence[str]) -> dict[str, Path]:
        layers = getattr(model.load_model()[0].config, "num_hidden_layers", 1)
        return {format: place / format / str(layers) for format in formats}

    def timed(candidates: Sequence[str], corpus: Any) -> OneRow:
        calls.append([str(each) for each in candidates])
        return OneRow({str(each): _ms(str(each)) for each in candidates}, 7, QUIET)

    monkeypatch.setattr(latency, "write_drafts", drafts)
    monkeypatch.setattr(latency, "candidate_of", str)
    monkeypatch.setattr(latency, "_timed", timed)
    return calls


def _ms(folder: str) -> float:
    parts = Path(folder).parts
    return float(parts[-1]) * (1.0 if parts[-2] == "onnx" else 0.5) if parts[-1].isdigit() else 0.9


def test_shapes_and_teachers_are_timed_in_turns_and_once(run: RunConfig, fake: list[list[str]]) -> None:
    context = Context(Store(run.store), InProcess(), None)
    corpus = read(run.corpus, context)
    shapes = [{"student.layers": depth, "student.vocabulary": v} for depth in (1, 2) for v in ("full", "trim")]
    asked = replace(settings(1), shapes=Shapes(shapes, space))
    found = exported_latency(asked, run, corpus, context.store)
    assert [len(each) for each in fake] == [5]  # two depths in two formats, and the teacher
    assert found.of(run) == {"onnx": 2.0, "onnx-int8": 1.0}
    assert found.fastest(changed(run, shapes[1])) == 0.5
    assert found.teachers == {"t": 4.0}
    again = exported_latency(asked, run, corpus, context.store)
    assert again == found
    assert len(fake) == 1
    exported_latency(settings(3), run, corpus, context.store)
    assert len(fake) == 2  # another shape is measured


def test_students_and_teachers_that_tag_words_are_exported_as_such(
    tmp_path: Path, tiny_encoder: Path, fake: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[str] = []

    def drafts(model: Any, place: Path, formats: Sequence[str]) -> dict[str, Path]:
        kinds.append(type(model.load_model()[0]).__name__)
        return {format: place / format / "1" for format in formats}

    monkeypatch.setattr(latency, "write_drafts", drafts)
    run = parse(tagged.settings(tiny_encoder, tagged.save(tmp_path / "films")), source="test")
    context = Context(Store(str(tmp_path / "store")), InProcess(), None)
    exported_latency(settings(1), run, read(run.corpus, context), context.store)
    assert kinds == ["BertForTokenClassification"] * 2


def test_too_many_shapes_are_refused(run: RunConfig, fake: list[list[str]]) -> None:
    context = Context(Store(run.store), InProcess(), None)
    with pytest.raises(ConfigError, match="has 40 shapes of students; at most 32"):
        exported_latency(settings(*range(1, 41)), run, read(run.corpus, context), context.store)


def test_a_student_whose_size_is_known_after_training_is_fitted_first(run: RunConfig, fake: list[list[str]]) -> None:
    changes = {"student.encoder": None, "student.layers": 3, "student.architecture": {"name": "logistic"}}
    fitted = parse(merge(run.model_dump(mode="json"), changes), source="test")
    context = Context(Store(run.store), InProcess(), None)
    wanted = replace(settings(1), shapes=Shapes([{}], space), formats=("onnx",))
    found = exported_latency(wanted, fitted, read(run.corpus, context), context.store)
    assert found.has(fitted)
    (made,) = context.store.artifacts("distill")
    assert result_of(made)["spec"]["model"]["architecture"]["name"] == "logistic"


def swept(run: RunConfig, limit: float) -> Mapping[str, Any]:
    origin = Provenance("x", "command", "command")
    asked = settings(1, 2, limit=limit)
    return search_settings(asked, run, seeds=[0], engine=Local(), provenance=origin).result


def test_a_sweep_with_a_limit_ends_with_a_bundle_that_was_timed_again(run: RunConfig, fake: list[list[str]]) -> None:
    document = swept(run, 0.95)
    assert {trial["latency_ms"] for trial in document["trials"]} == {0.5}
    assert {row["latency_ms"] for row in document["confirmation"]} == {0.5}
    assert document["teachers"][0]["latency_ms"] == 4.0
    bundle = document["latency"]["bundle"]
    folder = Path(run.store) / "sweeps/s/bundle"
    assert bundle["folder"] == str(folder)
    assert bundle["format"] == "onnx-int8"  # onnx takes 1 ms
    assert (folder / "model.onnx").is_file()
    assert bundle["p50_ms"] == 0.9
    assert len(fake) == 2
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".bundle")] == []
    page = (folder.parent / "report.html").read_text()
    assert "latency of the bundle (onnx-int8)" in page
    assert "answers one row of 7 tokens in 0.90 ms, 4.4 times faster than the export of teacher" in page
    assert "Latency may have been measured while other trainings ran" not in page


def test_a_wanted_bundle_needs_no_limit(run: RunConfig, fake: list[list[str]]) -> None:
    origin = Provenance("x", "command", "command")
    wanted = replace(settings(2), limit_ms=None, bundle=True, formats=("onnx-int8", "onnx"))
    document = search_settings(wanted, run, seeds=[0], engine=Local(), provenance=origin).result
    bundle = document["latency"]["bundle"]
    assert (bundle["format"], bundle["p50_ms"], document["latency"]["limit_ms"]) == ("onnx-int8", 0.9, None)
    folder = Path(run.store) / "sweeps/s/bundle"
    assert bundle["megabytes"] == pytest.approx(sum(p.stat().st_size for p in folder.iterdir() if p.is_file()) / 1e6)
    assert f"(onnx-int8, {bundle['megabytes']:.0f} MB) answers" in (folder.parent / "report.html").read_text()


def test_a_resumed_sweep_takes_the_formats_of_its_command(run: RunConfig, fake: list[list[str]]) -> None:
    origin = Provenance("x", "command", "command")
    for formats in (("onnx", "onnx-int8"), ("onnx-int8",), ("onnx",), ("onnx-int8", "onnx")):
        again = replace(settings(2), limit_ms=None, bundle=True, formats=formats)
        document = search_settings(again, run, seeds=[0], engine=Local(), provenance=origin).result
        assert document["latency"]["bundle"]["format"] == formats[0]
        assert all(set(found) == set(formats) for found in document["latency"]["students"].values())


def test_a_resumed_sweep_does_not_time_its_bundle_again(run: RunConfig, fake: list[list[str]]) -> None:
    first = swept(run, 0.95)
    assert len(fake) == 2
    again = swept(run, 0.95)
    assert len(fake) == 2
    assert again["latency"]["bundle"] == first["latency"]["bundle"]
    assert first["seconds"]["by_phase"]["make the bundle"] > 0
    assert sum(first["seconds"]["by_phase"].values()) <= first["seconds"]["total"]


def test_the_slowest_teacher_is_shown_with_its_own_size() -> None:
    deployed = Bundle(folder="b", student="x", trial=3, format="onnx", p50_ms=2.0)
    times = ExportedLatency(
        formats=("onnx",),
        students={},
        teachers={"deep": 8.0, "wide": 6.0},
        tokens=7,
        bundle=deployed,
        teacher_megabytes={"deep": 40.0, "wide": 90.0},
    )
    assert "4.0 times faster than the export of teacher deep (40 MB)" in summary._deployed(times, deployed)


def test_a_wanted_bundle_that_does_not_agree_is_one_sentence(
    run: RunConfig, fake: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "_exported", lambda *_: "it has other scores")
    wanted = replace(settings(2), limit_ms=None, bundle=True, formats=("onnx",))
    with pytest.raises(RunError, match=r"no export agrees with its student \(\w{12} as onnx: it has other scores"):
        search_settings(wanted, run, seeds=[0], engine=Local(), provenance=Provenance("x", "y", "z"))


def test_a_bundle_that_is_too_slow_at_the_end_is_not_kept(
    run: RunConfig, fake: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "_exported", lambda *_: {"p50_ms": 3.0, "tokens": 7, "warning": "", "proof": {}})
    with pytest.raises(RunError, match=r"no bundle was measured within 0.95 ms \(\w{12} as onnx-int8: 3.00 ms"):
        swept(run, 0.95)
    assert not (Path(run.store) / "sweeps/s/bundle").exists()
    assert (Path(run.store) / "sweeps/s/result.json").is_file()


@pytest.mark.parametrize(
    ("under", "store", "said"),
    [(0, "store", "under_ms = 0: it must be above 0"), (2, "bucket", "needs a store in a folder, not bucket")],
)
def test_a_limit_that_cannot_be_measured_is_refused(
    under: float, store: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "Store", lambda uri: SimpleNamespace(is_local=uri == "store"))
    monkeypatch.setattr(api, "run_of", lambda *_, **__: RUN.model_copy(update={"store": store}))
    with pytest.raises(ConfigError, match=said):
        search({"student.layers": [1, 3]}, None, Dataset.load("sample"), under_ms=under)


@pytest.mark.parametrize(
    ("loads", "wanted", "calls"),
    [((0.0,), 3.0, 1), ((1.0, 0.0), 2.0, 2), ((1.0, 1.0, 1.0), 2.0, 3), ((1.0, 1.0, 0.0), 4.0, 3)],
)
def test_a_busy_machine_is_timed_again_and_a_quiet_time_counts(
    loads: tuple[float, ...], wanted: float, calls: int, run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(zip((3.0, 2.0, 4.0), loads, strict=False))
    rows: list[Any] = []

    def timed(candidates: Any, given: Sequence[tuple[str, ...]]) -> OneRow:
        rows.append(given)
        ms, others = next(times)
        return OneRow({"a": ms}, 7, Load(others))

    monkeypatch.setattr(latency, "time_one_row", timed)
    corpus = read(run.corpus, Context(Store(run.store), InProcess(), None))
    assert latency._timed([], corpus).p50_ms == {"a": wanted}
    assert len(rows) == calls
    assert all(len(row) == 1 for row in rows[0])

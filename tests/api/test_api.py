"""The public Python API, as a notebook uses it: in one process, without Ray."""

import json
import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny

import kdray as kd
from kdray.api import trials
from kdray.api.experiments import _labeled  # pyright: ignore[reportPrivateUsage]
from kdray.api.listing import list_corpora
from kdray.api.runs import run_of
from kdray.errors import ConfigError
from kdray.methods import Batch, Method, parse_method
from kdray.stages import Context, InProcess, prepare
from kdray.stages import distill as distill_stage

ROOT = Path(__file__).parents[2]
QUICK = {"epochs": 8, "learning_rate": 5e-3, "max_length": tiny.MAX_LENGTH, "precision": "fp32"}
NO_CHECK = {"outputs": {"quality_check": False}}


def frame(start: int, stop: int) -> pd.DataFrame:
    return pd.DataFrame([tiny.opinion(number) for number in range(start, stop)])[["text", "label"]]


@pytest.fixture(scope="module")
def data() -> kd.Dataset:
    return kd.Dataset.from_pandas(frame(0, 48), test=frame(1000, 1016))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("api") / "store")


@pytest.fixture(scope="module")
def teacher(tiny_encoder: Path) -> kd.Teacher:
    return kd.Teacher(str(tiny_encoder), train=QUICK)


@pytest.fixture(scope="module")
def student(teacher: kd.Teacher, data: kd.Dataset, tiny_encoder: Path, store: str) -> kd.Student:
    encoder = kd.Encoder(str(tiny_encoder), layers=1)
    method = kd.methods.KD(temperature=4.0)
    return kd.distill(teacher, data, student=encoder, method=method, train=QUICK, store=store, **NO_CHECK)


def test_a_notebook_needs_no_ray(tiny_encoder: Path, tmp_path: Path) -> None:
    code = f"""
        import sys
        import pandas as pd
        import kdray as kd

        rows = pd.DataFrame({{"review": ["a good film", "a bad film", "good and good", "bad and bad"] * 12,
                             "stars": [1, 0, 1, 0] * 12}})
        data = kd.Dataset.from_pandas(rows, text="review", label="stars")
        teacher = kd.Teacher({str(tiny_encoder)!r}, train={QUICK!r}).fit(data)
        student = kd.distill(teacher, data, student=kd.Encoder({str(tiny_encoder)!r}, layers=1),
                             method=kd.methods.KD(temperature=4.0), train={QUICK!r}, outputs={{"quality_check": False}})
        print(student.predict_proba(["a very good film"]).sum(), student.labels, "ray" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    total, rest = done.stdout.split(maxsplit=1)
    assert float(total) == pytest.approx(1.0)
    assert rest.strip() == "('0', '1') False"
    assert "5 of 48 rows were held out" in done.stderr


def test_it_is_the_student_of_the_same_settings_in_yaml(
    student: kd.Student, data: kd.Dataset, tiny_encoder: Path, store: str
) -> None:
    run = kd.RunConfig.model_validate(
        {
            "store": store,
            "corpus": data.settings.model_dump(),
            "prune": {"policy": "none"},
            "teachers": [{"encoder": str(tiny_encoder), "train": QUICK}],
            "student": {"encoder": str(tiny_encoder), "layers": 1},
            "method": {"name": "kd", "temperature": 4.0},
            "train": QUICK,
            **NO_CHECK,
        }
    )
    context = Context(kd.Store(store), InProcess(), None)
    artifact = distill_stage(run, prepare(run, context), context)
    assert artifact.file("model") == student.folder
    assert all(entry["reused"] for entry in context.journal)


def test_students_predict_and_are_saved_and_loaded(student: kd.Student, data: kd.Dataset, tmp_path: Path) -> None:
    texts = frame(1000, 1016)["text"].tolist()
    scores = student.predict_proba(texts)
    assert scores.shape == (16, 2)
    assert np.allclose(scores.sum(1), 1)
    assert student.predict(texts) == [student.labels[column] for column in scores.argmax(1)]
    again = kd.Student.load(student.save(tmp_path / "out"))
    assert np.array_equal(again.predict_proba(texts), scores)
    assert again.evaluate() == student.evaluate()
    assert again.corpus == student.corpus
    about = json.loads((again.export(tmp_path / "bundle", format="hf") / "bundle.json").read_text())
    assert about["training"]["method"]["name"] == student.result["spec"]["method"]["name"]
    assert list(about["training"]["teachers"]) == [each["info"]["name"] for each in student.result["spec"]["teachers"]]
    assert about["rows"] == "validation rows of folder-data"
    known = json.loads((tmp_path / "out" / "kdray.json").read_text())
    (tmp_path / "out" / "kdray.json").write_text(
        json.dumps({**known, "corpus": {**known["corpus"], "digest": "other"}})
    )
    assert kd.Student.load(tmp_path / "out").corpus is None
    with pytest.raises(ConfigError, match=r"out: the folder exists already; .*\(in Python overwrite=True\)"):
        student.save(tmp_path / "out")
    assert kd.Student.load(student.save(tmp_path / "out", overwrite=True)).corpus == student.corpus
    assert again.save(tmp_path / "out", overwrite=True) == again.folder  # onto itself
    assert np.array_equal(kd.Student.load(tmp_path / "out").predict_proba(texts), scores)
    for place in (student.folder, student.folder.parent):  # in the store
        stored = kd.Student.load(place)
        assert np.array_equal(stored.predict_proba(texts), scores)
        assert stored.corpus == student.corpus
    with pytest.raises(ConfigError, match=r"is not a trained classifier: expected a folder that save or kdray export"):
        kd.Student.load(tmp_path)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "bundle.json").write_text('{"format": "onnx"}')
    with pytest.raises(ConfigError, match=r"onnx is an ONNX bundle: kdray predict, serve and bench read it"):
        kd.Student.load(tmp_path / "onnx")
    right = np.mean([a == b for a, b in zip(student.predict(texts), frame(1000, 1016)["label"], strict=True)])
    assert student.evaluate(data)["accuracy"] == pytest.approx(right) == pytest.approx(student.evaluate()["accuracy"])
    assert {"auroc", "log_loss"} <= set(student.evaluate(data, metrics=["auroc", "log_loss"]))
    assert len(student.to_pandas()) == QUICK["epochs"]
    assert "accuracy" in student._repr_html_()


def test_students_are_exported_with_the_validation_rows_of_their_corpus(
    student: kd.Student, data: kd.Dataset, tmp_path: Path
) -> None:
    about = json.loads((student.export(tmp_path / "hf", format="hf") / "bundle.json").read_text())
    assert about["rows"] == "validation rows of folder-data"
    assert about["test"] == student.evaluate()
    again = kd.Student.load(tmp_path / "hf")
    with pytest.raises(ConfigError, match=r"hf does not name its corpus, .* give rows \(--rows FILE: .* text, label\)"):
        again.export(tmp_path / "again", format="hf")
    again.export(tmp_path / "again", format="hf", data=data)
    with pytest.raises(ConfigError, match="format 'tflite' is unknown; known are hf, onnx, onnx-int8"):
        student.export(tmp_path / "x", format="tflite")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("page", "made"), [("README.md", "my-student"), ("docs/api.md", "store/sweeps")])
def test_the_python_of_the_pages_runs(
    page: str,
    made: str,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As it stands, but for a tiny encoder with a higher learning rate."""
    block = re.search(r"```python\n(import kdray.*?)```", (ROOT / page).read_text(), re.S)
    assert block is not None
    code = (
        block.group(1)
        .replace('"minilm"', repr(str(tiny_encoder)))
        .replace("1e-4", "5e-3")
        .replace('"epochs": 3', '"epochs": 8')
    )
    frame(0, 96).rename(columns={"label": "queue"}).to_csv(tmp_path / "tickets.csv", index=False)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, page, "exec"), {})
    assert re.search("accuracy|no-KD baseline", capsys.readouterr().out)
    assert any((tmp_path / made).iterdir())


def test_scores_are_shown_with_those_of_the_teacher_and_of_the_majority_class(
    student: kd.Student, teacher: kd.Teacher, data: kd.Dataset, store: str, tmp_path: Path
) -> None:
    theirs = teacher.fit(data, store=store).evaluate()
    positive = (frame(1000, 1016)["label"] == "positive").mean()
    majority = max(positive, 1 - positive)
    saved = kd.Student.load(student.save(tmp_path / "out"))
    for found in (student.evaluate(), kd.Student.load(student.folder).evaluate(), saved.evaluate()):
        assert found.teachers == {"teacher": {"accuracy": pytest.approx(theirs["accuracy"], abs=1e-4)}}
        assert found.majority == {"accuracy": majority}
        shown = f"(accuracy: teacher {theirs['accuracy']:.4f}, majority class {majority:.4f})"
        scores = ", ".join(f"'{name}': {value:.4f}" for name, value in found.items())
        assert repr(found) == f"{{{scores}}} {shown}"
        assert json.loads(json.dumps(found)) == found
        table = found.to_pandas()
        assert table.index.tolist() == ["this model", "teacher", "majority class"]
        assert table["accuracy"].tolist() == [found["accuracy"], found.teachers["teacher"]["accuracy"], majority]
        assert table.loc["majority class"].isna().sum() == len(found) - 1
    assert f"<td>{majority:.4f}</td>" in student._repr_html_()
    assert (theirs.teachers, theirs.majority) == ({}, {"accuracy": majority})
    again = student.evaluate(data)
    assert (again.teachers, again.majority["accuracy"]) == ({}, majority)
    assert 0 < again.majority["macro_f1"] < majority
    plain = kd.Student(student.folder, student.reading, {})
    with pytest.raises(ConfigError, match=r"was not trained by kdray, so it has no scores: evaluate\(data\)\.$"):
        plain.evaluate()
    assert plain.evaluate(data) == pytest.approx(again)


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ("one text", "put the one text into a list"),
        (pd.DataFrame({"text": ["a", "b"]}), "texts is a DataFrame; give a list of texts, such as one of its columns"),
        ({"text": "a"}, "texts is a dict; give a list of texts"),
        ([3], r"texts\[0\] is 3; expected a text"),
        (["a", ("a", "b")], r"texts\[1\] is \('a', 'b'\); expected a text"),
    ],
)
def test_what_is_not_a_list_of_texts_is_refused(student: kd.Student, texts: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        student.predict(texts)


def test_a_teacher_predicts_and_is_saved_once_it_is_fitted(
    teacher: kd.Teacher, data: kd.Dataset, store: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"teacher is not fitted yet; call teacher = teacher\.fit\(data\) first"):
        teacher.predict(["a good film"])
    fitted = teacher.fit(data, store=store)
    rows = frame(1000, 1016)
    right = np.mean([a == b for a, b in zip(fitted.predict(rows["text"].tolist()), rows["label"], strict=True)])
    assert fitted.evaluate()["accuracy"] == pytest.approx(right)
    assert right > 0.6
    saved = kd.Teacher.from_pretrained(str(fitted.save(tmp_path / "saved"))).fit(data, store=store)
    assert saved.predict(rows["text"].tolist()) == fitted.predict(rows["text"].tolist())
    assert kd.Student.load(tmp_path / "saved").evaluate() == fitted.evaluate()
    with pytest.raises(ConfigError, match=r"teacher is not fitted yet; call teacher = teacher\.fit\(data\) first"):
        teacher.save(tmp_path / "more")


def test_a_student_of_pruned_texts_carries_its_pruner(
    tiny_encoder: Path, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = frame(0, 48)
    rows["text"] = rows["text"] + ". The the the. " + rows["text"] + " very."
    data = kd.Dataset.from_pandas(rows, test=rows.iloc[:12], name="long")
    pruned = kd.prune(data, level="sentence", keep_medoids="none", store=store)
    assert 0 < len(pruned.dropped) < len(pruned.decisions)
    kept = len(pruned.decisions) - len(pruned.dropped)
    assert f"long, pruned by lower_tail: {kept} of {len(pruned.decisions)} sentences and " in repr(pruned)
    assert set(pruned.dropped["reason"]) == {"below threshold"}
    student = kd.distill(None, pruned, student=kd.Encoder(str(tiny_encoder), layers=1), train=QUICK, store=store)
    assert student.pruner is not None
    text = rows["text"][0]
    assert student.pruner.prune([text]) != [text]
    shortened = kd.Student(student.folder, student.reading, student.result, None)
    assert np.array_equal(student.predict_proba([text]), shortened.predict_proba(student.pruner.prune([text])))
    assert kd.Student.load(student.save(tmp_path / "out")).pruner == student.pruner
    (tmp_path / "link").symlink_to(student.folder)
    monkeypatch.setattr(trials, "past_trial", lambda *_, **__: SimpleNamespace(number=0, value=1.0, run=kd.RunConfig()))
    artifact = next(each for each in kd.Store(store).artifacts("distill") if each.path == student.folder.parent)
    monkeypatch.setattr(trials, "student_of", lambda *_: artifact)
    trials.best_trial("s", store=store, export=tmp_path / "best")
    monkeypatch.chdir(student.folder)
    for place in (".", student.folder.parent, tmp_path / "link", tmp_path / "best"):
        assert kd.Student.load(place).pruner == student.pruner


@pytest.mark.parametrize(
    ("methods", "sentence"),
    [
        ([kd.methods.KD], "[KD()], not the class KD."),
        ({"mine": "my_loss.py:MarginKD"}, "[MarginKD()], not 'my_loss.py:MarginKD'."),
        (["kd"], "[KD()], not 'kd'."),
        (kd.methods.KD(), "[KD()], not one object."),
    ],
)
def test_a_comparison_of_other_than_method_objects_is_refused(methods: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=rf"^methods: pass a list of objects such as {re.escape(sentence)}$"):
        kd.compare(methods, None, kd.Dataset.load("sample"))


@pytest.mark.parametrize(
    ("methods", "sentence"),
    [
        ([], "methods: none is given; pass a list of objects such as [KD()]."),
        ({}, "methods: none is given; pass a list of objects such as [KD()]."),
        (
            [kd.methods.KD(), kd.methods.PKD(), kd.methods.KD()],
            "methods: kd is given twice with the same settings; leave one out.",
        ),
        (
            {"no-KD baseline": kd.methods.KD()},
            "methods: the label 'no-KD baseline' is that of a control; choose another one.",
        ),
    ],
)
def test_methods_that_have_no_row_of_their_own_are_refused(methods: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{re.escape(sentence)}$"):
        kd.compare(methods, None, kd.Dataset.load("sample"))


@pytest.mark.parametrize("seeds", [0, -1, [], [1, 1], [-1]])
def test_no_seeds_or_equal_ones_are_refused(seeds: Any) -> None:
    words = rf"^seeds = {re.escape(str(seeds))}: give a number of 1 or more, or different seeds of 0 or more\.$"
    with pytest.raises(ConfigError, match=words):
        kd.compare([kd.methods.KD()], None, kd.Dataset.load("sample"), seeds=seeds)
    with pytest.raises(ConfigError, match=words):
        kd.search({"train.epochs": [1, 2]}, None, kd.Dataset.load("sample"), seeds=seeds)


def test_a_choice_of_a_search_is_no_list() -> None:
    key = "student.architecture.ngrams"
    with pytest.raises(
        ConfigError, match=rf"^space\.{key}: found \[1, 2\] among the choices; each is a text, a number"
    ):
        kd.search({key: [[1, 2]]}, None, kd.Dataset.load("sample"), student=kd.models.NaiveBayes())


def test_a_search_without_trials_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^trials = 0: give a number of 1 or more\.$"):
        kd.search({"train.epochs": [1, 2]}, None, kd.Dataset.load("sample"), trials=0)


class Own(kd.methods.KD):
    """A method from outside."""


def test_methods_of_a_list_are_labeled_by_their_names_and_what_differs(tmp_path: Path) -> None:
    cold, warm = kd.methods.KD(temperature=1.0), kd.methods.KD(temperature=8.0)
    pkd = kd.methods.PKD()
    assert list(_labeled([cold, warm, Own(), pkd])) == ["kd (temperature=1.0)", "kd (temperature=8.0)", "Own", "pkd"]
    (tmp_path / "mine.py").write_text("from kdray.methods import KD\n\n\nclass Own(KD):\n    pass\n")
    both = [Own(), parse_method({"name": f"{tmp_path}/mine.py:Own"})]
    assert list(_labeled(both)) == [each.name for each in both]


class Broken(kd.methods.KD):
    def losses(self, step: Batch) -> dict[str, Any]:
        return {"kd": step.student.logits.sum()}

    terms = Method.terms


class Raises(kd.methods.KD):
    def terms(self, step: Batch) -> Any:
        return step.student.hidden.mean()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (Broken(), r"^method Broken: term kd has the shape \(\); expected one value for each of the 12 rows"),
        (Raises(), r"^method test_api:Raises: it raised AttributeError: 'NoneType'.* \(line \d+\)"),
        (kd.methods.EnsU(), "works with 2 or more"),
    ],
)
def test_every_method_of_a_comparison_is_checked_before_a_training(
    broken: Method, sentence: str, data: kd.Dataset, tiny_encoder: Path, tmp_path: Path
) -> None:
    teacher = kd.Teacher(str(tiny_encoder), train=QUICK)
    common: dict[str, Any] = {"student": kd.Encoder(str(tiny_encoder), layers=1), "train": QUICK}
    with pytest.raises(ConfigError, match=sentence):
        kd.compare([kd.methods.KD(), broken], teacher, data, store=str(tmp_path), **common)
    assert not (tmp_path / "teach").exists()


def test_a_comparison_and_a_search_are_printed_as_tables_with_their_reports() -> None:
    row = {"label": "warm", "test": {"mean": 0.75, "std": 0.25}, "difference": None}
    trial = {"number": 0, "state": "complete", "value": 0.5, "epochs": 2, "error": None, "params": {"alpha": 0.125}}
    teachers = [{"name": "six", "test": 0.875, "majority": 0.5}, {"name": "predicted", "test": None, "majority": None}]
    result: dict[str, Any] = {"settings": {"store": "/some/<store>"}, "confirmation": [row], "trials": [trial]}
    result |= {"metric": "accuracy", "teachers": teachers}
    lines = str(kd.Comparison("mine", result)).splitlines()
    assert lines[1].split()[:3] == ["warm", "0.75", "0.25"]
    assert lines[2] == "accuracy on test; six (teacher) 0.8750, majority class 0.5000"
    assert lines[3] == "report: /some/<store>/sweeps/mine/report.html"
    alone = str(kd.Comparison("mine", result | {"teachers": []}))
    assert alone.splitlines()[2] == "accuracy on test"
    found = kd.Search("mine", result)
    assert "0.125" in repr(found)
    assert "report: /some/&lt;store&gt;/sweeps/mine/report.html" in found._repr_html_()


def test_a_search_and_a_comparison_in_this_process(
    teacher: kd.Teacher, data: kd.Dataset, tiny_encoder: Path, store: str
) -> None:
    common: dict[str, Any] = {
        "student": kd.Encoder(str(tiny_encoder), layers=1), "train": QUICK | {"epochs": 2}, "store": store, **NO_CHECK
    }  # fmt: skip
    space = {"method.temperature": {"low": 1, "high": 20, "log": True}, "method.alpha": [0.5, 0.9]}
    found = kd.search(space, teacher, data, trials=3, seeds=1, name="found", **common)
    trials = found.to_pandas()
    assert trials["number"].tolist() == [0, 1, 2]
    assert found.best["value"] == trials["value"].max()
    assert "no-KD baseline" in found.confirmation["student"].tolist()
    assert (Path(store) / "sweeps" / "found" / "report.html").is_file()

    cold, warm = kd.methods.KD(temperature=1.0), kd.methods.KD(temperature=8.0)
    compared = kd.compare({"cold": cold, "warm": warm}, teacher, data, seeds=2, name="compared", **common)
    table = compared.to_pandas()
    assert table["student"].tolist() == ["cold", "warm", "no-KD baseline"]
    assert Path(compared.report).read_text() == (Path(store) / "sweeps" / "compared" / "report.html").read_text()
    alone = kd.distill(teacher, data, method=warm, **common | {"train": QUICK | {"epochs": 2, "seed": 1}})
    row = next(row for row in compared.result["confirmation"] if row["label"] == "warm")
    assert row["test"]["values"][1] == alone.evaluate()["accuracy"]


def test_datasets_from_elsewhere(tmp_path: Path) -> None:
    import datasets

    rows = frame(0, 20)
    rows.to_csv(tmp_path / "tickets.csv", index=False)
    from_file = kd.Dataset.from_files(tmp_path / "tickets.csv")
    assert from_file.name == "tickets"
    assert len(from_file.to_pandas("train")) == 18
    numbered = rows.assign(label=(rows["label"] == "positive").astype(int))
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    hub = datasets.DatasetDict({"train": datasets.Dataset.from_pandas(numbered, features=features)})
    assert kd.Dataset.from_datasets(hub).options["labels"] == ("no", "yes")
    pairs = kd.Dataset.from_pandas(rows.assign(other=rows["text"]), text=("text", "other"))
    assert [each["role"] for each in pairs.options["fields"]] == ["pair", "pair"]
    assert pairs.settings.fields[1].name == "other"
    stars = rows.assign(label=[float(number % 5 + 1) if number else None for number in range(20)])
    assert kd.Dataset.from_pandas(stars).options["labels"] == ("1", "2", "3", "4", "5")


def test_the_rows_of_a_named_corpus_are_read() -> None:
    data = kd.Dataset.load("sample", limit=40)
    assert len(data.to_pandas("test")) == 300
    rows = data.to_pandas()
    assert len(rows) + len(data.to_pandas("validation")) == 40
    assert {"sentence1", "sentence2", "label"} <= set(rows.columns)
    assert set(rows["label"]) == {"entailment", "not_entailment"}
    with pytest.raises(ConfigError, match=r"^sample has no split 'dev'; it has train, .*test\.$"):
        data.to_pandas("dev")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda data: kd.distill("my-teacher", data), "teacher: found 'my-teacher'; give kd.Teacher(...), "),
        (lambda data: kd.distill(data, kd.Teacher()), "teacher: found a Dataset; kd.distill takes the teacher before "),
        (lambda data: kd.compare([kd.methods.KD()], [kd.Teacher(), 1], data), "teacher: found 1; give kd.Teacher(...)"),
        (lambda data: kd.search({"method.alpha": [0.5]}, None, "a.csv"), "data: found 'a.csv'; give a kd.Dataset, "),
        (lambda data: kd.distill(None, [data]), "data: found [Dataset("),
        (lambda data: kd.prune("a.csv"), "data: found 'a.csv'; give a kd.Dataset, "),
        (lambda data: kd.Teacher().fit("a.csv"), "data: found 'a.csv'; give a kd.Dataset, "),
        (lambda data: kd.Teacher(train=3), 'train: found 3; give a mapping, such as {"epochs": 2}.'),
        (lambda data: kd.distill(None, data, train=["epochs"]), "train: found ['epochs']; give a mapping, "),
        (lambda data: kd.distill(None, data, student="minilm"), "student: found 'minilm'; give kd.Encoder(...), "),
        (lambda data: kd.Encoder(layers="three"), "layers: expected a number, or a list in [ ] (found 'three')."),
        (lambda data: kd.benchmark("no-folder"), "no-folder does not exist; give the folder of a model."),
        (lambda data: kd.benchmark([3]), "candidates: found 3; give folders, students, or teachers that are fitted."),
        (
            lambda data: kd.benchmark(kd.Teacher()),
            "teacher teacher is not fitted yet; call teacher = teacher.fit(data)",
        ),
        (
            lambda data: kd.distill(None, data, method=kd.methods.KD()),
            "method kd works with 1 or more teachers, but teachers has 0; give a teacher, or take method finetune.",
        ),
        (
            lambda data: kd.Dataset.from_pandas(frame(0, 9), limits=4),
            "data: unknown setting limits; did you mean limit?",
        ),
    ],
)
def test_an_argument_of_another_kind_is_refused_in_one_sentence(
    call: Callable[[kd.Dataset], object], sentence: str, data: kd.Dataset
) -> None:
    with pytest.raises(ConfigError) as caught:
        call(data)
    assert str(caught.value).startswith(sentence)
    assert str(caught.value).count(". ") == 0


def test_an_unknown_method_class_is_named_with_the_nearest_one() -> None:
    with pytest.raises(AttributeError, match=r"^module 'kdray\.methods' has no attribute 'KDD'; did you mean KD\?$"):
        _ = kd.methods.KDD  # pyright: ignore


def test_without_a_teacher_the_student_has_the_layers_that_one_of_a_teacher_has(data: kd.Dataset) -> None:
    runs = [
        run_of(each, data, student=None, method=None, train=None, store="store", sections={}, of=kd.distill)
        for each in (None, kd.Teacher())
    ]
    assert [(run.student.layers, run.student.init) for run in runs] == [(3, "skip")] * 2


def test_missing_columns_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data, train has no column 'review'; found: text, label"):
        kd.Dataset.from_pandas(frame(0, 4), text="review")
    with pytest.raises(ConfigError, match="there is no such file"):
        kd.Dataset.from_files(tmp_path / "none.csv")
    for name, more in (("train.jsonl", ""), ("test.csv", f', test="{tmp_path}/test.csv"')):
        (tmp_path / name).write_text("text,label")
        call = f'{tmp_path} is a folder; give its files: kd.Dataset.from_files("{tmp_path}/train.jsonl"{more}).'
        with pytest.raises(ConfigError, match=f"^{re.escape(call)}$"):
            kd.Dataset.from_files(tmp_path)
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ConfigError, match=r"must end in \.parquet, \.csv or \.jsonl"):
        kd.Dataset.from_files(tmp_path / "a.txt")


def test_rows_with_one_text_are_held_out_together_and_doubtful_rows_are_noted() -> None:
    texts = [f"row {row}" for row in range(150)] + [f"row {row}" for row in range(50)]
    labels = ["joy", "fear"] * 75 + ["joy", "fear"] * 24 + ["Fear ", "joy"]
    data = kd.Dataset.from_pandas(pd.DataFrame({"text": texts, "label": labels}))
    kept, held_out = (set(data.tables[split]["text"].to_pylist()) for split in ("train", "test"))
    assert held_out
    assert not kept & held_out
    notes = " / ".join(data.notes)
    assert "labels 'Fear ', 'fear' differ only in case or spaces; is this a typing error?" in notes
    assert "50 rows of train have the text of an earlier row: positions 150, 151, 152 and 47 more" in notes
    assert "2 texts of train have rows with different labels" in notes
    assert "has the text of a row of train:" not in notes


def test_test_rows_that_are_in_train_are_noted() -> None:
    rows = pd.DataFrame({"text": [f"row {row}" for row in range(50)], "label": ["joy", "fear"] * 25})
    data = kd.Dataset.from_pandas(rows[:40], test=rows[30:])
    assert "10 of 20 test rows have the text of a row of train: scores on test may be too high" in data.notes


def test_one_student_is_measured_without_a_list(student: kd.Student) -> None:
    found = kd.benchmark(student, texts=["good news"], batches=[1], threads=[1], seconds=0.01)
    assert {row["model"] for row in found.rows} == {str(student.folder)}
    assert "times_faster" in repr(found)


def test_a_column_cannot_be_text_and_label() -> None:
    frame = pd.DataFrame({"text": ["a", "b"] * 5, "queue": ["x", "y"] * 5})
    with pytest.raises(ConfigError, match=r"column 'queue' is given as text and as label; name two columns\.$"):
        kd.Dataset.from_pandas(frame, text=["text", "queue"], label="queue")


def test_a_row_with_fewer_tags_than_tokens_is_named_where_the_file_is_read(tmp_path: Path) -> None:
    rows = [{"tokens": ["Ada", "lived"], "tags": ["B-PER", "O"]}] * 20 + [{"tokens": ["in", "Rome"], "tags": ["O"]}]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sentence = r'own\.jsonl, line 21 has 2 tokens in "tokens", but 1 tag in "tags": every token needs one tag\.'
    with pytest.raises(ConfigError, match=sentence):
        kd.Dataset.from_files(tmp_path / "own.jsonl", text="tokens", label="tags", task="token_classification")


def test_corpora_that_are_not_on_the_hub_are_not_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KDRAY_DATA", raising=False)
    here = {row["corpus"]: row["here"] for row in list_corpora()}
    assert here["sample"] == "in the package"
    assert here["webkb"] == "not yet; only from KDRAY_DATA"
    assert here["rte"] == "not yet; from the Hugging Face hub"


def test_rows_that_are_held_out_for_test_have_the_share_of_each_class() -> None:
    labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 9 + ["d"]
    held_out = kd.Dataset.from_pandas(pd.DataFrame({"text": [f"row {row}" for row in range(100)], "label": labels}))
    assert Counter(held_out.tables["test"]["label"].to_pylist()) == {"a": 6, "b": 3, "c": 1}
    assert Counter(held_out.tables["train"]["label"].to_pylist()) == {"a": 54, "b": 27, "c": 8, "d": 1}


def test_mistyped_settings_are_refused_in_one_sentence(data: kd.Dataset, teacher: kd.Teacher) -> None:
    with pytest.raises(ConfigError, match=r"^unknown setting train\.epoch; did you mean epochs\?$"):
        kd.Teacher("minilm", train={"epoch": 1})
    with pytest.raises(ConfigError, match=r"^unknown setting train\.epoch; did you mean epochs\?$"):
        kd.distill(teacher, data, train={"epoch": 1})
    with pytest.raises(ConfigError, match=r"^kd\.distill has no argument trian; did you mean train\?$"):
        kd.distill(teacher, data, trian={"epochs": 1})
    with pytest.raises(ConfigError, match=r"^kd: temperature = -1: expected a number above 0\.$"):
        kd.methods.KD(temperature=-1)
    with pytest.raises(ConfigError, match=r"^kd: give settings by name, such as KD\(temperature=...\)\.$"):
        kd.methods.KD(3.0)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ConfigError, match=r"^method: pass an object such as kd\.methods\.KD\(\)"):
        kd.distill(teacher, data, method=len)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match=r'^space: name methods by text, such as "method\.name": \["kd",'):
        kd.search({"method": [kd.methods.KD()]}, teacher, data)
    with pytest.raises(ConfigError, match=r"^unknown setting space\.method\.alpha\.min; allowed are high, log, low\.$"):
        kd.search({"method.alpha": {"min": 0, "max": 1}}, teacher, data)
    with pytest.raises(ConfigError, match=r"^data: train is no DataFrame; for files there is Dataset\.from_files\.$"):
        kd.Dataset.from_pandas("reviews.csv")
    with pytest.raises(ConfigError, match=r"^data, train: column 'label' has one class only, 'good'; give two"):
        kd.Dataset.from_pandas(pd.DataFrame({"text": ["a", "b"], "label": ["good"] * 2}))
    swapped = pd.DataFrame({"text": ["a", "b"] * 20, "label": [f"text {row}" for row in range(40)]})
    sentence = r"^data, train: .* has 40 different labels in 40 labeled rows; .* label= swapped"
    with pytest.raises(ConfigError, match=sentence):
        kd.Dataset.from_pandas(swapped)
    with pytest.raises(ConfigError, match=r"^labels = 'queue': give the classes as a list; .* is label='queue'\.$"):
        kd.Dataset.from_pandas(swapped, labels="queue")
    with pytest.raises(ConfigError, match=r"^kd: direction = 'up': allowed are forward, reverse\.$"):
        kd.methods.KD(direction="up")
    with pytest.raises(ConfigError, match=r"^unknown setting temprature of kd; did you mean temperature\?$"):
        kd.methods.KD(temprature=4)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ConfigError, match=r"^layers = 0: allowed is a number from 1 to 1,000\.$"):
        _ = kd.Encoder("minilm", layers=0).settings
    with pytest.raises(ConfigError, match=r"^unknown setting limits; did you mean limit\?$"):
        kd.Dataset.load("rte", limits=500)
    with pytest.raises(ConfigError, match=r"^unknown setting min_kep; did you mean min_keep"):
        kd.prune(data, min_kep=1)


def test_odd_rows_are_named(caplog: pytest.LogCaptureFixture) -> None:
    rows = frame(0, 60)
    rows.loc[5, "label"] = " "
    rows.loc[6, "label"] = "positiv"
    found = kd.Dataset.from_pandas(rows, name="tickets")
    assert found.options["labels"] == ("negative", "positiv", "positive")
    assert (
        "tickets: train has 1 row without a label: position 5 (the first is 0); students learn from them" in caplog.text
    )
    sentence = "tickets: label 'positiv' has only 1 of 60 rows, so it cannot be in both train and validation; is this a"
    assert caplog.text.count(sentence) == 1
    kd.Dataset.from_pandas(rows, validation=frame(60, 70), name="split")
    kd.Dataset.from_pandas(rows.assign(label=[None] * 5 + list(rows["label"][5:])), name="five")
    assert "five: train has 6 rows without a label: positions 0, 1, 2 and 3 more (the first is 0)" in caplog.text
    assert "split: label 'positiv' has only 1 of 60 rows; is this a typing error?" in caplog.text
    rows.loc[7, "text"] = " "
    with pytest.raises(ConfigError, match=r"^tickets, train, position 7 \(the first is 0\): column 'text' is empty"):
        kd.Dataset.from_pandas(rows, name="tickets")


def test_importing_kdray_loads_nothing_heavy() -> None:
    code = "import sys, kdray; print(sorted({'torch', 'ray', 'transformers', 'pandas', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert set(kd.__all__) <= set(dir(kd))
    assert all(getattr(kd, name) is not None for name in kd.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'distil'; did you mean distill"):
        kd.distil  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing_like_it'$"):
        kd.nothing_like_it  # noqa: B018


@pytest.mark.parametrize(("engine", "shown"), [("ray", "'ray'"), (kd.engines.Ray, "the class Ray")])
def test_what_is_no_engine_is_refused_in_one_sentence(engine: Any, shown: str) -> None:
    data = kd.Dataset.load("sample", limit=60)
    wanted = rf"^engine: found {shown}; give kd\.engines\.Local\(\) or kd\.engines\.Ray\(address=\.\.\.\)\.$"
    with pytest.raises(ConfigError, match=wanted):
        kd.distill(None, data, student=kd.models.NaiveBayes(), engine=engine)


def test_the_result_of_a_comparison_says_what_was_done_to_the_rows(tmp_path: Path) -> None:
    texts = [f"a {word} film of {number} minutes" for number in range(40) for word in ("good", "bad")]
    rows = pd.DataFrame({"text": [*texts, *[""] * 4], "label": [*["good", "bad"] * 40, *["bad"] * 4]})
    data, student = kd.Dataset.from_pandas(rows, skip_empty=True), kd.models.NaiveBayes()
    kd.compare([kd.methods.FineTune()], None, data, student=student, seeds=1, store=str(tmp_path), name="c")
    found = json.loads((tmp_path / "sweeps/c/result.json").read_text())
    origin = found["corpus"]["origin"]
    assert origin.startswith("rows that were given in Python; rows without a text left out: 4 of train; ")
    assert "were held out" in origin
    assert found["settings"]["corpus"]["path"] is None

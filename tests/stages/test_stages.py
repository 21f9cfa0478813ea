"""Every stage in one process, on a corpus and an encoder so small that a whole run takes seconds."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import torch
import transformers

from kdray.config import RunConfig, parse
from kdray.corpora import load_corpus
from kdray.distillation.job import EXPORT_ROWS
from kdray.errors import ConfigError
from kdray.evaluate import predict
from kdray.models import TRANSFORMER, load_classifier
from kdray.signals import Outputs
from kdray.stages import Context, InProcess, distill, no_kd_baseline, outputs, prepare, read, teach
from kdray.stages.train_stage import result_of
from kdray.store import Store
from kdray.tasks import SINGLE_LABEL, score_all
from kdray.teachers import MCDropoutInference


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory):
    return tiny.save_opinions(tmp_path_factory.mktemp("stages") / "opinions", train=80, test=24)


def plain(corpus: Path, encoder: Path, /, **sections: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "teachers": [tiny.teacher(encoder, "one", epochs=8)],
        "outputs": {},
        "assistant": {"train": tiny.training(1)},
        "train": tiny.training(2),
    }
    return tiny.run_settings(encoder, corpus, **(base | sections))


@pytest.fixture(scope="module")
def settings(corpus_folder, tiny_encoder):
    def make(**sections: Any) -> RunConfig:
        return parse(plain(corpus_folder, tiny_encoder, **sections), source="test")

    return make


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(str(tmp_path_factory.mktemp("store")))


def context(store: Store, **engine: Any) -> Context:
    return Context(store, InProcess(**engine), data_dir=None)


def go(run: RunConfig, store: Store, **engine: Any):
    """One run from the corpus to the student, and what its journal says of every artifact."""
    here = context(store, **engine)
    student = distill(run, prepare(run, here), here)
    return student, [(entry["stage"], entry["name"], entry["reused"]) for entry in here.journal]


def two_teachers(run: RunConfig) -> list[dict[str, Any]]:
    first = run.teachers[0].model_dump(mode="json")
    return [first, first | {"name": "two", "train": first["train"] | {"seed": 1}}]


KD = {"name": "kd", "temperature": 3.0}
LOWER_TAIL = {"policy": "lower_tail"}


@pytest.fixture(scope="module")
def students(settings, store):
    """Three methods over one store, one after the other; the last two on a pruned corpus."""
    teachers = two_teachers(settings())
    return {
        "kd": go(settings(method=KD), store),
        "ens_u": go(settings(method={"name": "ens_u"}, teachers=teachers, prune=LOWER_TAIL), store),
        "dekd": go(settings(method={"name": "dekd"}, prune=LOWER_TAIL), store),
    }


def test_every_stage_leaves_its_artifact(students):
    assert students["kd"][1] == [
        ("corpus", "folder-opinions", False),
        ("teach", "folder-opinions-one", False),
        ("outputs", "folder-opinions-one", False),
        ("distill", "folder-opinions-kd", False),
    ]


def test_a_second_method_makes_only_what_it_needs_besides(students):
    assert students["ens_u"][1] == [
        ("corpus", "folder-opinions", True),
        ("teach", "folder-opinions-one", True),
        ("outputs", "folder-opinions-one", True),
        ("teach", "folder-opinions-two", False),
        ("outputs", "folder-opinions-two", False),
        ("prune", "folder-opinions-lower_tail", False),
        ("distill", "folder-opinions-ens_u", False),
    ]
    made = [entry for entry in students["dekd"][1] if not entry[2]]
    assert made == [
        ("prune", "folder-opinions-lower_tail", False),  # the graph of one teacher's embeddings
        ("assist", "folder-opinions-one-ta2", False),  # between 1 and 4 layers
        ("outputs", "folder-opinions-one-ta2", False),
        ("distill", "folder-opinions-dekd", False),
    ]


def test_running_again_re_uses_everything(students, settings, store):
    for run, name in (
        (settings(method=KD), "kd"),
        (settings(method={"name": "dekd"}, prune=LOWER_TAIL), "dekd"),
    ):
        student, journal = go(run, store, report=lambda epoch: pytest.fail("trained again"))
        assert student == students[name][0]
        assert all(reused for _, _, reused in journal)
        assert [entry[:2] for entry in journal] == [entry[:2] for entry in students[name][1]]


def test_another_temperature_runs_no_teacher_again(students, settings, store):
    _, journal = go(settings(method=KD | {"temperature": 9.0}), store)
    assert [entry[0] for entry in journal if not entry[2]] == ["distill"]


def test_nothing_is_left_of_the_work(students, store):
    assert store.children("work") == []
    assert store.children("drafts") == []


def test_the_result_has_the_settings_and_the_scores(students):
    student, _ = students["dekd"]
    result = result_of(student)
    assert result["kind"] == "run"
    assert result["metric"] == "accuracy"
    assert set(result["metrics"]) == {
        "validation",
        "test",
    }  # whole examples fell, so there are no shorter texts to score
    assert all(set(scores) == {"accuracy", "macro_f1"} for scores in result["metrics"].values())
    assert [epoch["epoch"] for epoch in result["history"]] == [1, 2]
    terms = {"hard", "kd_teacher", "kd_assistant", "layers"}
    assert set(result["weights"]) == terms
    assert all(set(epoch["terms"]) == set(epoch["weighted"]) == terms for epoch in result["history"])
    assert result["rows"]["seen"] == 2 * result["rows"]["train"]
    assert result["query_ratio"]["teacher"] == pytest.approx(0.5, abs=0.1)
    assert result["query_ratio"]["assistant"] == pytest.approx(0.25, abs=0.1)
    assert result["cost"]["layers"] == 1
    assert set(result["seconds"]) == {"total", "prepare", "train", "evaluate"}
    assert set(result["majority"]) == {"validation", "test"}
    assert result["majority"]["test"] == 0.5
    assert set(result["versions"]) == {"kdray", "python", "torch", "transformers"}
    assert result["workers"] == 1
    assert "store" not in result["spec"]
    assert {"best_epoch", "queries", "rows_per_second", "title"} <= set(result)
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_kept_epoch_is_scored_once_and_its_scores_are_those_of_the_model(settings, tmp_path, monkeypatch, keep):
    counted: list[int] = []

    def counting(model: Any, rows: Any, **more: Any) -> np.ndarray:
        counted.append(len(rows))
        return predict(model, rows, **more)

    monkeypatch.setattr("kdray.distillation.job.predict", counting)
    run = settings(method={"name": "finetune"}, train=tiny.training(3, keep=keep))
    store = Store(str(tmp_path))
    student, _ = go(run, store)
    (corpus,) = store.artifacts("corpus")
    rows = {split: load_corpus(corpus.folder).labels(split) for split in ("validation", "test")}
    assert counted == [len(rows["validation"])] * 3 + [len(rows["test"]), EXPORT_ROWS]  # the last: the export's check
    for split, labels in rows.items():
        texts = load_corpus(corpus.folder).table(split)["text"].to_pylist()
        scores = TRANSFORMER.scores(student.file("model"), [(text,) for text in texts]).log().numpy()
        metrics = result_of(student)["metrics"][split]
        assert metrics == score_all(tuple(metrics), labels, scores, SINGLE_LABEL)


def test_the_summary_of_a_student_is_in_its_manifest(students):
    student, _ = students["kd"]
    assert student.summary["metric"] == "accuracy"
    assert student.summary["scores"]["test"] == round(result_of(student)["metrics"]["test"]["accuracy"], 4)


def test_the_exported_folder_is_an_ordinary_pipeline(students):
    folder = students["kd"][0].file("model")
    classify = transformers.pipeline("text-classification", model=str(folder), device="cpu")
    said = classify(["a very good film", "the bad film was bad"])
    assert {answer["label"] for answer in said} <= set(tiny.LABELS)
    assert all(0 <= answer["score"] <= 1 for answer in said)
    assert not list(folder.glob("*.bin"))
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: text-classification" in card
    assert "by the method `kd` (temperature = " in card
    assert "), from one, in 2 epochs, with the seed " in card


def test_outputs_are_those_of_the_teacher(students, settings, store):
    here = context(store)
    prepared = prepare(settings(method=KD), here)
    teacher = prepared.teachers[0]
    model = load_classifier(teacher.model.open(store).file("model"), labels=tiny.LABELS, seed=0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(teacher.model.open(store).file("model"))
    for split in ("train", "validation", "test"):
        said = Outputs(teacher.outputs.open(store).folder, split)
        table = pq.read_table(prepared.corpus.folder / f"{split}.parquet")
        assert len(said) == table.num_rows
        texts = table["text"].to_pylist()[:5]
        with torch.no_grad():
            expected = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.numpy()
        found = said.at(said.positions(table["id"].to_pylist()[:5]), frozenset({"logits", "cls"}))
        np.testing.assert_allclose(found.logits.numpy(), expected, rtol=1e-4, atol=1e-5)
        assert found.cls is not None
        assert found.cls.shape == (5, 5, tiny.WIDTH)
    assert teacher.info.layers == 4


def test_a_student_learns_from_what_pruning_left_but_is_scored_on_everything(students):
    student, _ = students["dekd"]
    whole = result_of(students["kd"][0])["rows"]["train"]
    assert 0 < result_of(student)["rows"]["train"] < whole
    assert result_of(student)["spec"]["pruned_corpus"]["stage"] == "prune"


def test_the_log_has_once_how_many_rows_pruning_drops_whole(settings, store, caplog):
    run, here = settings(method=KD, prune=LOWER_TAIL), context(store)
    with caplog.at_level("INFO", logger="kdray"):
        distill(run, prepare(run, here), here)
        prepare(run, here)
    of = store.artifacts("prune")[-1].summary
    assert of["level"] == "row"
    assert of["num_rows"] > of["num_changed"] > 0
    said = f"{of['num_changed']} of {of['num_rows']} training rows are dropped whole; prune.policy.name=none keeps them"
    assert len([line for line in caplog.messages if said in line]) == 1
    caplog.clear()
    with caplog.at_level("INFO", logger="kdray"):
        prepare(run, Context(here.store, here.engine, here.data_dir, is_trial=True))
    assert not [line for line in caplog.messages if "dropped whole" in line]


def test_online_teachers_make_the_same_student_as_cached_ones(students, settings, store):
    """Also with a student that reads less of a row than its teacher does."""
    short = tiny.training(2, max_length=8)
    cached, _ = go(settings(method=KD, train=short), store)
    online, _ = go(settings(method=KD, train=short, outputs={"access": "online"}), store)
    assert online.digest != cached.digest
    assert result_of(online)["history"] == result_of(cached)["history"]
    weights = [(one.file("model") / "model.safetensors").read_bytes() for one in (online, cached)]
    assert weights[0] == weights[1]


@pytest.fixture(scope="module")
def reviews(corpus_folder, tmp_path_factory):
    """The opinions, each followed by a sentence that says nothing."""
    folder = tmp_path_factory.mktemp("reviews") / "reviews"
    folder.mkdir()
    for split in ("train", "test"):
        rows = [json.loads(line) for line in (corpus_folder / f"{split}.jsonl").read_text().splitlines()]
        longer = [row | {"text": f"{row['text']} very very. the film was it."} for row in rows]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in longer))
    return {"name": "folder", "path": str(folder), "labels": list(tiny.LABELS)}


def test_teachers_read_whole_texts_or_pruned_ones(settings, store, reviews):
    pruned = {"name": "match_rate", "rate": 0.4}
    base = {"corpus": reviews, "method": KD, "prune": {"policy": pruned, "level": "sentence"}}
    cached, online = (
        settings(**base, outputs={"teacher_view": "pruned", "access": access}) for access in ("cached", "online")
    )
    student, journal = go(cached, store)
    assert [stage for stage, *_ in journal].count("outputs") == 2
    pruned_corpus = store.artifacts("prune")[-1]
    teacher = result_of(student)["spec"]["teachers"][0]
    answered = Outputs(store.find(**teacher["outputs"]).folder, "train")
    texts = pq.read_table(pruned_corpus.file("train.parquet")).to_pydict()
    model = load_classifier(store.find(**teacher["model"]).file("model"), labels=tiny.LABELS, seed=0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(store.find(**teacher["model"]).file("model"))
    inputs = tokenizer(texts["text"][:6], truncation=True, max_length=32, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits.numpy()
    found = answered.at(answered.positions(texts["id"][:6]), frozenset({"logits"}))
    np.testing.assert_allclose(found.logits.numpy(), expected, rtol=1e-4, atol=1e-5)

    joint_with, _ = go(online, store)
    assert result_of(joint_with)["history"] == result_of(student)["history"]
    whole, _ = go(settings(**base), store)
    assert result_of(whole)["history"] != result_of(student)["history"]


def test_dropout_outputs_are_a_mean_over_passes_that_depend_on_the_row_alone(settings, store):
    teachers = two_teachers(settings())
    one, _ = go(settings(method={"name": "muki", "mc": 3}, teachers=teachers), store)
    other, journal = go(settings(method={"name": "muki", "mc": 3, "alpha": 0.9}, teachers=teachers), store)
    assert [entry for entry in journal if not entry[2]] == [("distill", "folder-opinions-muki", False)]
    assert one.digest != other.digest
    teacher = result_of(one)["spec"]["teachers"][1]
    folder = store.find(**teacher["dropout_outputs"]).folder
    table = pq.read_table(store.artifacts("corpus")[0].file("train.parquet"))
    assert json.loads((folder / "train.ids.json").read_text()) == table["id"].to_pylist()
    probabilities = np.load(folder / "train.mc_probs.npy")
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    model = store.find(**teacher["model"]).file("model")
    inference = MCDropoutInference(
        model, passes=3, name="two", labels=tiny.LABELS, fields=["text"], max_length=32, precision="fp32"
    )
    shown: list[int] = []
    no_kd_baseline = inference(table.slice(7, 2), on_rows=shown.append)["mc_probs"].to_pylist()
    assert shown == [1, 1]
    np.testing.assert_array_equal(probabilities[7:9], no_kd_baseline)
    plain = Outputs(store.find(**teacher["outputs"]).folder, "train")
    logits = plain.at(plain.positions(table["id"].to_pylist()), frozenset({"logits"})).logits
    difference = np.abs(torch.softmax(logits, -1).numpy() - probabilities)
    assert 1e-4 < difference.mean() < 0.3


def test_dropout_outputs_are_never_made_inside_a_step(settings):
    with pytest.raises(ConfigError, match=r"reads outputs with dropout, which is always cached"):
        settings(method={"name": "muki"}, teachers=two_teachers(settings()), outputs={"access": "online"})


def test_there_are_no_pruned_texts_without_pruning(settings):
    with pytest.raises(ConfigError, match=r"teacher_view = pruned, but prune\.policy = none"):
        settings(method=KD, outputs={"teacher_view": "pruned"})


def test_a_student_alone_needs_no_teacher(settings, store, students):
    run = no_kd_baseline(settings(method=KD, prune=LOWER_TAIL, student={"layers": 1, "init_from": "teacher"}))
    assert (run.method.name, run.prune.policy.name, run.student.init_from) == ("finetune", "none", "encoder")
    assert (run.student.encoder, run.student.layers) == (settings().teachers[0].encoder, 1)
    student, journal = go(run, store)
    assert [entry[:2] for entry in journal] == [("corpus", "folder-opinions"), ("distill", "folder-opinions-finetune")]
    assert "by the method `finetune`, without a teacher, in" in (student.file("model") / "README.md").read_text()
    assert result_of(student)["queries"] == {}


@pytest.mark.parametrize("init", ["bottom", "skip"])
def test_the_baseline_begins_with_the_students_own_layers(settings, tmp_path, init):
    other = str(tiny.save_encoder(tmp_path / "other", seed=5))
    teachers = [{"name": "t", "encoder": other}]
    for student in (
        {"layers": 2, "init": init, "init_from": "teacher"},
        {"layers": 2, "init": init, "init_from": "teacher", "encoder": other},
        {"layers": 2, "init": init, "encoder": other},
    ):
        baseline = no_kd_baseline(settings(method=KD, teachers=teachers, student=student)).student
        assert baseline == type(baseline)(encoder=other, layers=2, init=init)


def test_swapped_roles_of_fields_are_another_corpus(settings, store, tmp_path):
    folder = tiny.save_opinions(tmp_path / "pairs", train=20, test=8)
    for split in ("train", "test"):
        lines = [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]
        lines = [line | {"other": "a film"} for line in lines]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def digest(*roles):
        fields = [{"name": name, "role": role} for name, role in zip(("text", "other"), roles, strict=True)]
        corpus = tiny.opinions(folder) | {"fields": fields}
        return read(settings(corpus=corpus).corpus, context(store)).digest

    assert len({digest("context", "query"), digest("query", "context"), digest("pair", "pair")}) == 3


@pytest.mark.parametrize("origin", ["teacher", "assistant"])
def test_students_may_start_from_a_teacher_or_an_assistant(students, settings, store, origin):
    start = {"layers": 2, "init": "skip", "init_from": origin}
    student, _ = go(settings(method={"name": "dekd", "ta_depth": 3}, student=start, train=tiny.training(1)), store)
    assert result_of(student)["cost"]["layers"] == 2


def permuted(teacher_folder: Path, folder: Path) -> Path:
    """The same classifier, counting its classes the other way round."""
    shutil.copytree(teacher_folder, folder)
    model = load_classifier(teacher_folder, labels=tiny.LABELS, seed=0)
    with torch.no_grad():
        model.classifier.weight.copy_(model.classifier.weight.flip(0).clone())
        model.classifier.bias.copy_(model.classifier.bias.flip(0).clone())
    return tiny.save_fine_tuned(folder, model, tiny.LABELS[::-1])


def test_a_teacher_with_its_classes_in_another_order_is_mapped(students, settings, store, tmp_path):
    here = context(store)
    run = settings(method=KD)
    corpus = read(run.corpus, here)
    first = teach(run.teachers[0], corpus, here)
    folder = permuted(first.file("model"), tmp_path / "elsewhere")
    given = run.teachers[0].model_copy(update={"name": "given", "encoder": str(folder), "fine_tuned": True})
    second = teach(given, corpus, here)
    assert result_of(second)["metrics"] == result_of(first)["metrics"]
    assert result_of(second)["history"] == []
    refs = [
        outputs(each, corpus, here, name=name, quality_check=True) for each, name in ((first, "one"), (second, "given"))
    ]
    one, two = (Outputs(ref.outputs.open(store).folder, "test").array("logits") for ref in refs)
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_a_teacher_with_other_classes_is_refused_before_it_is_loaded(settings, store, tmp_path):
    run = settings()
    folder = tiny.save_fine_tuned(tmp_path / "three", tiny.classifier(seed=0, classes=3, layers=1), ("x", "y", "z"))
    given = run.teachers[0].model_copy(update={"name": "three", "encoder": str(folder), "fine_tuned": True})
    with pytest.raises(ConfigError, match=r"^teacher 'three' has the classes \['x', 'y', 'z'\], the task has"):
        teach(given, read(run.corpus, context(store)), context(store))


def test_a_teacher_that_the_method_has_no_place_for_is_left_alone_and_named(settings, store, tmp_path, caplog):
    two = settings(method=KD, teachers=two_teachers(settings()))
    here = context(Store(str(tmp_path / "store")))
    assert [teacher.info.name for teacher in prepare(two, here).teachers] == ["one"]
    assert "method kd learns from the first of the teachers, not from two" in caplog.text
    assert [entry["name"] for entry in here.journal if entry["stage"] == "teach"] == ["folder-opinions-one"]


def test_a_student_that_predicts_one_class_for_all_test_rows_is_pointed_out(settings, store, caplog):
    for features, warns in ((1, True), (50_000, False)):
        caplog.clear()
        student = {"architecture": {"name": "naive_bayes", "features": features}}
        run = settings(method={"name": "finetune"}, student=student)
        distill(run, prepare(run, context(store)), context(store))
        assert ("test rows; it has learned nothing that tells classes apart" in caplog.text) is warns


def test_a_teacher_no_better_than_chance_is_refused(settings, store, tmp_path):
    here = context(store)
    run = settings()
    corpus = read(run.corpus, here)
    model = tiny.classifier(seed=0, layers=1)
    with torch.no_grad():
        model.classifier.weight.zero_()
    folder = tiny.save_fine_tuned(tmp_path / "empty", model, tiny.LABELS)
    given = run.teachers[0].model_copy(update={"name": "empty", "encoder": str(folder), "fine_tuned": True})
    ignorant = teach(given, corpus, here)
    with pytest.raises(
        ConfigError, match=r"^teacher 'empty' scores .* on 'validation', no better than the majority class"
    ):
        outputs(ignorant, corpus, here, name="empty", quality_check=True)
    assert store.children("drafts") == []
    assert outputs(ignorant, corpus, here, name="empty", quality_check=False).info.name == "empty"


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [1, 3])
def test_an_interrupted_teacher_resumes_with_the_same_numbers(students, settings, store, tmp_path, after):
    run = settings()
    broken = Store(str(tmp_path))
    seen: list[int] = []

    def die(epoch: dict[str, Any]) -> None:
        seen.append(epoch["epoch"])
        if epoch["epoch"] == after:
            raise Killed

    here = context(broken, report=die)
    with pytest.raises(Killed):
        teach(run.teachers[0], read(run.corpus, here), here)
    assert broken.artifacts("teach") == []
    assert len(broken.children("work")) == 1
    assert seen == list(range(1, after + 1))
    told: list[int] = []
    here = context(broken, report=lambda epoch: told.append(epoch["epoch"]))
    resumed = teach(run.teachers[0], read(run.corpus, here), here)
    assert told == list(range(1, run.teachers[0].train.epochs + 1))
    assert broken.children("work") == []
    whole = teach(run.teachers[0], read(run.corpus, context(store)), context(store))
    assert result_of(resumed)["history"] == result_of(whole)["history"]
    assert result_of(resumed)["metrics"] == result_of(whole)["metrics"]
    weights = [(one.file("model") / "model.safetensors").read_bytes() for one in (resumed, whole)]
    assert weights[0] == weights[1]


def test_digests_do_not_depend_on_where_or_how_wide_things_run(students, settings, store, tmp_path):
    elsewhere = Store(str(tmp_path))
    one = {
        "name": "one",
        "encoder": settings().teachers[0].encoder,
        "train": tiny.training(8, checkpoint_steps=3),
    }
    run = settings(
        method=KD, teachers=[one], train=tiny.training(2, checkpoint_steps=2), work={"workers": 4, "cpus": 2}
    )
    again, _ = go(run, elsewhere)
    student = students["kd"][0]
    assert again.digest == student.digest
    assert result_of(again)["history"] == result_of(student)["history"]
    weights = [(each.file("model") / "model.safetensors").read_bytes() for each in (again, student)]
    assert weights[0] == weights[1]


def test_a_copy_of_the_encoder_is_the_same_encoder(students, settings, store, tiny_encoder, tmp_path):
    copy = shutil.copytree(tiny_encoder, tmp_path / "copy")
    run = settings(method=KD, student={"encoder": str(copy), "layers": 1})
    student, journal = go(run, store)
    assert student == students["kd"][0]
    assert all(reused for _, _, reused in journal)


@pytest.mark.parametrize(
    "change",
    [
        {"method": KD | {"alpha": 0.4}},
        {"train": tiny.training(2, seed=1)},
        {"train": tiny.training(2, learning_rate=1e-3)},
        {"student": {"layers": 2}},
        {"prune": LOWER_TAIL},
    ],
    ids=str,
)
def test_digests_depend_on_what_changes_the_result(students, settings, store, change):
    encoder = settings().student.encoder
    if "student" in change:
        change = {"student": {"encoder": encoder, "layers": 2}}
    student, _ = go(settings(**({"method": KD} | change)), store)
    assert student.digest != students["kd"][0].digest


def test_changed_rows_are_another_corpus(students, settings, store, tiny_encoder, tmp_path):
    folder = tiny.save_opinions(tmp_path / "opinions", train=80, test=24)
    same = parse(plain(folder, tiny_encoder), source="test")
    first = read(same.corpus, context(store))
    assert first.digest == read(settings().corpus, context(store)).digest
    with (folder / "train.jsonl").open("a") as file:
        file.write(json.dumps(tiny.opinion(500)) + "\n")
    assert read(same.corpus, context(store)).digest != first.digest


def test_an_intermediate_task_comes_first(settings, store, tmp_path):
    """Three classes of another corpus, two of which count as one."""
    folder = tmp_path / "moods"
    tiny.save_opinions(folder, train=30, test=6)
    for split in ("train", "test"):
        lines = [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]
        moods = {"positive": ("happy", "calm"), "negative": ("sad", "sad")}
        lines = [line | {"label": moods[line["label"]][i // 2 % 2]} for i, line in enumerate(lines)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    between = {
        "corpus": {"name": "folder", "path": str(folder), "labels": ["happy", "calm", "sad"]},
        "label_map": {"happy": "positive", "calm": "positive", "sad": "negative"},
        "train": tiny.training(1),
    }
    base = settings().teachers[0].model_dump(mode="json")
    run = settings(teachers=[base | {"name": "twice", "init_from": between, "train": base["train"] | {"epochs": 1}}])
    here = context(store)
    taught = teach(run.teachers[0], read(run.corpus, here), here)
    stages = [(entry["stage"], entry["name"]) for entry in here.journal]
    shared = re.sub("[^A-Za-z0-9.]+", "-", run.teachers[0].encoder).strip("-")  # all teachers from it share this one
    assert stages == [
        ("corpus", "folder-opinions"),
        ("corpus", "folder-moods"),
        ("teach", f"folder-moods-{shared}"),
        ("teach", "folder-opinions-twice"),
    ]
    assert result_of(taught)["spec"]["labels"] == list(tiny.LABELS)


def test_a_student_deeper_than_its_source_is_refused_before_anything_is_made(settings, tmp_path):
    here = context(Store(str(tmp_path)))
    run = settings(method=KD, student={"layers": 9, "init_from": "teacher"})
    with pytest.raises(ConfigError, match=r"student\.layers = 9, but the model it is taken from has 4 layers"):
        prepare(run, here)
    assert not here.journal


def test_too_few_teachers_are_refused_when_settings_are_read(settings):
    with pytest.raises(ConfigError, match="method ens_u works with 2 or more teachers, but teachers has 1"):
        settings(method={"name": "ens_u"})


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"method": {"name": "minilmv2", "teacher_layer": 9}}, "teacher_layer = 9, but one has 4 layers"),
        ({"method": {"name": "minilmv2", "relation_heads": 5}}, "relation_heads = 5 does not divide both widths"),
        ({"method": {"name": "dekd", "ta_depth": 4}}, "ta_depth = 4, but an assistant lies between"),
        ({"method": {"name": "tinybert"}, "student": {"layers": 3}}, "tinybert"),
    ],
)
def test_an_impossible_method_is_refused_before_any_training(settings, store, sections, message, tiny_encoder):
    given = sections | {"student": {"encoder": str(tiny_encoder), "layers": 1} | sections.get("student", {})}
    here = context(store)
    with pytest.raises(ConfigError, match=message):
        prepare(settings(**given), here)
    assert {entry["stage"] for entry in here.journal} <= {"corpus"}


def test_a_teacher_deeper_than_its_encoder_is_named(settings, store):
    run = settings()
    deep = run.teachers[0].model_dump(mode="json") | {"layers": 9}
    with pytest.raises(ConfigError, match=r"teacher one: layers = 9, but .* has 4"):
        prepare(settings(teachers=[deep]), context(store))

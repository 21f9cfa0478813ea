"""Teachers that are files of predictions, from the file to a student."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tiny
from safetensors.numpy import load_file

import kdray as kd
from kdray.api.stages import run_stage
from kdray.errors import ConfigError
from kdray.evaluate import unpack_rows
from kdray.experiments.compare import compare
from kdray.experiments.documents import Provenance
from kdray.signals import Outputs
from kdray.stages import Context, InProcess, distill, prepare
from kdray.stages.outputs import given_scores
from kdray.stages.train_stage import result_of
from kdray.store import Store


@pytest.fixture(scope="module")
def settings(tiny_encoder, tiny_corpus, tmp_path_factory):
    store = str(tmp_path_factory.mktemp("store"))
    return lambda **more: tiny.run_config(tiny_encoder, tiny_corpus, **({"store": store} | more))


def prepared_of(run):
    context = Context(Store(run.store), InProcess(), data_dir=None)
    return prepare(run, context), context


def student_of(run):
    prepared, context = prepared_of(run)
    artifact = distill(run, prepared, context)
    return result_of(artifact), load_file(artifact.file("model") / "model.safetensors"), artifact.digest


@pytest.fixture(scope="module")
def trained(settings):
    """A teacher that kdray ran: its logits of every row as a table, and the settings of its run."""
    run = settings(teachers=settings().model_dump(mode="json")["teachers"])
    prepared, context = prepared_of(run)
    rows = []
    for split in ("train", "validation", "test"):
        outputs = Outputs(prepared.teachers[0].outputs.open(context.store).folder, split)
        ids = pq.read_table(prepared.corpus.file(f"{split}.parquet"))["id"].to_pylist()
        logits = outputs.array("logits")[outputs.positions(ids)]
        rows += [{"id": row, "negative": z[0], "positive": z[1]} for row, z in zip(ids, logits, strict=True)]
    return pd.DataFrame(rows)


def save(folder: Path, table: pd.DataFrame, prefix: str, name: str = "given.parquet") -> str:
    path = folder / name
    table.rename(columns={label: prefix + label for label in tiny.LABELS}).to_parquet(path)
    return str(path)


def given(path: str, name: str = "llm") -> dict[str, str]:
    return {"name": name, "predictions": path}


def same(one, two) -> bool:
    return all(np.array_equal(one[name], two[name]) for name in one)


def far(one, two) -> float:
    return max(float(np.abs(one[name] - two[name]).max()) for name in one)


def test_a_teachers_logits_from_a_file_make_the_same_student_bit_for_bit(settings, trained, tmp_path):
    shuffled = trained.sample(frac=1, random_state=0)
    _, own, digest = student_of(settings())
    result, from_file, other = student_of(settings(teachers=[given(save(tmp_path, shuffled, "logit:"))]))
    assert same(own, from_file)
    assert digest != other
    assert result["spec"]["teachers"][0]["model"] is None


@pytest.mark.parametrize("form", ["logp:", "p:"])
def test_a_teachers_probabilities_from_a_file_make_almost_the_same_student(settings, trained, tmp_path, form):
    logits = trained[list(tiny.LABELS)].to_numpy(np.float64)
    logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    table = trained.copy()
    table[list(tiny.LABELS)] = logp if form == "logp:" else np.exp(logp)
    _, own, _ = student_of(settings())
    _, from_file, _ = student_of(settings(teachers=[given(save(tmp_path, table, form))]))
    assert far(own, from_file) < 1e-3


def test_the_bytes_of_the_file_are_in_the_digest(settings, trained, tmp_path):
    first, _ = prepared_of(settings(teachers=[given(save(tmp_path, trained, "logit:"))]))
    again, _ = prepared_of(settings(teachers=[given(save(tmp_path, trained, "logit:", "other.parquet"))]))
    trained = trained.assign(negative=trained["negative"] + 1)
    changed, _ = prepared_of(settings(teachers=[given(save(tmp_path, trained, "logit:"))]))
    digests = [prepared.teachers[0].outputs.digest for prepared in (first, again, changed)]
    assert digests[0] == digests[1] != digests[2]


def test_scores_are_those_of_the_predicted_rows_with_gold_labels(settings, trained, tmp_path):
    rows = pq.read_table(prepared_of(settings())[0].corpus.file("train.parquet")).slice(0, 4).to_pylist()
    right = [tiny.LABELS[row["label"]] for row in rows]
    wrong = tiny.LABELS[1 - rows[3]["label"]]
    labels = [*right[:3], wrong]
    path = tmp_path / "labels.jsonl"
    lines = [{"id": row["id"], "label": label} for row, label in zip(rows, labels, strict=True)]
    path.write_text("\n".join(map(json.dumps, lines)))
    prepared, context = prepared_of(settings(teachers=[given(str(path))]))
    scores = given_scores(prepared.teachers[0].outputs.open(context.store))
    assert scores["metrics"]["train"]["accuracy"] == 0.75
    assert scores["rows"]["train"]["predicted"] == 4
    assert "test" not in scores["metrics"]
    assert set(scores["majority"]) == {"validation", "test"}


def test_the_table_of_a_run_has_accuracy_and_agreement_and_no_cost(settings, trained, tmp_path):
    known = trained[trained["id"].str.startswith("test:") | (trained.index < 20)].iloc[:-4]
    run = settings(teachers=[given(save(tmp_path, known, "logit:"))])
    document = run_stage(run, "evaluate")
    _, teacher, majority = document["rows"]
    assert majority == {"model": "majority class", **document["result"]["majority"]}
    assert majority["validation"] < 1
    assert kd.Student.load(document["model"]).evaluate().teachers == {}  # its score is of other rows
    assert teacher["model"] == "llm (predictions)"
    assert not {"parameters", "latency_ms", "layers"} & set(teacher)
    prepared, context = prepared_of(run)
    folder = prepared.teachers[0].outputs.open(context.store).folder
    table = pq.read_table(prepared.corpus.file("test.parquet")).slice(0, 12)
    theirs = Outputs(folder, "test").array("logits")[:12].argmax(1)
    assert teacher["test"] == (theirs == table["label"].to_numpy()).mean()
    ours = kd.Student.load(document["model"]).predict(table["text"].to_pylist())
    same_class = [tiny.LABELS[label] == our for label, our in zip(theirs, ours, strict=True)]
    assert teacher["agreement, test"] == pytest.approx(np.mean(same_class))
    assert document["result"]["agreement"]["llm"]["test"] == teacher["agreement, test"]
    whole = run_stage(settings(teachers=[given(save(tmp_path, trained, "logit:", "whole.parquet"))]), "evaluate")
    scores = kd.Student.load(whole["model"]).evaluate()
    assert scores.teachers == {"llm": {"accuracy": whole["rows"][1]["test"]}}
    right = unpack_rows(document["result"]["right"]["test"])
    assert right.mean() == document["result"]["metrics"]["test"]["accuracy"]
    gold = [tiny.LABELS[label] for label in table["label"].to_pylist()]
    assert right[:12].tolist() == [label == our for label, our in zip(gold, ours, strict=True)]
    assert "agreement, validation" not in teacher


def test_a_comparison_shows_the_agreement_and_takes_no_retention_from_a_part_of_test(settings, trained, tmp_path):
    plain = settings(teachers=[given(save(tmp_path, trained.iloc[:-4], "logit:"))])
    context = Context(Store(plain.store), InProcess(), data_dir=None)
    facts = Provenance(requested="folder", command="kdray compare", resume="kdray compare")
    document = compare(
        "given", {"kd": {"method.name": "kd"}}, plain, context, seeds=[0, 1], cpus=1, gpus=0, provenance=facts
    )
    teacher, students = document["teachers"][0], document["confirmation"]
    assert teacher["parameters"] is None
    assert teacher["latency_ms"] is None
    assert teacher["predicted"]["test"] == {"rows": 16, "predicted": 12}
    of_kd = next(student for student in students if student["label"] == "kd")
    assert of_kd["retention"] is None
    assert set(of_kd["agreement"]["llm"]) == {"validation", "test"}
    assert [(pair["label"], pair["to"]) for pair in document["pairs"]] == [("kd", "no-KD baseline")]
    assert 0 < document["pairs"][0]["p_rows"] <= 1
    page = (Path(plain.store) / "sweeps" / "given" / "report.md").read_text()
    assert "agrees with llm on" in page
    assert "test 12 of 16" in page


def test_predictions_no_better_than_the_majority_class_are_refused(settings, trained, tmp_path):
    same_label = trained.assign(negative=1.0, positive=0.0)
    run = settings(teachers=[given(save(tmp_path, same_label, "logit:"))], outputs={})
    with pytest.raises(ConfigError, match=r"teacher 'llm' scores accuracy .* on 'validation', no better than"):
        prepared_of(run)


def test_rows_without_a_prediction_teach_by_their_hard_labels_alone(settings, trained, tmp_path):
    """With soft labels alone, what the file leaves out changes nothing but the rows in a batch."""
    half = trained.iloc[::2]
    soft = {"name": "kd", "alpha": 1.0}
    result, from_half, _ = student_of(settings(method=soft, teachers=[given(save(tmp_path, half, "logit:"))]))
    train = trained["id"].isin(half["id"]) & (trained.index < result["rows"]["train"])
    assert result["queries"] == {"teacher": int(train.sum())}
    other = trained.copy()
    other.loc[~trained["id"].isin(half["id"]), list(tiny.LABELS)] = np.nan
    _, from_empty_cells, _ = student_of(
        settings(method=soft, teachers=[given(save(tmp_path, other, "logit:", "empty.parquet"))])
    )
    assert same(from_half, from_empty_cells)
    _, whole, _ = student_of(settings(method=soft))
    assert far(whole, from_half) > 1e-4


@pytest.mark.parametrize("method", ["ens_w", "ens_lr_train", "uhc"])
def test_ensembles_mix_files_and_models(settings, trained, tmp_path, method, tiny_encoder):
    run = settings(
        method={"name": method},
        teachers=[given(save(tmp_path, trained.iloc[3:], "logit:")), tiny.teacher(tiny_encoder)],
    )
    result, _, _ = student_of(run)
    assert [teacher["info"]["name"] for teacher in result["spec"]["teachers"]] == ["llm", "t"]
    assert all(np.isfinite(epoch["loss"]) for epoch in result["history"])


def test_other_tasks_refuse_predictions(settings, tiny_encoder, tmp_path):
    folder = tmp_path / "stars"
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}.jsonl").write_text(
            "\n".join(json.dumps({"text": f"film {i}", "label": i}) for i in range(20))
        )
    corpus = {"name": "folder", "path": str(folder), "task": "regression"}
    with pytest.raises(ConfigError, match="rows of one class each, but the task is regression"):
        prepared_of(settings(corpus=corpus, teachers=[given("labels.csv")]))


def test_a_missing_file_is_named(settings):
    with pytest.raises(ConfigError, match=r"predictions nowhere.csv: there is no such file"):
        prepared_of(settings(teachers=[given("nowhere.csv")]))


def test_python_distills_from_labels_for_some_rows(tmp_path, tiny_encoder):
    frames = [pd.DataFrame([tiny.opinion(n) for n in range(*ends)])[["text", "label"]] for ends in ((0, 48), (60, 76))]
    frames[0][:20].to_json(tmp_path / "labels.jsonl", orient="records", lines=True)
    teacher = kd.Teacher.from_predictions(tmp_path / "labels.jsonl", name="llm")
    student = kd.distill(
        teacher,
        kd.Dataset.from_pandas(frames[0], test=frames[1]),
        student=kd.Encoder(str(tiny_encoder), layers=1),
        train=tiny.training(1),
        store=str(tmp_path / "store"),
        outputs={"quality_check": False},
    )
    assert 0 < student.result["queries"]["teacher"] <= 20
    with pytest.raises(ConfigError, match="teacher llm is a file of predictions, without a model that reads texts"):
        teacher.predict(["good film"])
    with pytest.raises(ConfigError, match=r"hand it to kdray\.distill as it is"):
        teacher.fit(kd.Dataset.load("sample"))

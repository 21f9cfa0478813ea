"""Teachers fine-tuned together, from the run's settings to a student of theirs."""

import json

import pytest
import tiny
from safetensors.torch import load_file

from kdray.errors import ConfigError
from kdray.stages import Context, InProcess, distill, prepare
from kdray.stages.train_stage import result_of
from kdray.store import Store


@pytest.fixture(scope="module")
def settings(tiny_encoder, tmp_path_factory):
    store = str(tmp_path_factory.mktemp("store"))
    corpus = tiny.save_opinions(tmp_path_factory.mktemp("joint") / "opinions", train=80, test=24)
    base = {
        "store": store,
        "teacher_training": "joint",
        "teachers": [
            tiny.teacher(tiny_encoder, "deep", epochs=8),
            tiny.teacher(tiny_encoder, "flat", epochs=8, layers=2),
        ],
        "outputs": {},
        "method": {"name": "mtbert"},
        "train": tiny.training(2),
    }
    return lambda **more: tiny.run_config(tiny_encoder, corpus, **(base | more))


def test_teachers_of_one_head_teach_like_any_others(settings):
    run = settings()
    context = Context(Store(run.store), InProcess(), data_dir=None)
    prepared = prepare(run, context)
    models = [ref.model.open(context.store) for ref in prepared.teachers]
    assert [ref.info.layers for ref in prepared.teachers] == [4, 2]
    weights = [load_file(model.file("model") / "model.safetensors") for model in models]
    shared = [name for name in weights[0] if "pooler" in name or "classifier" in name]
    assert shared
    assert all(weights[0][name].equal(weights[1][name]) for name in shared)
    embeddings = "bert.embeddings.word_embeddings.weight"
    assert not weights[0][embeddings].equal(weights[1][embeddings])

    (together,) = [entry for entry in context.journal if entry["name"].endswith("deep-flat")]
    joint = result_of(context.store.find("teach", together["name"], together["digest"]))
    assert [epoch["epoch"] for epoch in joint["history"]] == [*range(1, 9)]
    assert joint["history"][-1]["terms"]["hard"] < joint["history"][0]["terms"]["hard"]
    for model in models:
        assert result_of(model)["history"] == []
        assert result_of(model)["metrics"]["test"]["accuracy"] > 0.8
        assert "as they were given" in (model.file("model") / "README.md").read_text()

    student = distill(run, prepared, context)
    document = json.loads(student.file("result.json").read_text())
    assert [teacher["info"]["name"] for teacher in document["spec"]["teachers"]] == ["deep", "flat"]
    again = Context(context.store, InProcess(), data_dir=None)
    distill(run, prepare(run, again), again)
    assert all(entry["reused"] for entry in again.journal)


def test_separate_teachers_are_other_teachers(settings):
    run = settings(teacher_training="separate")
    context = Context(Store(run.store), InProcess(), data_dir=None)
    digests = {ref.model.digest for ref in prepare(run, context).teachers}
    together = Context(Store(run.store), InProcess(), data_dir=None)
    assert digests.isdisjoint({ref.model.digest for ref in prepare(settings(), together).teachers})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": tiny.training(8, seed=1)}, "flat and deep must have the same train"),
        ({"init_from": "mnli"}, "flat and deep must have the same init_from"),
        ({"layers": None}, "deep and flat begin as the same model and would stay it"),
        ({"classes": ["positive", "negative"]}, "teacher flat sets classes: it has a head of its own"),
        ({"fine_tuned": True}, "teacher flat sets fine_tuned"),
    ],
)
def test_teachers_that_cannot_share_a_head_are_refused(settings, change, message):
    plain = [teacher.model_dump(mode="json") for teacher in settings().teachers]
    with pytest.raises(ConfigError, match=message):
        settings(teachers=[plain[0], plain[1] | change])
    with pytest.raises(ConfigError, match="teachers has 1: two or more share a head"):
        settings(teachers=plain[:1], method={"name": "kd"})


def test_other_tokenizers_are_refused(settings, tiny_encoder, tmp_path):
    other = tiny.save_encoder(tmp_path / "other")
    vocabulary = tiny.WORDS[:5] + tuple(reversed(tiny.WORDS[5:]))
    (other / "vocab.txt").write_text("\n".join(vocabulary))
    tiny.BertTokenizer(vocab=str(other / "vocab.txt"), model_max_length=tiny.POSITIONS).save_pretrained(other)
    plain = [teacher.model_dump(mode="json") for teacher in settings().teachers]
    run = settings(teachers=[plain[0], plain[1] | {"encoder": str(other)}], method={"name": "ens_u"})
    with pytest.raises(ConfigError, match="these have different tokenizers; set teacher_training=separate"):
        prepare(run, Context(Store(run.store), InProcess(), data_dir=None))

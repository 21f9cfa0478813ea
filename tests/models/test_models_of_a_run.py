"""Models that do not fit a run are refused before it starts, in one sentence."""

import shutil

import families
import pytest
import tiny
import transformers

from kdray.config import RunConfig, parse
from kdray.corpora import Field, StoredTask
from kdray.errors import ConfigError
from kdray.models import load_classifier, load_tokenizer
from kdray.stages import check_models

TASK = StoredTask(name="t", fields=(Field(name="text", role="body"),), labels=("no", "yes"), metrics=("accuracy",))


def run_of(folder, **train) -> RunConfig:
    teacher = {"name": "t", "encoder": str(folder), "train": {"max_length": 20, **train}}
    student = {"layers": 2, "init": "skip", "init_from": "teacher"}
    plain = {"teachers": [teacher], "student": student, "method": {"name": "kd"}, "train": {"max_length": 20}}
    return parse(plain, source="test")


def saved(tmp_path, name, *, classes=None, **settings):
    return families.save(
        tmp_path / "enc", {**families.SUPPORTED, **families.REFUSED}[name], classes=classes, **settings
    )


def test_a_folder_that_fits_passes(tmp_path):
    check_models(run_of(saved(tmp_path, "bert")), TASK)


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet"])
def test_a_factorized_word_table_is_made_of_some_families_only(family, tmp_path):
    run = run_of(saved(tmp_path, family))
    run = run.model_copy(update={"student": run.student.model_copy(update={"embedding_rank": 4})})
    if family != "mpnet":
        check_models(run, TASK)
        return
    with pytest.raises(
        ConfigError, match=r"^student\.embedding_rank: family mpnet has embeddings of another kind, .*it"
    ):
        check_models(run, TASK)


def test_tokens_without_an_embedding_are_refused(tmp_path):
    folder = saved(tmp_path, "bert")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<user>", "<url>"]})
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"enc has 2 tokens more than the model has embeddings \(14\), such as '<ur"):
        check_models(run_of(folder), TASK)


def test_a_tokenizer_without_words_is_refused(tmp_path):
    folder = saved(tmp_path, "bert")
    for file in ("vocab.txt", "tokenizer.json"):
        (folder / file).unlink(missing_ok=True)
    (folder / "vocab.txt").write_text("\n".join(tiny.WORDS[:5]))
    transformers.BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"enc has special tokens only: every word would be an unknown token"):
        check_models(run_of(folder), TASK)


@pytest.mark.parametrize("key", ["teachers.0.train", "train"])
def test_rows_longer_than_the_positions_are_refused(key, tmp_path):
    folder = saved(tmp_path, "roberta", max_position_embeddings=65)
    run = run_of(folder, max_length=64 if key == "train" else 65)
    run = run.model_copy(update={"train": run.train.model_copy(update={"max_length": 65})})
    sentence = rf"^{key}\.max_length = 65, but \S+enc reads at most 64 tokens .*; set {key}\.max_length=64 or less"
    with pytest.raises(ConfigError, match=sentence):
        check_models(run, TASK)


def test_a_model_of_one_token_type_gets_none(tmp_path):
    folder = saved(tmp_path, "roberta")
    assert "token_type_ids" in load_tokenizer(folder)("a film", "very good")
    check_models(run_of(folder), TASK)
    model = load_classifier(folder, labels=TASK.labels, seed=0, head="fresh")
    assert "token_type_ids" not in load_tokenizer(folder, model)("a film", "very good")


def test_a_head_of_other_classes_is_replaced_where_it_is_trained_and_refused_where_it_is_used(tmp_path):
    run = run_of(saved(tmp_path, "bert", classes=3))
    check_models(run, TASK)
    teacher = run.teachers[0].model_copy(update={"fine_tuned": True})
    with pytest.raises(ConfigError, match=r"enc is to be used as it is .* a head of 3 classes, and the task has 2 cl"):
        check_models(run.model_copy(update={"teachers": (teacher,)}), TASK)


def test_shared_layers_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"^AlbertForSequenceClassification has no list of layers .* not supported"):
        check_models(run_of(saved(tmp_path, "albert")), TASK)


def test_a_tokenizer_without_padding_is_refused(tmp_path):
    folder = saved(tmp_path, "bert")
    tokenizer = load_tokenizer(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"enc has no padding token"):
        check_models(run_of(folder), TASK)


def test_a_folder_without_weights_is_refused(tmp_path):
    folder = saved(tmp_path, "bert")
    shutil.move(folder / "model.safetensors", folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"enc has no \*\.safetensors file \(pytorch_model\.bin may hold pickled"):
        check_models(run_of(folder), TASK)

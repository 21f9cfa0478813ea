"""Students with a trimmed or a factorized word table, and narrower ones, from the settings to the exported folder."""

import pytest
import tiny

from kdray.distillation import StudentSettings
from kdray.errors import ConfigError
from kdray.export.bundle import export_bundle
from kdray.export.evidence import evidence_for
from kdray.export.trained import open_trained
from kdray.models import load_config
from kdray.stages import Context, InProcess, distill, prepare
from kdray.stages.train_stage import result_of
from kdray.store import Store


def trained(store, encoder, corpus, **student):
    run = tiny.run_config(
        encoder,
        corpus,
        store=str(store),
        student={"encoder": str(encoder), "layers": 1, **student},
        method={"name": "tinybert"},
        train=tiny.training(2),
    )
    context = Context(Store(run.store), InProcess(), None)
    return distill(run, prepare(run, context), context)


def test_a_trimmed_student_scores_as_the_full_one_on_texts_of_its_words(tiny_encoder, tiny_corpus, tmp_path):
    """All rows use all words, so only unused tokens go, and hidden states of the same tokens are compared."""
    full = result_of(trained(tmp_path / "store", tiny_encoder, tiny_corpus))
    trimmed_artifact = trained(tmp_path / "store", tiny_encoder, tiny_corpus, vocabulary="trim")
    trimmed = result_of(trimmed_artifact)
    assert trimmed["metrics"] == full["metrics"]
    assert full["vocabulary"] is None
    counts = trimmed["vocabulary"]
    assert counts["validation_rows_changed"] == 0
    assert counts["before"] == len(tiny.WORDS)
    assert counts["tokens"] <= counts["before"]
    assert full["cost"]["parameters"] - trimmed["cost"]["parameters"] == tiny.WIDTH * (
        counts["before"] - counts["tokens"]
    )


def test_other_architectures_keep_their_vocabulary():
    with pytest.raises(ValueError, match="vocabulary has no effect on a bilstm; leave it out"):
        StudentSettings.model_validate({"architecture": "bilstm", "vocabulary": "trim"})


def test_a_narrower_student_learns_from_wider_hidden_states(tiny_encoder, tiny_corpus, tmp_path):
    narrow = trained(tmp_path / "store", tiny_encoder, tiny_corpus, width=8, heads=2, intermediate=4)
    config = load_config(narrow.file("model"))
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size) == (8, 2, 4)


def test_a_student_wider_than_its_encoder_is_refused_before_training(tiny_encoder, tiny_corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"student\.width = 32, but the model it is taken from has 16"):
        trained(tmp_path / "store", tiny_encoder, tiny_corpus, width=32)
    with pytest.raises(ValueError, match="weights = fresh needs a width, heads, intermediate or embedding_rank"):
        StudentSettings.model_validate({"weights": "fresh"})


def test_a_student_with_a_factorized_and_trimmed_word_table_is_trained_and_exported(
    tiny_encoder, tiny_corpus, tmp_path
):
    """By a method that compares attention and hidden states of layers with those of a teacher of another family."""
    full = trained(tmp_path / "store", tiny_encoder, tiny_corpus)
    student = trained(tmp_path / "store", tiny_encoder, tiny_corpus, embedding_rank=4, vocabulary="trim")
    config, counts = load_config(student.file("model")), result_of(student)["vocabulary"]
    assert (config.model_type, config.embedding_size, config.hidden_size) == ("electra", 4, tiny.WIDTH)
    assert config.vocab_size == counts["tokens"]
    assert result_of(student)["cost"]["parameters"] < result_of(full)["cost"]["parameters"]
    model = open_trained(student.folder)
    about = export_bundle(model, tmp_path / "bundle", format="hf", evidence=evidence_for(model))
    assert about["proof"]["difference"] <= 1e-4


def test_a_rank_that_saves_nothing_is_refused(tiny_encoder, tiny_corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"student\.embedding_rank = 16, but the word table .* has 16 columns"):
        trained(tmp_path / "store", tiny_encoder, tiny_corpus, embedding_rank=16)
    with pytest.raises(ValueError, match="embedding_rank has no effect on a textcnn"):
        StudentSettings.model_validate({"architecture": "textcnn", "embedding_rank": 4})

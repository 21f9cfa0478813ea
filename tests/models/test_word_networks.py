"""Networks that read words: their tokenizer is made of the training rows, their vectors may come from a file."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from kdray.errors import ConfigError
from kdray.models import BiLSTM, Static, TextCNN, load_classifier, load_tokenizer, save_classifier
from kdray.models.unit_tokenizers import rows_of_units, tokenizer_of_units

TEXTS = ["A GOOD film, isn't it?", "It's a good film.", "Good: rareword, otherword"]
FILE = "good 1 2 3\nrareword 4 5 6\nunseen 7 8 9\n"


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    file = tmp_path / "glove.txt"
    file.write_text(FILE)
    return file


def begun(architecture: Any, texts: list[str] = TEXTS, *, seed: int = 0) -> tuple[Any, Any]:
    """For no encoder: the folder is not there."""
    folder = Path("no/encoder")
    model = architecture.build(folder, labels=tiny.LABELS, seed=seed)
    return model, architecture.begin(model, architecture.tokenizer(folder), [texts], seed=seed)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Isn't it GOOD?", ["is", "n't", "it", "good", "?"]),
        ("it 's n't, we've; I’m", ["it", "'s", "n't", ",", "we", "'ve", ";", "i", "’m"]),
        ("a well-made 'film' -- 10%...", ["a", "well", "-", "made", "'", "film", "'", "-", "-", "10", "%", *"..."]),
        ("the cat's aunt, don'ts", ["the", "cat", "'s", "aunt", ",", "don", "'", "ts"]),
        (" ", []),
    ],
)
def test_words_are_lower_case_and_marks_and_contractions_stand_alone(text, words) -> None:
    assert set(rows_of_units("words and marks", [text])) == set(words)
    known = list(dict.fromkeys(words))
    assert tokenizer_of_units("words and marks", known).tokenize(text) == words


def test_frequent_words_and_those_of_the_file_are_known(glove) -> None:
    def words(**settings: Any) -> list[str]:
        ids = begun(TextCNN(filters=2, units="words", **settings))[1].get_vocab()
        assert sorted(ids.values()) == list(range(len(ids)))
        return sorted(ids, key=ids.__getitem__)

    frequent = ["good", ",", "a", "film", "it"]  # in three texts, and in two
    assert words() == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *frequent]
    assert words(vectors=str(glove))[4:] == [*frequent, "rareword"]  # and not `unseen`, which no text has
    assert words(vocabulary=2)[4:] == ["good", ","]
    assert words(min_rows=1)[4:] == [*frequent, "'s", ".", ":", "?", "is", "n't", "otherword", "rareword"]


@pytest.mark.parametrize("kind", [TextCNN, BiLSTM, Static])
def test_vectors_of_the_file_are_those_of_whole_words(kind, glove) -> None:
    model, tokenizer = begun(kind(units="words", vectors=str(glove)))
    table, ids = model.network.table.weight, tokenizer.get_vocab()
    assert table[[ids["good"], ids["rareword"]]].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert table[tokenizer.pad_token_id].tolist() == [0, 0, 0]
    assert table.shape == (len(ids), 3)
    again, _ = begun(kind(units="words", vectors=str(glove)))
    other, _ = begun(kind(units="words", vectors=str(glove)), seed=1)
    assert torch.equal(table, again.network.table.weight)
    assert not torch.equal(table, other.network.table.weight)


def test_a_saved_network_reads_the_same_words(glove, tmp_path) -> None:
    model, tokenizer = begun(TextCNN(filters=2, units="words", vectors=str(glove)))
    save_classifier(model, tokenizer, tmp_path / "model", max_length=6)
    loaded = load_classifier(tmp_path / "model")
    again = load_tokenizer(tmp_path / "model", loaded)
    for texts in (["A good film"], ["no word of these"], [""], ["good", "a film that it is"]):
        assert again(*texts)["input_ids"] == tokenizer(*texts)["input_ids"]
    batch = tokenizer(["a good film"], return_tensors="pt")
    assert sorted(batch) == ["attention_mask", "input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(loaded(**batch).logits, model(**batch).logits, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"units": "words", "vectors": "encoder"}, "vectors = encoder are of tokens, not of words; set vectors to"),
        ({"vocabulary": 10}, "vocabulary has no effect, because units is tokens; leave it out, or set units: words"),
        ({"min_rows": 1}, "min_rows has no effect, because units is tokens"),
    ],
)
def test_settings_of_words_without_effect_are_refused(settings, sentence) -> None:
    with pytest.raises(ConfigError, match=sentence):
        TextCNN(**settings)


def test_texts_without_words_and_files_without_their_words_are_refused(glove, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"^textcnn: no word is in 2 training texts; lower .*min_rows\.$"):
        begun(TextCNN(units="words"), ["one", "two"])
    with pytest.raises(ConfigError, match=r"glove\.txt has no word of the tokenizer's vocabulary"):
        begun(TextCNN(units="words", vectors=str(glove)), ["not there", "not there"])
    glove.write_bytes(b"good 1 2\n\xff 1 2\n")
    with pytest.raises(ConfigError, match=r"glove\.txt cannot be read as word vectors \(.*invalid start byte"):
        begun(TextCNN(units="words", vectors=str(glove)))
    with pytest.raises(ConfigError, match=r"none\.txt does not exist"):
        begun(TextCNN(units="words", vectors=str(tmp_path / "none.txt")))


def test_memory_is_planned_for_all_words_that_may_be_known(tmp_path) -> None:
    architecture = TextCNN(filters=2, units="words", embedding=10, vocabulary=1000)
    assert architecture.expected(tiny.save_encoder(tmp_path / "encoder")).parameters() > 10_000
    model, tokenizer = begun(architecture)
    save_classifier(model, tokenizer, tmp_path / "model")
    assert architecture.expected(tmp_path / "model").parameters() == sum(each.numel() for each in model.parameters())

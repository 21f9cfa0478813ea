import shutil

import numpy as np
import pytest
from served import TEXTS

from kdray.errors import ConfigError
from kdray.serve.loading import open_scorer


def rows_of(texts):
    return [(text,) for text in texts]


def test_a_bundle_scores_as_the_student_it_was_made_of(student, bundle):
    ours, theirs = open_scorer(student), open_scorer(bundle)
    assert (theirs.labels, theirs.fields, theirs.max_length) == (ours.labels, ours.fields, ours.max_length)
    found = theirs.score(rows_of(TEXTS))
    np.testing.assert_allclose(found.values, ours.score(rows_of(TEXTS)).values, atol=1e-5)
    np.testing.assert_allclose(found.values.sum(axis=1), 1, atol=1e-6)
    assert theirs.predictions(found.values) == [theirs.labels[i] for i in found.values.argmax(1)]


def test_rows_longer_than_the_model_reads_are_marked(student, bundle):
    longest = " ".join(["film"] * 30)  # 32 tokens with the special ones
    for scorer in (open_scorer(student), open_scorer(bundle)):
        assert scorer.score(rows_of([longest, longest + " bad", "film"])).truncated.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (None, r"expected a text \(text\), found None"),
        (["a", "b"], "expected a text"),
        ([3], "the text 'text' is 3, not a text"),
        ([None], "the text 'text' is missing"),
        ("\ud800", "half of a surrogate pair"),
    ],
)
def test_something_else_than_a_text_is_refused(student, row, said):
    with pytest.raises(ConfigError, match=said):
        open_scorer(student).check(row)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("tokenizer.json", "vocab.txt"), r"has no tokenizer \(tokenizer\.json, .*\): save the tokenizer"),
        (("model.safetensors",), r"has no \*\.safetensors file"),
    ],
)
def test_a_student_without_one_of_its_files_is_refused(student, tmp_path, names, said):
    folder = shutil.copytree(student, tmp_path / "student")
    for name in names:
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ConfigError, match=said):
        open_scorer(folder)


def test_an_empty_folder_is_no_classifier(tmp_path):
    with pytest.raises(ConfigError, match="is not a trained classifier"):
        open_scorer(tmp_path)

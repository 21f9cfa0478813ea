"""YAML files: odd ones end in one sentence that names the file and the line; texts are taken as they are written."""

from pathlib import Path

import pytest

from kdray.config import load
from kdray.errors import ConfigError

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "train:\n  epochs: 1\n  seed: 0\n  epochs: 2\n",
            "epochs is given twice, in line 2 and in line 4; remove one.",
        ),
        ("store: a\nstore: b\n", "store is given twice, in line 1 and in line 2; remove one."),
        ("teachers:\n  - {name: a, name: b}\n", "name is given twice, in line 2 and in line 2; remove one."),
        ("store: !!binary aGk=\n", "line 1 has the YAML tag !!binary; tags are not allowed, remove it."),
        ("store: x\ntrain: !mine {epochs: 2}\n", "line 2 has the YAML tag !mine; tags are not allowed, remove it."),
        ("store: a\n---\nstore: b\n", "a second YAML document begins in line 2; one is allowed."),
        ("just words\n", "expected sections such as corpus: and method:, found text."),
        ("5\n", "expected sections such as corpus: and method:, found 5."),
        ("store: a\0b\n", "not valid YAML: the character U+0000 in line 1 is not allowed."),
        ("store: a\nx: \x07\n", "not valid YAML: the character U+0007 in line 2 is not allowed."),
        ("store: x\nprune: " + "[" * 5000, "line 2 is nested more than 20 levels deep."),
        ("a: &a [*a]\n", "a value contains itself."),
        (BOMB, "it has more than 10,000 values; remove some, or its aliases."),
        ("? [a, b]\n: c\n", "the key in line 1 is a list or a section; a key must be a word."),
        ("train: {<<: 5}\n", "<< in line 1 must name a section."),
        ("store: *nothing\n", "not valid YAML: line 1: an alias (*name) has no anchor (&name) before it."),
        ("store: [a\n", "not valid YAML: line 2: a list in [ ] is not closed, or a comma is missing."),
    ],
)
def test_an_odd_document_ends_in_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {sentence}"


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xef\xbb\xbfstore: here\n")
    assert load(path).store == "here"
    path.write_bytes("store: here\n".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"run\.yaml: not valid YAML: it is not UTF-8 text\.$"):
        load(path)


def test_texts_are_taken_as_they_are_written_and_the_rest_by_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        """
store: 2024
corpus: {name: folder, path: 1.10, labels: [no, yes], columns: {label: on, id: 2024-01-01}}
teachers:
  - &first {name: 007, encoder: 1e3, classes: [off, 1_0], train: {learning_rate: 1e-4, epochs: 010}}
  - {<<: *first, name: "8"}
outputs: {quality_check: no}
work: {gpus: ~, workers: 2}
method: {name: ens_u}
"""
    )
    run = load(path)
    assert (run.store, run.corpus.path, run.corpus.labels) == ("2024", "1.10", ("no", "yes"))
    assert run.corpus.columns == {"label": "on", "id": "2024-01-01"}
    first, second = run.teachers
    assert (first.name, first.encoder, first.classes) == ("007", "1e3", ("off", "1_0"))
    assert (first.train.learning_rate, first.train.epochs) == (1e-4, 10)
    assert second == first.model_copy(update={"name": "8"})
    assert (run.outputs.quality_check, run.work.gpus, run.work.workers) == (False, None, 2)

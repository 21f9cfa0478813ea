"""Near-duplicates by hand, by definition, and in a corpus."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
from hypothesis import given
from hypothesis import settings as rounds
from hypothesis import strategies as st
from matrices import MatrixWeights

from kdray.config import parse
from kdray.pruning import duplicates, graph, parts
from kdray.pruning.duplicates import find_duplicates, near_duplicates
from kdray.pruning.graph import CosineWeights, unit_vectors
from kdray.pruning.settings import DuplicateSettings
from kdray.stages import Context, InProcess, prepare
from kdray.store import Store


def matrix(count: int, **weights: float) -> MatrixWeights:
    """Weights by pairs such as `w01=0.9`; all others are 0."""
    full = np.eye(count)
    for name, value in weights.items():
        i, j = int(name[1]), int(name[2])
        full[i, j] = full[j, i] = value
    return MatrixWeights(full)


CHAIN = matrix(5, w01=0.96, w12=0.97, w23=0.96, w34=0.2)
ALIKE = np.zeros(5, dtype=int)


def test_the_most_central_row_represents_its_neighbors_and_chains_are_not_merged():
    found = near_duplicates(CHAIN, ALIKE, DuplicateSettings())
    assert found.representative.tolist() == [
        1,
        1,
        1,
        3,
        4,
    ]  # 1 and 2 are equally central; 3 lies within the threshold of 2 alone
    assert found.similarity.tolist() == [0.96, 1, 0.97, 1, 1]
    assert len(found.conflicts) == 0
    first = near_duplicates(CHAIN, ALIKE, DuplicateSettings(keep="first"))
    assert first.representative.tolist() == [0, 0, 2, 2, 4]


def test_rows_with_other_labels_are_conflicts_and_represent_no_row():
    labels = np.array([0, 1, 1, -1, -1])
    found = near_duplicates(CHAIN, labels, DuplicateSettings(keep="first"))
    assert found.representative.tolist() == [0, 1, 1, 3, 4]
    assert found.conflicts.tolist() == [[0, 1]]  # a row without a label conflicts with nobody
    assert found.conflict_similarity.tolist() == [0.96]
    same, conflicts = found.tables(list("abcde"))
    assert same.to_pylist() == [{"id": "c", "same_as": "b", "similarity": 0.97}]
    assert conflicts.to_pylist() == [{"id": "a", "other": "b", "similarity": 0.96}]


def test_a_class_keeps_its_floor():
    found = near_duplicates(matrix(4, w01=1, w02=1, w12=1), np.array([0, 0, 0, 1]), DuplicateSettings(min_per_class=2))
    assert (~found.dropped).tolist() == [True, True, False, True]


def test_the_threshold_itself_counts():
    assert near_duplicates(matrix(2, w01=0.95), ALIKE[:2], DuplicateSettings()).dropped.tolist() == [False, True]
    assert not near_duplicates(matrix(2, w01=0.949999), ALIKE[:2], DuplicateSettings()).dropped.any()


@pytest.mark.parametrize("count", [0, 1])
def test_few_rows(count):
    found = near_duplicates(matrix(count), np.zeros(count, dtype=int), DuplicateSettings())
    assert not found.dropped.any()
    assert [len(table) for table in found.tables(["a"][:count])] == [0, 0]


@rounds(max_examples=60)
@given(st.integers(2, 12), st.data())
def test_every_dropped_row_has_a_similar_kept_row_and_kept_rows_differ(count, data):
    seed, keep = data.draw(st.integers(0, 999)), data.draw(st.sampled_from(["central", "first"]))
    draw = np.random.default_rng(seed)
    vectors = unit_vectors(
        [draw.standard_normal((3, 4))[draw.integers(0, 3, count)] + 0.3 * draw.standard_normal((count, 4))]
    )
    labels, settings = draw.integers(0, 2, count), DuplicateSettings(threshold=0.9, keep=keep)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "_BLOCK_ROWS", data.draw(st.integers(1, count)))
        found = near_duplicates(CosineWeights(vectors), labels, settings)
    near = np.rint(vectors @ vectors.T * 1e6) >= 900_000
    for row in range(count):
        other = found.representative[row]
        assert not found.dropped[other]
        assert labels[other] == labels[row]
        assert row == other or near[row, other]
    kept = np.flatnonzero(~found.dropped)
    assert not any(near[i, j] and labels[i] == labels[j] for i in kept for j in kept if i < j)
    expected = [[i, j] for i in range(count) for j in range(i + 1, count) if near[i, j] and labels[i] != labels[j]]
    assert sorted(found.conflicts.tolist()) == expected


def test_beyond_one_graph_it_looks_within_parts(monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_UNITS", 10)
    monkeypatch.setattr(parts.parts_of, "__defaults__", (8,))
    draw = np.random.default_rng(0)
    vectors = unit_vectors([np.repeat(draw.standard_normal((12, 6)), 2, axis=0)])
    found = find_duplicates(vectors, np.zeros(24, dtype=int), DuplicateSettings(keep="first"))
    assert found.dropped.sum() >= 9  # of twelve pairs, a cut may part a few
    assert all(found.representative[row] in (row, row - 1) for row in range(24))


def test_duplicates_are_dropped_from_a_corpus_and_noted(tmp_path, tiny_encoder):
    folder = tiny.save_opinions(tmp_path / "opinions", train=60, test=12)
    lines = (folder / "train.jsonl").read_text().splitlines()
    again = [line.replace('"id": "o', '"id": "copy') for line in lines[:5]]
    turned = [
        line.replace('"id": "o', '"id": "turned').replace(label, other)
        for line in lines[5:7]
        for label, other in [("positive", "negative"), ("negative", "positive")]
        if f'"{label}"' in line
    ]
    (folder / "train.jsonl").write_text("\n".join([*lines, *again, *turned]) + "\n")
    base = tiny.run_settings(tiny_encoder, folder, store=str(tmp_path / "store"))
    base["corpus"]["validation_fraction"] = 0.05

    def made(**prune):
        duplicates = {"threshold": 0.9999, **prune}
        run = parse(base | {"prune": {"policy": "none", "duplicates": duplicates}}, source="test")
        prepared = prepare(run, Context(Store(run.store), InProcess(), data_dir=None), every_teacher=True)
        return prepared.pruned_corpus, pq.read_table(prepared.corpus.file("train.parquet"))

    reported, train = made()
    counts = reported.summary["duplicates"]
    assert counts["dropped"] == 0
    assert counts["rows"] >= 4  # of five copies, one may have been set aside to select on
    assert counts["conflicts"] >= 1
    assert len(pq.read_table(reported.file("train.parquet"))) == len(train)
    pairs = pq.read_table(reported.file("conflicts.parquet")).to_pylist()
    assert any("turned" in pair["id"] + pair["other"] for pair in pairs)

    dropped, _ = made(action="drop")
    left = pq.read_table(dropped.file("train.parquet"))
    gone = pq.read_table(dropped.file("duplicates.parquet"))
    assert len(left) == len(train) - len(gone) == len(train) - dropped.summary["duplicates"]["dropped"]
    assert set(left["id"].to_pylist()) == set(train["id"].to_pylist()) - set(gone["id"].to_pylist())
    assert {"rows": len(gone), "dropped": len(gone), "conflicts": len(pairs)} == dropped.summary["duplicates"]

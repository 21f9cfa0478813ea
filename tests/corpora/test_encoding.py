import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertTokenizer

from kdray.corpora import Encoded, balanced_batches, collate, encode, length_batches
from kdray.errors import ConfigError

torch.set_num_threads(1)

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "##e")
CLS, SEP, A, B, C, D, E = 2, 3, 5, 6, 7, 8, 9


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    return BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=16)


def row(encoded, index):
    return encoded.input_ids[encoded.offsets[index] : encoded.offsets[index + 1]].tolist()


def test_single_texts_have_no_padding(tokenizer):
    encoded = encode(tokenizer, [["a b", "de", "c"]], max_length=8)
    assert [row(encoded, i) for i in range(3)] == [[CLS, A, B, SEP], [CLS, D, E, SEP], [CLS, C, SEP]]
    assert encoded.lengths.tolist() == [4, 4, 3]
    assert encoded.input_ids.dtype == np.int32
    assert encoded.offsets.tolist() == [0, 4, 8, 11]


def test_pairs_have_token_types(tokenizer):
    encoded = encode(tokenizer, [["a b"], ["c"]], max_length=8)
    assert row(encoded, 0) == [CLS, A, B, SEP, C, SEP]
    assert encoded.token_type_ids is not None
    assert encoded.token_type_ids.tolist() == [0, 0, 0, 0, 1, 1]


def test_the_longer_text_of_a_pair_is_cut_first(tokenizer):
    encoded = encode(tokenizer, [["a b c d", "d"], ["d", "a b c d"]], max_length=6)
    assert row(encoded, 0) == [CLS, A, B, SEP, D, SEP]
    assert row(encoded, 1) == [CLS, D, SEP, A, B, SEP]


def test_a_tokenizer_without_token_types_gives_none(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    plain = BertTokenizer.from_pretrained(tmp_path, model_input_names=["input_ids", "attention_mask"])
    encoded = encode(plain, [["a"], ["b"]], max_length=8)
    assert encoded.token_type_ids is None
    assert set(collate(encoded, [0], pad_id=0)) == {"input_ids", "attention_mask"}


def test_many_rows_equal_row_by_row(tokenizer, monkeypatch):
    texts = [["a b c", "de", "c", "b b", "a"], ["d", "c c c", "a", "b", "de de"]]
    whole = encode(tokenizer, texts, max_length=8)
    monkeypatch.setattr("kdray.corpora.encoding._CHUNK_ROWS", 2)
    chunked = encode(tokenizer, texts, max_length=8)
    assert np.array_equal(whole.input_ids, chunked.input_ids)
    assert np.array_equal(whole.offsets, chunked.offsets)
    assert np.array_equal(whole.token_type_ids, chunked.token_type_ids)


def test_no_rows_encode_to_nothing(tokenizer):
    assert len(encode(tokenizer, [[]], max_length=8)) == 0


@pytest.mark.parametrize("max_length", [2, 17])
def test_refuses_lengths_the_tokenizer_cannot_have(tokenizer, max_length):
    with pytest.raises(ConfigError, match=f"max_length = {max_length}, but this tokenizer allows 3 to 16 tokens"):
        encode(tokenizer, [["a"]], max_length=max_length)


def test_rows_may_be_taken_in_any_order_and_twice(tokenizer):
    encoded = encode(tokenizer, [["a", "b c", "d"]], max_length=8)
    taken = encoded.rows([2, 1, 2])
    assert [row(taken, i) for i in range(3)] == [row(encoded, i) for i in (2, 1, 2)]


def test_batches_are_padded_to_a_multiple(tokenizer):
    encoded = encode(tokenizer, [["a b c d de", "b"], ["a", "c"]], max_length=16)
    batch = collate(encoded, [1, 0], pad_id=0, multiple=4)
    assert batch["input_ids"].tolist() == [
        [CLS, B, SEP, C, SEP, 0, 0, 0, 0, 0, 0, 0],
        [CLS, A, B, C, D, D, E, SEP, A, SEP, 0, 0],
    ]
    assert batch["attention_mask"].tolist() == [[1] * 5 + [0] * 7, [1] * 10 + [0] * 2]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 1, 1] + [0] * 7, [0] * 8 + [1, 1] + [0] * 2]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_padding_stops_at_the_maximal_length(tokenizer):
    encoded = encode(tokenizer, [["a b c d", "a"]], max_length=5)
    batch = collate(encoded, [0, 1], pad_id=9, multiple=8)
    assert batch["input_ids"].tolist() == [[CLS, A, B, C, SEP], [CLS, A, SEP, 9, 9]]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.data())
@settings(deadline=None, max_examples=50)
def test_a_batch_holds_each_rows_own_tokens(lengths, data):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.arange(1, offsets[-1] + 1, dtype=np.int32)
    encoded = Encoded(ids, (ids % 2).astype(np.uint8), offsets, 12)
    wanted = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=8))
    batch = collate(encoded, np.array(wanted), pad_id=0)
    for position, index in enumerate(wanted):
        kept = batch["attention_mask"][position].bool()
        assert batch["input_ids"][position][kept].tolist() == row(encoded, index)
        assert batch["token_type_ids"][position][kept].tolist() == [i % 2 for i in row(encoded, index)]
        assert batch["input_ids"][position][~kept].eq(0).all()


@given(st.lists(st.integers(1, 512), max_size=400), st.integers(1, 9), st.integers(0, 2**63), st.integers(0, 20))
@settings(deadline=None, max_examples=60)
def test_an_epoch_visits_every_row_once(lengths, batch_size, seed, epoch):
    batches = length_batches(np.array(lengths, int), batch_size=batch_size, seed=seed, epoch=epoch)
    visited = np.concatenate([*batches, np.empty(0, int)])
    assert sorted(visited.tolist()) == list(range(len(lengths)))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert not batches or 0 < len(batches[-1]) <= batch_size


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(3, 5)), min_size=1, max_size=200),
    st.integers(1, 9),
    st.integers(0, 2**63),
)
@settings(deadline=None, max_examples=60)
def test_balanced_batches_have_as_many_rows_of_every_group(rows, batch_size, seed):
    lengths, groups = (np.array(column, int) for column in zip(*rows, strict=True))
    batches = balanced_batches(lengths, groups, batch_size=batch_size, seed=seed, epoch=3)
    like = length_batches(lengths, batch_size=batch_size, seed=seed, epoch=3)
    assert [len(batch) for batch in batches] == [len(batch) for batch in like]
    names = np.unique(groups)
    for batch in batches:
        counts = [(groups[batch] == name).sum() for name in names]
        assert max(counts) - min(counts) <= 1
    visited = np.bincount(np.concatenate(batches), minlength=len(lengths))
    for name in names:  # no row a second time before all rows of its group were there
        assert np.ptp(visited[groups == name]) <= 1


def test_other_rows_of_a_large_group_are_left_out_in_every_epoch():
    lengths, groups = np.ones(120, int), np.array([0] * 100 + [1] * 20)
    order = [np.concatenate(balanced_batches(lengths, groups, batch_size=8, seed=0, epoch=epoch)) for epoch in (0, 1)]
    large = [{int(row) for row in rows if row < 100} for rows in order]
    assert [len(rows) for rows in large] == [60, 60]
    assert large[0] != large[1]


def test_the_order_depends_on_seed_and_epoch_alone():
    lengths = np.arange(200) % 37

    def order(seed, epoch):
        return np.concatenate(length_batches(lengths, batch_size=8, seed=seed, epoch=epoch)).tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


def test_the_order_is_the_same_on_every_machine():
    batches = length_batches(np.array([5, 1, 4, 2, 3]), batch_size=2, seed=7, epoch=1)
    assert [batch.tolist() for batch in batches] == [[1, 3], [4, 2], [0]]


def test_rows_of_a_batch_have_similar_lengths():
    lengths = np.random.default_rng(0).integers(5, 129, 800)
    batches = length_batches(lengths, batch_size=16, seed=0, epoch=0)
    spread = max(np.ptp(lengths[batch]) for batch in batches)
    # one mega-batch holds all 50 batches: sorted, 124 lengths over 50 batches; at random the spread is about 110
    assert spread <= 10
    assert sum(lengths[batch].max() * len(batch) for batch in batches) < 1.05 * lengths.sum()

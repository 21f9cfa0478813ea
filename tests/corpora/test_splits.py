import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdray.corpora.splits import carve, choose, choose_groups, deal, fold, host_of, limit_rows
from kdray.errors import ConfigError

CLASSES = st.lists(st.integers(-1, 3), min_size=1, max_size=80)


def table(labels):
    ids = [f"train:{row}" for row in range(len(labels))]
    given_labels = [None if label < 0 else label for label in labels]
    return pa.table({"id": ids, "label": pa.array(given_labels, pa.int64())})


def ids_of(rows):
    return rows["id"].to_pylist()


def test_the_choice_is_the_same_on_every_machine():
    # worked out once with hashlib alone: the smallest blake2b digests of each class, key b"0:select"
    rest, carved = carve(table([0] * 6 + [1] * 4), fraction=0.3, seed=0)
    assert ids_of(carved) == ["train:0", "train:2", "train:6"]
    assert len(ids_of(rest)) == 7


def test_another_seed_takes_other_rows():
    rows = table([0, 1] * 50)
    assert ids_of(carve(rows, fraction=0.2, seed=0)[1]) != ids_of(carve(rows, fraction=0.2, seed=1)[1])


def test_shares_follow_the_largest_remainder():
    # 7 of 10, 5 and 5 rows: 3.5, 1.75 and 1.75; the floors leave two rows, for the two largest remainders
    strata = np.repeat([0, 1, 2], [10, 5, 5])
    taken = choose([str(i) for i in range(20)], strata, count=7, seed=0, purpose="x")
    assert np.bincount(strata[taken]).tolist() == [3, 2, 2]


def test_equal_remainders_go_to_the_smaller_class():
    strata = np.repeat([0, 1], [5, 5])
    taken = choose([str(i) for i in range(10)], strata, count=5, seed=0, purpose="x")
    assert np.bincount(strata[taken]).tolist() == [3, 2]


@given(CLASSES, st.floats(0.01, 0.5), st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_carving_keeps_every_row_once_and_in_order(labels, fraction, seed):
    rows = table(labels)
    try:
        rest, carved = carve(rows, fraction=fraction, seed=seed)
    except ConfigError:
        return
    position = {each: row for row, each in enumerate(ids_of(rows))}
    for part in (rest, carved):
        order = [position[each] for each in ids_of(part)]
        assert order == sorted(order)
    assert sorted(ids_of(rest) + ids_of(carved)) == sorted(ids_of(rows))
    labeled = sum(label >= 0 for label in labels)
    assert carved.num_rows == int(labeled * fraction + 0.5)
    assert carved["label"].null_count == 0
    for label in set(labels) - {-1}:
        share = labels.count(label) * carved.num_rows / labeled
        assert abs(carved["label"].to_pylist().count(label) - share) <= 1  # 1 in the place of the only row of a class
        assert label in rest["label"].to_pylist()


@given(CLASSES, st.integers(0, 5), st.data())
@settings(deadline=None, max_examples=60)
def test_the_choice_does_not_depend_on_row_order(labels, seed, data):
    ids = [f"train:{row}" for row in range(len(labels))]
    order = np.array(data.draw(st.permutations(range(len(labels)))))
    strata = np.array(labels)
    count = data.draw(st.integers(0, len(labels)))
    taken = choose(ids, strata, count=count, seed=seed, purpose="x")
    shuffled = choose([ids[i] for i in order], strata[order], count=count, seed=seed, purpose="x")
    assert taken.sum() == count
    assert np.array_equal(taken[order], shuffled)


def grouped(pairs):
    """Rows of (label, group)."""
    return table([label for label, _ in pairs]).append_column("text", pa.array([group for _, group in pairs]))


@given(st.lists(st.tuples(st.integers(-1, 2), st.sampled_from("abcdefghij")), min_size=1, max_size=60), st.data())
@settings(deadline=None, max_examples=60)
def test_rows_of_one_group_are_carved_off_together(pairs, data):
    rows = grouped(pairs)
    fraction = data.draw(st.floats(0.05, 0.5))
    try:
        rest, carved = carve(rows, fraction=fraction, seed=0, group_by="text")
    except ConfigError:
        return
    kept = zip(rest["text"].to_pylist(), rest["label"].to_pylist(), strict=True)
    labeled = {text for text, label in kept if label is not None}
    assert not labeled & set(carved["text"].to_pylist())
    plain = [label for label, _ in pairs if label >= 0]
    assert 0 < carved.num_rows <= int(len(plain) * fraction + 0.5)
    for label in set(plain):
        assert carved["label"].to_pylist().count(label) < plain.count(label) * fraction + 1


@given(CLASSES, st.integers(0, 5), st.data())
@settings(deadline=None, max_examples=60)
def test_groups_of_one_row_are_chosen_as_single_rows_are(labels, seed, data):
    ids = [f"train:{row}" for row in range(len(labels))]
    count = data.draw(st.integers(0, len(labels)))
    strata, alone = np.array(labels), np.arange(len(labels))
    by_group = choose_groups(ids, strata, alone, count=count, seed=seed, purpose="x")
    assert np.array_equal(by_group, choose(ids, strata, count=count, seed=seed, purpose="x"))


def test_pairs_are_carved_in_full_when_they_fit():
    rest, carved = carve(grouped([(i % 2, f"t{i // 2}") for i in range(200)]), fraction=0.1, seed=0, group_by="text")
    assert (rest.num_rows, carved.num_rows) == (180, 20)


def test_refuses_groups_that_are_too_large_to_be_carved_off():
    with pytest.raises(ConfigError, match="train cannot be split by text: no group of rows is as small as 2 rows"):
        carve(grouped([(i % 2, "same") for i in range(20)]), fraction=0.1, seed=0, group_by="text")


def test_unlabeled_rows_stay_in_train():
    rest, carved = carve(table([0, 1, -1, -1] * 5), fraction=0.5, seed=0)
    assert carved.num_rows == 5
    assert rest["label"].null_count == 10


def test_refuses_to_carve_from_too_few_rows():
    with pytest.raises(ConfigError, match=r"train has 3 labeled rows, too few to hold out 0\.1 of them"):
        carve(table([0, 1, 0]), fraction=0.1, seed=0)


def test_refuses_to_take_the_last_row_of_a_class():
    with pytest.raises(ConfigError, match=r"train has only 1 row of class 0; holding out 0\.5"):
        carve(table([0, 1]), fraction=0.5, seed=0)


def test_the_only_row_of_a_class_stays_where_others_can_be_taken():
    labels = [0] * 40 + list(range(1, 11))
    rest, carved = carve(table(labels), fraction=0.1, seed=0)
    assert carved["label"].to_pylist() == [0] * 5
    assert set(rest["label"].to_pylist()) == set(range(11))


def test_messages_have_the_name_of_a_class():
    with pytest.raises(ConfigError, match="train has only 1 row of class bad; holding out"):
        carve(table([0, 1]), fraction=0.5, seed=0, names=["bad", "good"])
    with pytest.raises(ConfigError, match=r"all rows of class good \(1 in train\) are in one of 2 folds"):
        fold(table([0, 0, 1]), index=0, of=2, seed=0, names=["bad", "good"])


def folds_of(rows, *, of, seed=0, group_by=None):
    return [fold(rows, index=index, of=of, seed=seed, group_by=group_by) for index in range(of)]


@given(CLASSES, st.integers(2, 5), st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_every_labeled_row_is_held_out_in_one_fold_and_classes_are_shared_out_evenly(labels, of, seed):
    rows = table(labels)
    try:
        parts = folds_of(rows, of=of, seed=seed)
    except ConfigError:
        return
    held_out = [each for _, validation in parts for each in ids_of(validation)]
    assert sorted(held_out) == sorted(ids_of(rows.filter(rows["label"].is_valid())))
    for train, validation in parts:
        assert sorted(ids_of(train) + ids_of(validation)) == sorted(ids_of(rows))
        assert train["label"].null_count == rows["label"].null_count
    for label in set(labels) - {-1}:
        counts = [validation["label"].to_pylist().count(label) for _, validation in parts]
        assert max(counts) - min(counts) <= 1


@given(st.lists(st.tuples(st.integers(-1, 2), st.sampled_from("abcdefghij")), min_size=1, max_size=60))
@settings(deadline=None, max_examples=60)
def test_labeled_rows_of_one_group_are_in_one_fold(pairs):
    try:
        parts = folds_of(grouped(pairs), of=3, group_by="text")
    except ConfigError:
        return
    for train, validation in parts:
        kept = train.filter(train["label"].is_valid())["text"].to_pylist()
        assert validation.num_rows
        assert not set(kept) & set(validation["text"].to_pylist())


def test_hosts_stay_together_in_a_fold():
    urls = [f"http://sub{i}.site{i % 6}.com/page" for i in range(24)]
    rows = table([i // 6 % 2 for i in range(24)]).append_column("url", pa.array(urls))
    for train, validation in folds_of(rows, of=3, group_by="host:url"):
        there, here = ({host_of(url) for url in part["url"].to_pylist()} for part in (train, validation))
        assert (len(there), len(here), there & here) == (4, 2, set())


@given(CLASSES, st.integers(0, 5), st.data())
@settings(deadline=None, max_examples=60)
def test_folds_do_not_depend_on_row_order(labels, seed, data):
    ids = [f"train:{row}" for row in range(len(labels))]
    order = np.array(data.draw(st.permutations(range(len(labels)))))
    groups = np.array(data.draw(st.lists(st.integers(0, 9), min_size=len(labels), max_size=len(labels))))
    found = deal(ids, np.array(labels), groups, of=3, seed=seed)
    shuffled = deal([ids[i] for i in order], np.array(labels)[order], groups[order], of=3, seed=seed)
    assert np.array_equal(found[order], shuffled)


def test_folds_follow_the_seed():
    rows = table([0, 1] * 20)
    first = [ids_of(validation) for _, validation in folds_of(rows, of=2)]
    assert first == [ids_of(validation) for _, validation in folds_of(rows, of=2)]
    assert first != [ids_of(validation) for _, validation in folds_of(rows, of=2, seed=1)]


def test_folds_are_the_same_on_every_machine():
    # worked out once with hashlib alone: rows in the order of their blake2b digests, key b"0:fold"; each goes to the
    # fold with the fewest rows of its class, then of all classes
    _, validation = fold(table([0] * 6 + [1] * 4), index=0, of=2, seed=0)
    assert ids_of(validation) == ["train:1", "train:2", "train:5", "train:7", "train:8"]


def test_refuses_more_folds_than_rows_or_groups():
    with pytest.raises(ConfigError, match="train has 4 labeled rows, too few for 5 folds; set fewer folds"):
        fold(table([0, 1, 0, 1, -1]), index=0, of=5, seed=0)
    rows = grouped([(i % 2, "ab"[i // 4]) for i in range(8)])
    with pytest.raises(ConfigError, match="train has 2 groups of labeled rows, too few for 3 folds"):
        fold(rows, index=0, of=3, seed=0, group_by="text")


def test_refuses_folds_of_which_one_has_all_rows_of_a_class():
    for index in range(2):
        with pytest.raises(ConfigError, match=r"all rows of class 1 \(1 in train\) are in one of 2 folds"):
            fold(table([0, 0, 0, 1]), index=index, of=2, seed=0)


def test_limit_takes_that_many_rows_in_proportion():
    rows = limit_rows(table([0] * 60 + [1] * 30 + [-1] * 10), limit=20, seed=0)
    labels = rows["label"].to_pylist()
    assert (labels.count(0), labels.count(1), labels.count(None)) == (12, 6, 2)


def test_refuses_a_limit_without_effect():
    with pytest.raises(ConfigError, match=r"limit = 4, but train has 3 rows \(1 to 3, or leave it out\)"):
        limit_rows(table([0, 1, 0]), limit=4, seed=0)

"""A teacher asked once gives, bit for bit, what it would say inside every step, however rows are shuffled."""

import numpy as np
import pyarrow as pa
import pytest
import tiny
import torch

from kdray.corpora import encode
from kdray.methods import KD, Batch, TeacherStudent
from kdray.models import folder_info, load_classifier, load_tokenizer, model_info
from kdray.signals import OutputsWriter, Signals
from kdray.teachers import TeacherInference
from kdray.train import CachedTeacher, OnlineTeacher, Rows, SingleRank, objective

CPU = torch.device("cpu")
LOGITS = frozenset({"logits"})
NUMBER = 61


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Wide enough for the shape of a matrix product to decide its last bits."""
    model = tiny.classifier(seed=0, layers=3, width=64, dropout=0.4)
    return tiny.save_fine_tuned(tmp_path_factory.mktemp("teacher"), model, ("negative", "positive"))


@pytest.fixture(scope="module")
def table():
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(tiny.WORDS[5:], draw.integers(1, 31))) for _ in range(NUMBER)]
    return pa.table({"id": [f"r{i}" for i in range(NUMBER)], "text": texts})


@pytest.fixture(scope="module")
def rows(teacher, table):
    tokenizer = load_tokenizer(teacher)
    encoded = encode(tokenizer, [table["text"].to_pylist()], max_length=30)  # no multiple of 8
    return Rows(table["id"].to_pylist(), encoded, torch.arange(NUMBER) % 2, tokenizer.pad_token_id)


def inference(teacher):
    return TeacherInference(
        teacher,
        name="teacher",
        labels=("negative", "positive"),
        fields=["text"],
        kinds=("logits", "cls", "sent_emb"),
        max_length=30,
        precision="fp32",
    )


def answers(said: pa.Table, kind: str) -> np.ndarray:
    column = said[kind].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)


@pytest.fixture(scope="module")
def cached(teacher, table, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("said")
    said = inference(teacher)(table)
    kinds = ("logits", "cls", "sent_emb")
    writer = OutputsWriter(folder, "train", table["id"].to_pylist(), folder_info(teacher).shapes(kinds))
    writer.write(said["id"].to_pylist(), {kind: answers(said, kind) for kind in kinds})
    writer.finish()
    return CachedTeacher(folder, "train", rows.ids)


@pytest.fixture(scope="module")
def online(teacher, rows):
    return OnlineTeacher(load_classifier(teacher, labels=("a", "b"), seed=0), rows)


@pytest.mark.parametrize("batch_size", [1, 5, 13, 32, NUMBER])
def test_losses_are_bit_equal_under_shuffling(cached, online, rows, batch_size):
    student = tiny.classifier(seed=1, layers=1)
    pair = TeacherStudent(model_info(student, "student"), (model_info(student, "teacher"),))
    method, draw = KD(), np.random.default_rng(batch_size)
    method.check(pair)

    def loss(indices: np.ndarray, said: Signals) -> torch.Tensor:
        with torch.no_grad():
            mine = Signals(student(**rows.batch(indices, CPU)).logits)
        step = Batch(mine, (said,), None, rows.labels[indices], SingleRank(), (0, 0, 0), torch.nn.ModuleDict())
        return objective(method, step, SingleRank()).loss

    for _ in range(12):
        indices = draw.permutation(NUMBER)[:batch_size]
        one, two = cached.signals_for(indices, CPU, LOGITS), online.signals_for(indices, CPU, LOGITS)
        assert torch.equal(one.logits, two.logits)
        assert torch.equal(loss(indices, one), loss(indices, two))


def test_the_layout_of_the_work_changes_no_bit(teacher, table):
    """Shards of any size, in any order: what an engine decides may not change a result."""
    asked, whole = inference(teacher), inference(teacher)(table)
    draw = np.random.default_rng(1)
    for size in (1, 4, 7, 30):
        order = draw.permutation(NUMBER)
        shards = [asked(table.take(order[start : start + size])) for start in range(0, NUMBER, size)]
        joined = pa.concat_tables(shards)
        for kind in ("logits", "cls", "sent_emb"):
            assert np.array_equal(answers(joined, kind), answers(whole, kind)[order]), (size, kind)


def test_groups_say_what_plain_batches_say_but_for_the_last_bits(teacher, rows, online):
    model = load_classifier(teacher, labels=("a", "b"), seed=0)
    with torch.no_grad():
        plain = model(**rows.batch(np.arange(NUMBER), CPU)).logits
    torch.testing.assert_close(online.signals_for(np.arange(NUMBER), CPU, LOGITS).logits, plain, rtol=1e-4, atol=1e-5)


def test_an_online_teacher_is_in_eval_mode_and_frozen(teacher, rows):
    model = load_classifier(teacher, labels=("a", "b"), seed=0).train()
    online = OnlineTeacher(model, rows)
    first, again = (online.signals_for(np.arange(9), CPU, frozenset({"logits", "cls"})) for _ in range(2))
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert not first.logits.requires_grad
    assert torch.equal(first.logits, again.logits)
    assert first.cls is not None
    assert first.cls.shape == (9, 4, 64)


def test_a_worker_without_rows_gets_signals_of_no_rows(online, cached):
    none = np.zeros(0, np.int64)
    assert (
        online.signals_for(none, CPU, LOGITS).logits.shape
        == cached.signals_for(none, CPU, LOGITS).logits.shape
        == (0, 2)
    )

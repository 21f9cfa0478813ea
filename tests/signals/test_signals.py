"""Teacher outputs on disk are matched by row id and refuse to be incomplete."""

import numpy as np
import pytest
import tiny
import torch

from kdray.errors import ConfigError, RunError
from kdray.signals import Outputs, OutputsWriter, Signals

LOGITS = np.arange(10, dtype=np.float32).reshape(5, 2) + 0.1
CLS = np.arange(60, dtype=np.float32).reshape(5, 3, 4)


@pytest.fixture
def folder(tmp_path):
    return tiny.write_outputs(tmp_path / "outputs", {"logits": LOGITS, "cls": CLS})


def test_rows_are_read_by_id_in_any_order(folder):
    outputs = Outputs(folder, "train")
    at = outputs.positions(["r3", "r0", "r3"])
    said = outputs.at(at, frozenset({"logits", "cls"}))
    assert torch.equal(said.logits, torch.from_numpy(LOGITS[[3, 0, 3]]))
    assert torch.equal(said.cls, torch.from_numpy(CLS[[3, 0, 3]]))
    assert said.sent_emb is None
    assert len(outputs) == 5
    assert outputs.kinds == {"logits", "cls"}


def test_only_needed_signals_are_read_and_logits_always(folder):
    said = Outputs(folder, "train").at(np.array([1]), frozenset())
    assert said.cls is None
    assert said.logits.tolist() == LOGITS[[1]].tolist()


def test_logits_keep_32_bits_and_vectors_16(folder):
    outputs = Outputs(folder, "train")
    assert outputs.array("logits").dtype == np.float32
    assert outputs.array("cls").dtype == np.float16
    assert outputs.at(np.array([0]), frozenset({"cls"})).cls.dtype == torch.float32
    assert isinstance(outputs.array("logits"), np.memmap)


def test_written_in_any_order_of_rows(tmp_path):
    writer = OutputsWriter(tmp_path, "validation", ["a", "b", "c"], {"logits": (2,)})
    writer.write(["c", "a"], {"logits": LOGITS[[2, 0]]})
    writer.write(["b"], {"logits": LOGITS[[1]]})
    writer.finish()
    assert np.array_equal(Outputs(tmp_path, "validation").array("logits"), LOGITS[:3])


def test_refuses_to_end_with_a_row_missing(tmp_path):
    writer = OutputsWriter(tmp_path, "train", ["a", "b", "c"], {"logits": (2,)})
    writer.write(["b"], {"logits": LOGITS[[1]]})
    with pytest.raises(RunError, match=r"^train: 2 rows got no teacher outputs, the first is 'a'\.$"):
        writer.finish()


def test_refuses_rows_without_outputs(folder):
    with pytest.raises(ConfigError, match=r"outputs of 'train' hold no row 'x7'; they were made from other data\.$"):
        Outputs(folder, "train").positions(["r1", "x7"])


def test_refuses_a_split_that_is_not_there(folder):
    with pytest.raises(ConfigError, match=r"^outputs holds no outputs for the split 'test'\.$"):
        Outputs(folder, "test")


def test_signals_change_together():
    signals = Signals(torch.randn(4, 2, requires_grad=True), None, torch.randn(4, 3))
    part = signals.each(lambda value: value[:2])
    assert (part.logits.shape, part.cls, part.sent_emb.shape) == ((2, 2), None, (2, 3))
    assert not signals.detach().logits.requires_grad
    joined = Signals.join([part, signals.each(lambda value: value[2:])])
    assert torch.equal(joined.logits, signals.logits)
    assert torch.equal(joined.sent_emb, signals.sent_emb)
    assert joined.cls is None
    assert signals.to(torch.device("cpu")).logits is signals.logits

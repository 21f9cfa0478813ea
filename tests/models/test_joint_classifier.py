"""Classifiers under one head, and apart again."""

import pytest
import tiny
import torch
from transformers import (
    AutoModelForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from kdray.errors import ConfigError
from kdray.models import JointClassifier

IDS = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
BATCH = {"input_ids": IDS, "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])}


def bert(layers):
    return tiny.classifier(seed=layers, layers=layers, classes=3)


def roberta(layers):
    shape = {"hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 32, "hidden_dropout_prob": 0.0}
    config = RobertaConfig(
        vocab_size=40, num_hidden_layers=layers, num_labels=3, attention_probs_dropout_prob=0.0, **shape
    )
    return RobertaForSequenceClassification(config)


def distilbert(layers):
    config = DistilBertConfig(vocab_size=40, dim=16, n_layers=layers, n_heads=4, hidden_dim=32, num_labels=3)
    return DistilBertForSequenceClassification(config)


@pytest.fixture(params=[bert, roberta, distilbert], ids=lambda build: build.__name__)
def build(request):
    torch.manual_seed(0)
    return request.param


def test_members_share_everything_above_their_layers(build, tmp_path):
    joint = JointClassifier([build(2), build(3)]).eval()
    names = [name for name, _ in joint.named_parameters(remove_duplicate=False)]
    assert len(names) == len(set(names)) == len(joint.state_dict())
    heads = [name for name in names if "pooler" in name or "classifier" in name]
    assert heads
    assert all(name.startswith("members.0.") for name in heads)

    joint.save_pretrained(tmp_path)
    apart = [AutoModelForSequenceClassification.from_pretrained(tmp_path / str(k)).eval() for k in range(2)]
    above = [{n: p for n, p in m.state_dict().items() if "pooler" in n or "classifier" in n} for m in apart]
    assert above[0].keys() == above[1].keys()
    assert all(torch.equal(value, above[1][name]) for name, value in above[0].items())
    with torch.no_grad():
        each = [model(**BATCH).logits for model in apart]
        assert not torch.allclose(*each)
        mean = torch.stack([logits.softmax(-1) for logits in each]).mean(0)
        torch.testing.assert_close(joint(**BATCH).logits.exp(), mean)
        for module in joint.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        torch.testing.assert_close(joint.train()(**BATCH).logits, torch.cat(each, 1))


def test_a_saved_member_leaves_the_joint_model_as_it_was(tmp_path):
    joint = JointClassifier([bert(2), bert(2)])
    before = list(joint.state_dict())
    joint.save_pretrained(tmp_path)
    assert list(joint.state_dict()) == before
    assert joint.members[1].classifier is joint.members[0].classifier


def test_the_head_gets_the_gradients_of_all_members():
    joint = JointClassifier([bert(2), bert(2)]).train()
    left, right = joint(**BATCH).logits.split(3, dim=1)
    gradients = [
        torch.autograd.grad(x.sum(), joint.members[0].classifier.weight, retain_graph=True)[0] for x in (left, right)
    ]
    joint(**BATCH).logits.sum().backward()
    torch.testing.assert_close(joint.members[0].classifier.weight.grad, gradients[0] + gradients[1])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_no_head_fits_other_widths_or_architectures():
    with pytest.raises(
        ConfigError, match=r"BertForSequenceClassification of width 16 and .* of width 24; set teacher_training"
    ):
        JointClassifier([bert(2), tiny.classifier(seed=0, classes=3, width=24)])
    with pytest.raises(ConfigError, match=r"BertFor.* of width 16 and RobertaFor.* of width 16"):
        JointClassifier([bert(2), roberta(2)])

"""What is exported gives, read by transformers.pipeline, the scores that the model gave here."""

import families
import numpy as np
import pytest
import torch

from kdray.corpora import encode
from kdray.errors import RunError
from kdray.models import (
    TRANSFORMER,
    check_export,
    forward,
    keep_layers,
    load_classifier,
    load_tokenizer,
    reorder_classes,
    save_classifier,
)
from kdray.train import Rows

WORDS = ["good", "bad", "film", "the", "a", "was", "very", "and", "it"]
LONG = [" ".join(WORDS[(i * k) % len(WORDS)] for i in range(n)) for k, n in ((1, 3), (2, 18), (4, 70), (5, 140))]
FAMILIES = [name for name in families.SUPPORTED if name != "qwen2"]


def exported(tmp_path, name, *, max_length, pairs=False, labels=("no", "yes"), columns=None, head="own", **settings):
    """The folder of a cut model, its rows, and its own logits for them."""
    folder = families.save(tmp_path / "source", families.SUPPORTED[name], classes=2, **settings)
    model = load_classifier(folder, labels=labels, seed=1, head=head)
    if columns:
        reorder_classes(model, columns, labels)
    keep_layers(model, (1, 3))
    tokenizer = load_tokenizer(folder, model)
    save_classifier(model, tokenizer, tmp_path / "export", max_length=max_length)
    columns = [LONG, LONG[::-1]] if pairs else [LONG]
    encoded = encode(tokenizer, columns, max_length=max_length)
    rows = Rows(list("abcd"), encoded, torch.zeros(4, dtype=torch.long), tokenizer.pad_token_id)
    with torch.no_grad():
        logits = forward(model, rows.batch(np.arange(4), torch.device("cpu")), frozenset()).logits
    return tmp_path / "export", list(zip(*columns, strict=True)), logits


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("max_length", [20, 64, 128])
def test_the_pipeline_gives_the_models_scores(name, max_length, pairs, tmp_path):
    folder, rows, logits = exported(tmp_path, name, max_length=max_length, pairs=pairs)
    assert logits.softmax(-1).std(0).min() > 1e-3, "scores that are all the same show nothing"
    check_export(folder, rows, logits)
    torch.testing.assert_close(TRANSFORMER.scores(folder, rows), logits.softmax(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("problem_type", [None, "multi_label_classification", "regression"])
@pytest.mark.parametrize("head", ["own", "fresh"])
@pytest.mark.parametrize(("labels", "columns"), [(("no", "yes"), None), (("yes", "no"), [1, 0])])
def test_problem_type_heads_and_label_orders(name, problem_type, head, labels, columns, tmp_path):
    folder, rows, logits = exported(
        tmp_path, name, max_length=20, labels=labels, columns=columns, head=head, problem_type=problem_type
    )
    check_export(folder, rows, logits)
    torch.testing.assert_close(TRANSFORMER.scores(folder, rows), logits.softmax(-1), rtol=1e-4, atol=1e-5)
    again = load_classifier(folder, labels=labels, seed=9)
    assert again.config.id2label == dict(enumerate(labels))


def test_a_fresh_head_is_fresh_whatever_the_folder_holds(tmp_path):
    classes = families.save(tmp_path / "three", families.SUPPORTED["roberta"], classes=3)
    same = families.save(tmp_path / "two", families.SUPPORTED["roberta"], classes=2)
    bare = load_classifier(classes, labels=("a", "b"), seed=3, head="fresh").state_dict()
    other = load_classifier(same, labels=("a", "b"), seed=3, head="fresh").state_dict()
    own = load_classifier(same, labels=("a", "b"), seed=3, head="own").state_dict()
    assert torch.equal(bare["classifier.dense.weight"], other["classifier.dense.weight"])
    assert torch.equal(bare["classifier.out_proj.weight"], other["classifier.out_proj.weight"])
    assert not torch.equal(own["classifier.out_proj.weight"], other["classifier.out_proj.weight"])
    layer = "roberta.encoder.layer.0.output.dense.weight"
    assert torch.equal(own[layer], other[layer])


def test_the_exported_tokenizer_is_the_trainings_and_keeps_its_own_limit(tmp_path):
    import transformers

    folder, _, _ = exported(tmp_path, "roberta", max_length=20)
    plain = transformers.AutoTokenizer.from_pretrained(folder)
    assert plain.model_max_length == 20
    assert "token_type_ids" not in plain("good film")
    assert len(plain(LONG[3], truncation=True)["input_ids"]) == 20
    assert plain(LONG[:2], padding=True)["attention_mask"][0][-1] == 0
    assert load_tokenizer(folder).model_max_length == 128


def test_an_export_with_other_scores_is_refused(tmp_path):
    folder, rows, logits = exported(tmp_path, "bert", max_length=32)
    with pytest.raises(RunError, match=r"gives other scores in .* \(largest difference 0\.\d+\)"):
        check_export(folder, rows, logits.flip(1))
    (folder / "config.json").write_text("{}")
    with pytest.raises(RunError, match=r"^the exported model cannot be read by transformers \("):
        check_export(folder, rows, logits)

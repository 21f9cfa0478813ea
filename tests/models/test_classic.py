"""Classic students: their features are scikit-learn's, their weights those of their formulas."""

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from kdray.corpora import collate, encode
from kdray.errors import ConfigError
from kdray.models import LinearSVM, Logistic, NaiveBayes, TextCNN
from kdray.models.bag import BagOfGrams, Grams
from kdray.models.linear_svm import log_odds

TEXTS = [
    "The film was good, the very good film!",
    "a bad bad film",
    "It was very bad and it was\n\n bad.",
    "Good and bad: the film",
    "",
    "unheard of",
    "the GOOD ending was good",
]
SOFT = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.5, 0.5], [0.6, 0.4], [0.4, 0.6], [1.0, 0.0]])


def fitted(architecture, texts, targets, folder):
    """The model, its tokenizer, and its logits of the rows by `fit`."""
    labels = [f"c{number}" for number in range(targets.shape[1])]
    model = architecture.build(folder, labels=labels, seed=0)
    tokenizer = architecture.begin(model, architecture.tokenizer(folder), [texts])
    encoded = encode(tokenizer, [texts], max_length=64)
    return model, tokenizer, architecture.fit(model, encoded, targets, seed=0)


@torch.no_grad()
def features(model, tokenizer, texts):
    """What the linear layer reads, [rows, features]."""
    batch = collate(encode(tokenizer, [texts], max_length=64), range(len(texts)), pad_id=0)
    seen: list[torch.Tensor] = []
    hook = model.network.linear.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    logits = model(**batch).logits
    hook.remove()
    return seen[0].numpy(), logits


def probabilities(model, tokenizer, text):
    return features(model, tokenizer, [text])[1].softmax(-1)[0].tolist()


@pytest.mark.parametrize(
    ("soft", "prior", "ratio", "posterior"),
    [
        (
            [[0.9, 0.1], [0.3, 0.7]],
            [0.6, 0.4],
            [0.405797 / 0.196721, 0.318841 / 0.295082, 0.275362 / 0.508197],
            [0.769762, 0.230238],
        ),
        ([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5], None, [0.803279, 0.196721]),
    ],
)
def test_naive_bayes_counts_fractions_of_rows(tmp_path, soft, prior, ratio, posterior) -> None:
    """The check of the specification: counts [[2, 1, 0], [0, 1, 3]], a = 1, and the posterior of [1, 1, 0]."""
    model, tokenizer, _ = fitted(NaiveBayes(min_rows=1), ["aa aa bb", "bb cc cc cc"], torch.tensor(soft), tmp_path)
    assert model.network.linear.bias.softmax(0).tolist() == pytest.approx(prior, abs=1e-6)
    if ratio:
        weight = model.network.linear.weight
        assert (weight[0] - weight[1]).exp().tolist() == pytest.approx(ratio, rel=1e-5)
    assert probabilities(model, tokenizer, "aa bb") == pytest.approx(posterior, abs=1e-6)


@pytest.mark.parametrize("units", ["words", "characters"])
@pytest.mark.parametrize("ngrams", [(1, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("min_rows", [1, 2])
def test_features_are_those_of_scikit_learn(tmp_path, units, ngrams, min_rows) -> None:
    settings = {"units": units, "ngrams": ngrams, "min_rows": min_rows}
    oracle = {"analyzer": units.rstrip("s").replace("character", "char"), "ngram_range": ngrams, "min_df": min_rows}
    for weighting, kind in (("counts", CountVectorizer), ("tfidf", TfidfVectorizer)):
        model, tokenizer, _ = fitted(NaiveBayes(weighting=weighting, **settings), TEXTS, SOFT, tmp_path)
        vectorizer = kind(**oracle)
        found, expected = features(model, tokenizer, TEXTS)[0], vectorizer.fit_transform(TEXTS).toarray()
        assert found.shape == expected.shape
        # the order of the columns differs
        np.testing.assert_allclose(found @ found.T, expected @ expected.T, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.sort(found.sum(0)), np.sort(expected.sum(0)), rtol=1e-5, atol=1e-6)


def test_only_the_most_frequent_ngrams_are_kept(tmp_path) -> None:
    model, tokenizer, _ = fitted(NaiveBayes(features=3), TEXTS, SOFT, tmp_path)
    words = {place: word for word, place in tokenizer.get_vocab().items()}
    kept = {words[int(code) - 1] for code in model.network.keys}
    assert kept == {"good", "bad", "film"}  # 5, 5, and 4 as often as "the" and "was", which come later


@torch.no_grad()
@pytest.mark.parametrize("known", range(1, 10))
def test_every_known_ngram_is_found_and_no_other(known) -> None:
    keys = torch.arange(1, known + 1) * 3
    bag = BagOfGrams(Grams(1, 1, is_scaled=False), torch.arange(1, 40), keys, torch.ones(known), 1)
    bag.linear.weight.copy_(torch.arange(1.0, known + 1)[None])
    ids = torch.arange(39)[:, None]
    expected = [code // 3 if code % 3 == 0 and code <= 3 * known else 0 for code in range(1, 40)]
    assert bag(ids, torch.ones_like(ids))[:, 0].tolist() == expected


@pytest.mark.parametrize(
    "architecture", [NaiveBayes(), Logistic(ngrams=(1, 2), min_rows=1), LinearSVM(), LinearSVM(units="characters")]
)
def test_a_model_gives_the_logits_of_its_fit_however_far_it_is_padded(tmp_path, architecture) -> None:
    model, tokenizer, logits = fitted(architecture, TEXTS, SOFT, tmp_path)
    alone = [features(model, tokenizer, [text])[1] for text in TEXTS]
    torch.testing.assert_close(torch.cat(alone), logits.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(features(model, tokenizer, TEXTS)[1], torch.cat(alone), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_ends_where_the_gradient_of_its_formula_is_zero(tmp_path, classes) -> None:
    soft = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(classes), len(TEXTS)))
    model, tokenizer, _ = fitted(Logistic(c=2.0, min_rows=1), TEXTS, soft, tmp_path)
    x, logits = features(model, tokenizer, TEXTS)
    weight = model.network.linear.weight.detach().numpy()
    errors = logits.softmax(-1).numpy() - soft.numpy()
    # of two classes scikit-learn regularizes the difference of both rows
    pull = weight if classes > 2 else 2 * weight
    np.testing.assert_allclose(pull + 2.0 * errors.T @ x, 0, atol=2e-3)
    np.testing.assert_allclose(errors.sum(0), 0, atol=1e-3)  # biases are free


def test_support_vector_regression_has_the_closed_form_of_its_squares(tmp_path) -> None:
    model, tokenizer, _ = fitted(LinearSVM(c=3.0, min_rows=1), TEXTS, SOFT, tmp_path)
    x = np.hstack([features(model, tokenizer, TEXTS)[0], np.ones((len(TEXTS), 1))])  # its bias is regularized too
    odds = torch.log(SOFT[:, 1].clamp(min=1e-30) / SOFT[:, 0]).clamp(-10, 10).numpy()
    expected = np.linalg.solve(np.eye(x.shape[1]) + 6 * x.T @ x, 6 * x.T @ odds)
    linear = model.network.linear
    found = torch.cat([linear.weight[1] - linear.weight[0], linear.bias[1:] - linear.bias[:1]]).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_log_odds_are_clipped_and_of_each_class_against_the_others() -> None:
    two = log_odds(np.array([[0.25, 0.75], [1.0, 0.0], [0.0, 1.0]]))
    assert two[:, 0].tolist() == pytest.approx([np.log(3), -10, 10])
    three = log_odds(np.array([[0.5, 0.25, 0.25], [2.0, 1.0, 1.0]]))
    assert three.tolist() == [pytest.approx([0, np.log(1 / 3), np.log(1 / 3)])] * 2


def test_a_weighted_svm_learns_the_heavier_label_of_each_row(tmp_path) -> None:
    texts = ["good film", "bad film", "good ending", "bad ending"]
    soft = torch.tensor([[0.2, 0.8], [0.9, 0.1], [0.3, 0.7], [0.8, 0.2]])
    model, tokenizer, logits = fitted(LinearSVM(soft="weighted", min_rows=1, c=10), texts, soft, tmp_path)
    assert logits.argmax(1).tolist() == [1, 0, 1, 0]
    assert probabilities(model, tokenizer, "good thing")[1] > 0.5


@pytest.mark.parametrize(
    ("architecture", "targets", "message"),
    [
        (NaiveBayes(min_rows=7), SOFT, "no n-gram of words is in 7 training rows"),
        (NaiveBayes(), torch.tensor([[1.0, 0.0]] * 7), "no training row has the class 'c1'"),
        (NaiveBayes(units="characters", ngrams=(1, 10), min_rows=1), SOFT, None),
    ],
)
def test_what_cannot_be_fitted_is_refused(tmp_path, architecture, targets, message) -> None:
    if message is None:  # 10 digits of a base of 30 fit into an integer, 10 of 100 do not
        fitted(architecture, TEXTS, targets, tmp_path)
        message, texts = "cannot be told apart", ["".join(map(chr, range(0x4E00, 0x4E00 + 100)))] * 7
    else:
        texts = TEXTS
    with pytest.raises(ConfigError, match=message):
        fitted(architecture, texts, targets, tmp_path)


def test_a_folder_whose_weights_do_not_fit_is_refused(tmp_path) -> None:
    model, _, _ = fitted(NaiveBayes(), TEXTS, SOFT, tmp_path)
    model.architecture.save(model, tmp_path)
    assert torch.equal(NaiveBayes().load(tmp_path).network.keys, model.network.keys)
    TextCNN(embedding=2, filters=1).save(model, tmp_path)
    (tmp_path / "config.json").write_text(
        (tmp_path / "config.json").read_text().replace('"vocab_size": ', '"vocab_size": 1')
    )
    with pytest.raises(ConfigError, match=r"do not fit its config\.json"):
        NaiveBayes().load(tmp_path)

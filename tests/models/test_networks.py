"""The networks of kdray give what their formulas say, written here by loops and by torch's own bidirectional LSTM."""

import pytest
import tiny
import torch

from kdray.errors import ConfigError
from kdray.models import BiLSTM, Static, TextCNN, Words, architecture_of, forward, model_info

IDS = torch.tensor([[2, 5, 7, 3, 0], [2, 6, 0, 0, 0], [2, 5, 6, 8, 3]])
MASK = (IDS != 0).long()


def network(architecture):
    torch.manual_seed(0)
    return architecture.network(Words(count=len(tiny.WORDS), padding=0), outputs=2).eval()


@torch.no_grad()
def test_a_convolution_takes_the_highest_window_of_each_filter() -> None:
    model = network(TextCNN(embedding=3, filters=2, widths=(2, 3)))
    for row, logits in zip(range(len(IDS)), model(IDS, MASK), strict=True):
        vectors = [model.table.weight[word] for word in IDS[row][MASK[row].bool()]]
        found = []
        for filters, width in zip(model.filters, (2, 3), strict=True):
            padded = [torch.zeros(3)] * (width - 1) + vectors + [torch.zeros(3)] * (width - 1)
            windows = [padded[start : start + width] for start in range(len(vectors) + width - 1)]
            values = [
                sum((filters.weight[:, :, place] @ vector for place, vector in enumerate(window)), filters.bias)
                for window in windows
            ]
            found.append(torch.relu(torch.stack(values)).amax(0))
        torch.testing.assert_close(logits, model.logits(torch.cat(found)), rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("hidden", [0, 4])
def test_static_vectors_are_averaged_over_the_real_tokens(hidden) -> None:
    model = network(Static(vectors="random", embedding=3, hidden=hidden))
    for row, logits in zip(range(len(IDS)), model(IDS, MASK), strict=True):
        words = [model.table.weight[word] for word in IDS[row] if word]
        mean = sum(words[1:], words[0]) / len(words)
        if hidden:
            mean = torch.relu(model.hidden[1](mean))
        torch.testing.assert_close(logits, model.logits(mean))


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 2])
def test_a_bilstm_is_that_of_torch_over_the_real_tokens(layers) -> None:
    model = network(BiLSTM(embedding=3, hidden=4, dense=5, layers=layers))
    oracle = torch.nn.LSTM(3, 4, num_layers=layers, bidirectional=True, batch_first=True)
    for layer, (right, left) in enumerate(zip(model.forwards, model.backwards, strict=True)):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(oracle, f"{name}_l{layer}").copy_(getattr(right, f"{name}_l0"))
            getattr(oracle, f"{name}_l{layer}_reverse").copy_(getattr(left, f"{name}_l0"))
    lengths = MASK.sum(1)
    packed = torch.nn.utils.rnn.pack_padded_sequence(model.table(IDS), lengths, batch_first=True, enforce_sorted=False)
    _, (last, _) = oracle(packed)
    expected = model.logits(torch.relu(model.dense(torch.cat([last[-2], last[-1]], dim=-1))))
    torch.testing.assert_close(model(IDS, MASK), expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(
    "architecture",
    [
        BiLSTM(embedding=3, hidden=4, layers=2),
        TextCNN(embedding=3, filters=2),
        Static(vectors="random", embedding=3, hidden=4),
    ],
)
def test_padding_changes_no_row(architecture) -> None:
    model = network(architecture)
    further = torch.nn.functional.pad(IDS, (0, 6), value=9)  # whatever stands there
    torch.testing.assert_close(model(further, torch.nn.functional.pad(MASK, (0, 6))), model(IDS, MASK))
    torch.testing.assert_close(model(IDS[1:2, :2], MASK[1:2, :2]), model(IDS, MASK)[1:2])


def test_the_paper_sized_networks_have_the_parameters_of_their_formulas(tiny_encoder) -> None:
    """Survey S2: filters {3, 4, 5} × 100 over vectors of 300; Tang et al. 2019: 150 units a direction, 400 above."""
    words = len(tiny.WORDS)
    cnn = TextCNN().build(tiny_encoder, labels=tiny.LABELS, seed=0)
    lstm = BiLSTM().build(tiny_encoder, labels=tiny.LABELS, seed=0)
    assert model_info(cnn, "cnn").parameters() == 300 * words + (3 + 4 + 5) * 300 * 100 + 300 + 2 * 300 + 2
    one = 4 * 150 * (300 + 150 + 2)
    above = 300 * 400 + 400 + 2 * 400 + 2
    assert model_info(lstm, "lstm").parameters() == 300 * words + 2 * one + above
    assert architecture_of(lstm).flops(lstm, tokens=10) == 20 * (2 * one + above)
    mean = Static(vectors="random").build(tiny_encoder, labels=tiny.LABELS, seed=0)
    assert model_info(mean, "static").parameters() == 300 * words + 2 * 300 + 2
    assert architecture_of(mean).flops(mean, tokens=10) == 10 * 300 + 2 * (2 * 300 + 2)


def test_first_weights_depend_on_the_seed_alone(tiny_encoder) -> None:
    first, same, other = (
        TextCNN(filters=2).build(tiny_encoder, labels=tiny.LABELS, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["network.table.weight"], other["network.table.weight"])


def test_a_signal_that_a_network_lacks_is_refused_and_logits_are_float32(tiny_encoder) -> None:
    model = TextCNN(filters=2).build(tiny_encoder, labels=tiny.LABELS, seed=0)
    batch = {"input_ids": IDS, "attention_mask": MASK}
    assert forward(model.bfloat16(), batch, frozenset({"logits"})).logits.dtype == torch.float32
    with pytest.raises(ConfigError, match=r"architecture textcnn gives no cls, only logits\."):
        forward(model, batch, frozenset({"cls"}))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            "good 1 2\nfilm 1 nan\n",
            r"glove\.txt cannot be .*\(line 2 has values that are not finite numbers, or none\)",
        ),
        ("good 1 inf\n", r"glove\.txt cannot be .*\(line 1 has values that are not finite"),
        ("good\n", r"glove\.txt cannot be .*\(line 1 has values that are not finite numbers, or none\)"),
        ("good 1 x\n", r"glove\.txt cannot be .*\(line 1: could not convert string to float: 'x'\)"),
        ("good 1 2\nunseen 1 2\ngood 1 2\n", r"glove\.txt cannot be .*\(line 3 has the word 'good' of line 1 again\)"),
        (None, r"glove\.txt does not exist; give a text file"),
    ],
)
def test_bad_word_vectors_are_refused_with_file_and_line(lines, said, tiny_encoder, tmp_path) -> None:
    file = tmp_path / "glove.txt"
    if lines is not None:
        file.write_text(lines)
    with pytest.raises(ConfigError, match=said) as error:
        TextCNN(filters=2, vectors=str(file)).build(tiny_encoder, labels=tiny.LABELS, seed=0)
    assert "\n" not in str(error.value)


def test_word_vectors_are_not_read_from_a_device(tiny_encoder) -> None:
    cnn = TextCNN(filters=2, vectors="/dev/zero")
    for read in (lambda: cnn.build(tiny_encoder, labels=tiny.LABELS, seed=0), lambda: cnn.files):
        with pytest.raises(ConfigError, match="/dev/zero is no regular file; give a text file of word vectors"):
            read()

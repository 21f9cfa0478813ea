"""Methods that copy layers: the numbers worked out outside kdray, and random inputs against numpy."""

import dataclasses

import methods_oracle as oracle
import numpy as np
import oracle_layers
import pytest
import torch
from method_steps import logits_step
from torch import nn

from kdray.errors import ConfigError
from kdray.methods import MTBERT, PKD, DistilBERT, MiniLM, MiniLMv2, TinyBERT
from kdray.methods.layers import patient_layers, state_rows, uniform_layers
from kdray.methods.losses import cross_entropy_rows
from kdray.methods.minilm import Heads
from kdray.methods.minilmv2 import most_heads
from kdray.methods.mtbert import reliability
from kdray.methods.relations import relation_rows
from kdray.methods.tinybert import LayerCopy
from kdray.signals import TOKEN_NEEDS, Signals
from kdray.testing.steps import pair_for, step_for
from kdray.train import SingleRank, objective

ZT = [[2, 1, 0.1], [0.5, 2.5, -1]]
ZU = [[1.5, 0.5, 0], [1, 1.8, -0.5]]
ZS = [[1, 1.5, 0.5], [0.2, 1, 0.3]]
Y = [0, 1]


def near(value, abs=1e-6):
    return pytest.approx(value, abs=abs)


def wide(values):
    return torch.tensor(values, dtype=torch.float64)


def real(*shape):
    return torch.ones(*shape, dtype=torch.bool)


def loss_of(method, step):
    return objective(method, step, SingleRank()).loss.item()


def means(method, step):
    step_loss = objective(method, step, SingleRank())
    return {name: (step_loss.sums[name] / step_loss.counts[name].clamp(min=1)).item() for name in step_loss.sums}


def plain(tensor):
    return tensor.detach().numpy()


def lengths(step):
    return step.student.mask.sum(1).tolist()


def random_step(method, seed=0, **shapes):
    step = step_for(method, pair_for(method, **shapes), seed=seed)
    step.labels[::3] = -1
    return step


def projection_of(step):
    weights = [plain(weight) for weight in step.adapters.parameters()]
    return weights[0] if weights else None


# The maps.


@pytest.mark.parametrize(
    ("student", "teacher", "layers"),
    [
        (6, 12, (2, 4, 6, 8, 10, 12)),
        (4, 12, (3, 6, 9, 12)),
        (3, 12, (4, 8, 12)),
        (4, 6, (2, 3, 5, 6)),
        (3, 3, (1, 2, 3)),
    ],
)
def test_layers_are_spread_evenly(student, teacher, layers):
    assert uniform_layers(student, teacher) == layers


@pytest.mark.parametrize(
    ("student", "teacher", "which", "layers"),
    [
        (6, 12, "skip", (2, 4, 6, 8, 10)),
        (4, 12, "skip", (3, 6, 9)),
        (3, 12, "skip", (4, 8)),
        (6, 24, "skip", (4, 8, 12, 16, 20)),
        (6, 12, "last", (7, 8, 9, 10, 11)),
        (3, 12, "last", (10, 11)),
        (1, 12, "skip", ()),
        (1, 12, "last", ()),
    ],
)
def test_patient_layers(student, teacher, which, layers):
    assert patient_layers(student, teacher, which) == layers


def test_a_map_takes_different_layers_in_order_and_the_last_one():
    for teacher in range(1, 25):
        for student in range(1, teacher + 1):
            found = uniform_layers(student, teacher)
            assert found == tuple(oracle_layers.g(i, student, teacher) for i in range(1, student + 1))
            assert sorted(set(found)) == list(found)
            assert found[0] >= 1
            assert found[-1] == teacher
            for which in ("skip", "last"):
                patient = patient_layers(student, teacher, which)
                assert len(patient) == student - 1
                assert all(1 <= layer < teacher for layer in patient)


# PKD.


def patience_step():
    """A student and a teacher of three layers; the embeddings and last layers differ, and must not count."""
    student = [[[9, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]]]
    teacher = [[[0, 9, 0, 0], [1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 7]]]
    return logits_step([ZS[0]], [[ZT[0]]], [0], student_cls=student, teacher_cls=teacher)


@pytest.mark.parametrize(("scale", "value"), [("sum", 1.171573), ("elementmean", 0.146447)])
@pytest.mark.parametrize("layers", ["skip", "last"])
def test_patience_of_two_layers(scale, value, layers):
    assert means(PKD(scale=scale, layers=layers), patience_step())["layers"] == near(value)


def test_without_patience_it_is_vanilla_kd():
    assert loss_of(PKD(temperature=5, alpha=0.5, beta=0), logits_step(ZS, [ZT], Y)) == near(0.681900)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"layers": "last", "scale": "sum", "beta": 0.7},
        {"alpha": 0.2, "temperature": 10.0, "direction": "reverse", "t2_scaling": False},
        {"reduction": "elementmean", "layers": "last"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "shapes",
    [{}, {"student_layers": 3, "layers": 7, "student_width": 4}, {"student_layers": 4, "layers": 4, "classes": 2}],
    ids=str,
)
def test_pkd_loss_matches_the_oracle(seed, settings, shapes):
    method = PKD(**settings)
    step = step_for(method, pair_for(method, **shapes), seed=seed)
    signals = [plain(x) for s in (step.student, step.teachers[0]) for x in (s.logits, s.cls)]
    student, student_cls, teacher, teacher_cls = signals
    y = step.labels.numpy()
    expected = oracle_layers.pkd(
        student, teacher, student_cls, teacher_cls, y, method.model_dump(), projection_of(step)
    )
    assert loss_of(method, step) == near(expected, 1e-9)


def test_pkd_refuses_what_it_cannot_copy():
    with pytest.raises(ConfigError, match="all layers but the last, and the student has one"):
        PKD().check(pair_for(PKD(), student_layers=1))
    with pytest.raises(ConfigError, match="teacher0 has 4, the student 5"):
        PKD().check(pair_for(PKD(), student_layers=5))
    for layers in (1, 5):
        PKD(beta=0).check(pair_for(PKD(), student_layers=layers))
    with pytest.raises(ConfigError, match="layers, scale would have no effect, because beta is 0"):
        PKD(beta=0, layers="last", scale="sum")
    with pytest.raises(ConfigError, match="temperature would have no effect, because alpha is 0"):
        PKD(alpha=0, temperature=2)


# TinyBERT.


def test_hidden_states_through_a_projection():
    states, target = wide([[[[1, 2], [0, 1]]]]), wide([[[[1, 1, 2], [0, 1, 1]]]])
    linear = nn.Linear(2, 3, bias=False).double()
    with torch.no_grad():
        linear.weight.copy_(wide([[1, 0], [0, 1], [1, 1]]))  # [x, y, x + y]
    assert state_rows(linear(states), target, real(1, 2)).item() == near(0.333333)


def test_attention_scores_of_two_tokens():
    def signals(scores):
        return Signals(wide([[0, 0]]), hidden=torch.zeros(1, 2, 2, 3), attn=wide([[[scores]]]), mask=real(1, 2))

    student, teacher = signals([[1, -1e4], [0.5, 0.2]]), signals([[0.5, -1e4], [0.5, 1]])
    step = dataclasses.replace(logits_step([[0, 0]], [[[0, 0]]], [0]), student=student, teachers=(teacher,))
    assert means(LayerCopy(name="tinybert"), step)["attention"] == near(0.222500)


def test_soft_cross_entropy_of_the_fixture():
    assert loss_of(TinyBERT(), logits_step(ZS, [ZT], Y)) == near(0.942548)
    assert loss_of(TinyBERT(temperature=5), logits_step(ZS, [ZT], Y)) == near(1.089658)
    assert loss_of(TinyBERT(reduction="elementmean"), logits_step(ZS, [ZT], Y)) == near(0.942548 / 3)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "shapes", [{}, {"student_layers": 3, "layers": 12, "student_width": 4}, {"student_layers": 4}], ids=str
)
def test_tinybert(seed, shapes):
    method = TinyBERT()
    step = random_step(method, seed, **shapes)
    hidden, scores = oracle_layers.tinybert_layers(
        plain(step.student.hidden),
        plain(step.teachers[0].hidden),
        plain(step.student.attn),
        plain(step.teachers[0].attn),
        lengths(step),
        projection_of(step),
    )
    copy = method.phases(1)[0].method
    terms = copy.terms(step).terms
    assert plain(terms["hidden"].values) == near(hidden, 1e-9)
    assert plain(terms["attention"].values) == near(scores, 1e-9)
    assert loss_of(copy, step) == near((hidden + scores).mean(), 1e-9)
    soft = oracle_layers.soft_cross_entropy(plain(step.teachers[0].logits), plain(step.student.logits), 1.0)
    assert loss_of(method, step) == near(soft.mean(), 1e-9)


def test_tinybert_copies_layers_first_and_keeps_an_epoch_of_the_prediction():
    phases = TinyBERT(general_epochs=2).phases(3)
    assert [(p.name, p.epochs, p.scored, p.learning_rate) for p in phases] == [
        ("general", 2, False, 5e-5),
        ("intermediate", 10, False, 5e-5),
        ("prediction", 3, True, None),
    ]
    assert len({p.schedule for p in phases}) == 3
    assert all(p.trains == "student" for p in phases)
    assert phases[0].method.needs == {"hidden", "attn"}
    assert not phases[-1].method.needs & TOKEN_NEEDS
    assert phases[-1].method.weights()["hard"] == 0
    assert [p.name for p in TinyBERT(intermediate_epochs=0).phases(3)] == ["prediction"]


def test_tinybert_refuses_layers_and_heads_that_do_not_match():
    method = TinyBERT()
    with pytest.raises(ConfigError, match="student's 3 layers do not divide the 4 of teacher0"):
        method.check(pair_for(method, student_layers=3))
    pair = pair_for(method)
    with pytest.raises(ConfigError, match="teacher0 has 2 heads, the student 4"):
        method.check(dataclasses.replace(pair, student=dataclasses.replace(pair.student, heads=4)))
    TinyBERT(intermediate_epochs=0).check(pair_for(method, student_layers=3))
    assert not list(TinyBERT(intermediate_epochs=0).adapters(pair_for(method, student_width=4)).parameters())
    with pytest.raises(ConfigError, match="intermediate_learning_rate would have no effect"):
        TinyBERT(intermediate_epochs=0, intermediate_learning_rate=1e-4)


# MiniLM and MiniLMv2.


def attention_qkv(scores, values):
    """Queries, keys and values of one head of width 2 whose attention scores are as given."""
    return torch.stack([2**0.5 * torch.eye(2, dtype=torch.float64), wide(scores).T, wide(values)])[None]


def test_minilm_of_two_tokens():
    teacher = attention_qkv(np.log([[0.7, 0.3], [0.4, 0.6]]).tolist(), [[1, 0], [0, 1]])
    student = attention_qkv([[0, 0], [0, 0]], [[1, 1], [0, 1]])
    step = dataclasses.replace(
        logits_step([[0, 0]], [[[0, 0]]], [0], adapters=Heads(1)),
        student=Signals(wide([[0, 0]]), qkv_last=student, mask=real(1, 2)),
        teachers=(Signals(wide([[0, 0]]), qkv_last=teacher, mask=real(1, 2)),),
    )
    found = means(MiniLM(), step)
    assert found["attention"] == near(0.051209)
    assert found["values"] == near(0.029400)
    assert loss_of(MiniLM(), step) == near(0.051209 + 0.029400, 2e-6)


def test_minilmv2_relation_of_two_heads():
    teacher, student = wide([[[1, 0, 0, 1], [0, 1, 1, 0]]]), wide([[[1, 1], [0, 1]]])
    rows = relation_rows((teacher, teacher), (student, student), real(1, 2), heads=2)
    assert rows.item() == near(0.046388)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shapes", [{}, {"student_width": 4}, {"width": 12, "student_width": 18}], ids=str)
def test_minilm(seed, shapes):
    method = MiniLM()
    step = random_step(method, seed, **shapes)
    (tq, tk, tv), (q, k, v) = (
        plain(s.qkv_last).swapaxes(0, 1) for s in (step.teachers[0].detach(), step.student.detach())
    )
    attention = oracle_layers.relation_loss((tq, tk), (q, k), lengths(step), 2)
    values = oracle_layers.relation_loss((tv, tv), (v, v), lengths(step), 2)
    terms = method.terms(step).terms
    assert plain(terms["attention"].values) == near(attention, 1e-9)
    assert plain(terms["values"].values) == near(values, 1e-9)
    assert loss_of(method, step) == near((attention + values).mean(), 1e-9)


@pytest.mark.parametrize(("heads", "used"), [(None, 6), (3, 3), (1, 1)])
@pytest.mark.parametrize("student_width", [6, 18])
def test_minilmv2(heads, used, student_width):
    method = MiniLMv2(relation_heads=heads)
    step = random_step(method, student_width=student_width, width=12)
    teacher, student = (plain(s.qkv_last) for s in (step.teachers[0], step.student.detach()))
    rows = [
        oracle_layers.relation_loss((teacher[:, x],) * 2, (student[:, x],) * 2, lengths(step), used) for x in range(3)
    ]
    for name, values in zip(("queries", "keys", "values"), rows, strict=True):
        assert plain(method.terms(step).terms[name].values) == near(values, 1e-9)
    assert loss_of(method, step) == near(np.sum(rows, axis=0).mean(), 1e-9)


def test_minilmv2_of_an_upper_middle_layer():
    method = MiniLMv2(teacher_layer=3)
    step = random_step(method)
    teacher, student = (plain(s.qkv) for s in (step.teachers[0], step.student.detach()))
    rows = [
        oracle_layers.relation_loss((teacher[:, 2, x],) * 2, (student[:, -1, x],) * 2, lengths(step), 6)
        for x in range(3)
    ]
    assert loss_of(method, step) == near(np.sum(rows, axis=0).mean(), 1e-9)
    assert loss_of(method, step) != near(loss_of(MiniLMv2(), step), 1e-3)
    with pytest.raises(ConfigError, match=r"teacher_layer = 5, but teacher0 has 4 layers"):
        MiniLMv2(teacher_layer=5).check(pair_for(MiniLMv2()))


def test_relation_heads_divide_both_widths():
    assert most_heads(768, 768) == most_heads(768, 384) == 48
    assert most_heads(1024, 768) == most_heads(1024, 1024) == 64
    assert most_heads(768, 512) == 32
    assert most_heads(6, 4) == 2
    with pytest.raises(ConfigError, match=r"relation_heads = 4 does not divide both widths.*6.*8.*for 2"):
        MiniLMv2(relation_heads=4).check(pair_for(MiniLMv2(), student_width=8))
    MiniLMv2(relation_heads=2).check(pair_for(MiniLMv2(), student_width=8))


def test_minilm_needs_equal_heads_and_minilmv2_does_not():
    pair = pair_for(MiniLM())
    other = dataclasses.replace(pair, student=dataclasses.replace(pair.student, heads=3))
    with pytest.raises(ConfigError, match="teacher0 has 2 heads, the student 3; take minilmv2"):
        MiniLM().check(other)
    MiniLMv2().check(other)


@pytest.mark.parametrize("kind", [MiniLM, MiniLMv2])
def test_relations_come_before_fine_tuning(kind):
    relations, tuning = kind().phases(3)
    assert (relations.scored, relations.epochs, tuning.scored, tuning.epochs) == (False, 3, True, 3)
    assert relations.schedule != tuning.schedule
    assert kind(relation_epochs=7).phases(3)[0].epochs == 7
    assert relations.method.weights()["hard"] == 0
    assert tuning.method.weights() == {"hard": 1.0}


# DistilBERT.


def test_cosine_of_two_tokens():
    student, teacher = wide([[[[5, 5], [5, 5]], [[1, 0], [1, 1]]]]), wide([[[[1, 1], [2, 2]]]])
    step = dataclasses.replace(
        logits_step([[0, 0]], [[[0, 0]]], [0]),
        student=Signals(wide([[0, 0]]), hidden=student, mask=real(1, 2)),
        teachers=(Signals(wide([[0, 0]]), hidden=teacher, mask=real(1, 2)),),
    )
    assert means(DistilBERT(), step)["cosine"] == near(0.146447)


@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 5.0, "direction": "reverse"}, {"kd_weight": 0.5, "hard_weight": 0, "t2_scaling": False}],
    ids=str,
)
@pytest.mark.parametrize("student_width", [6, 3])
def test_distilbert(settings, student_width):
    method = DistilBERT(**settings)
    step = random_step(method, student_width=student_width)
    s, known = method.model_dump(), (step.labels >= 0).numpy()
    teacher, student = plain(step.teachers[0].logits), plain(step.student.logits)
    soft = oracle.kd(teacher, student, s["temperature"], t2=s["t2_scaling"], direction=s["direction"]).mean()
    hard = oracle.cross_entropy(student[known], step.labels.numpy()[known]).mean()
    cosine = oracle_layers.cosine_loss(
        plain(step.student.hidden), plain(step.teachers[0].hidden), lengths(step), projection_of(step)
    )
    assert plain(method.terms(step).terms["cosine"].values) == near(cosine, 1e-9)
    expected = s["kd_weight"] * soft + s["hard_weight"] * hard + s["cos_weight"] * cosine.mean()
    assert loss_of(method, step) == near(expected, 1e-9)


def test_distilbert_needs_tokens_only_where_it_compares_them():
    assert not DistilBERT(cos_weight=0).needs & TOKEN_NEEDS
    assert not list(DistilBERT(cos_weight=0).adapters(pair_for(DistilBERT(), student_width=4)).parameters())
    with pytest.raises(ConfigError, match="temperature would have no effect, because kd_weight is 0"):
        DistilBERT(kd_weight=0, temperature=3)
    with pytest.raises(ConfigError, match="nothing would train the classifier"):
        DistilBERT(kd_weight=0, hard_weight=0)


# MT-BERT.


def test_reliability_of_two_teachers():
    losses = [cross_entropy_rows(wide(z), torch.tensor(Y)).tolist() for z in (ZT, ZU)]
    assert losses == [near([0.417030, 0.153178]), near([0.464369, 0.437989])]
    assert reliability(wide(ZT), torch.tensor(Y)).tolist() == near([0.705701, 0.867169])
    assert reliability(wide(ZU), torch.tensor(Y)).tolist() == near([0.682888, 0.695416])


def test_soft_labels_by_reliability():
    cls = np.zeros((2, 2, 3))
    adapters = nn.ModuleList(nn.Linear(3, 3, bias=False).double() for _ in range(2))
    step = logits_step(ZS, [ZT, ZU], Y, student_cls=cls, teacher_cls=cls, adapters=adapters)
    found = means(MTBERT(tokens="cls"), step)
    assert found["soft"] == near(1.443219)
    assert found["layers"] == 0
    assert loss_of(MTBERT(tokens="cls"), step) == near(1.443219 + 0.923001, 2e-6)


def test_an_unlabeled_row_is_weighed_by_what_the_teacher_expects_of_itself():
    sure, torn = wide([[30.0, 0.0]]), wide([[0.0, 0.0]])
    nobody = torch.tensor([-1])
    assert reliability(sure, nobody).item() == near(1.0)
    assert reliability(torn, nobody).item() == near(1 / (1 + np.log(2)))
    assert reliability(torn, nobody).item() == near(reliability(torn, torch.tensor([0])).item())


@pytest.mark.parametrize("tokens", ["all", "cls"])
@pytest.mark.parametrize("fit", ["teacher", "student"])
@pytest.mark.parametrize("shapes", [{}, {"student_layers": 3, "layers": 5, "student_width": 4}], ids=str)
def test_mtbert_loss_matches_the_oracle(tokens, fit, shapes):
    method = MTBERT(tokens=tokens, fit=fit, temperature=2.0)
    step = random_step(method, **shapes)

    def states(signals):
        return plain(signals.hidden) if tokens == "all" else plain(signals.cls)[:, :, None]

    teachers = [plain(t.logits) for t in step.teachers]
    y, known = step.labels.numpy(), (step.labels >= 0).numpy()
    maps = [plain(weight) for weight in step.adapters.parameters()]
    assert len(maps) == len(teachers) == 3
    real_tokens = lengths(step) if tokens == "all" else [1] * len(y)
    student = plain(step.student.logits)
    soft, hidden = oracle_layers.mtbert(
        student,
        teachers,
        states(step.student),
        [states(t) for t in step.teachers],
        y,
        real_tokens,
        maps,
        method.model_dump(),
    )
    found = means(method, step)
    assert found["soft"] == near(soft, 1e-9)
    assert found["layers"] == near(hidden, 1e-9)
    hard = oracle.cross_entropy(student[known], y[known]).mean()
    assert loss_of(method, step) == near(soft + hidden + hard, 1e-9)


def test_the_length_of_mapped_states_is_watched():
    method = MTBERT()
    step = random_step(method)
    length = means(method, step)["mapped"]
    assert length > 0
    with torch.no_grad():
        for weight in step.adapters.parameters():
            weight.mul_(0.25)
    assert means(method, step)["mapped"] == near(0.25 * length)
    assert "mapped" not in MTBERT(fit="student").terms(random_step(MTBERT(fit="student"))).terms


def test_mtbert_refuses_shallow_teachers_and_other_tokenizers_for_all_tokens():
    pair = pair_for(MTBERT())
    with pytest.raises(ConfigError, match="teacher0 has 4, the student 5"):
        MTBERT().check(pair_for(MTBERT(), student_layers=5))
    other = dataclasses.replace(pair, student=dataclasses.replace(pair.student, tokenizer="other"))
    with pytest.raises(ConfigError, match="another tokenizer"):
        MTBERT().check(other)
    MTBERT(tokens="cls").check(other)


# All of them.


@pytest.mark.parametrize("method", [PKD(), TinyBERT(), DistilBERT()], ids=lambda method: method.name)
def test_one_projection_where_widths_differ_and_none_elsewhere(method):
    torch.manual_seed(0)
    adapters = method.adapters(pair_for(method, width=300, student_width=200))
    assert [tuple(weight.shape) for weight in adapters.parameters()] == [(300, 200)]
    assert next(adapters.parameters()).std().item() == pytest.approx(0.02, rel=0.02)
    assert not list(method.adapters(pair_for(method)).parameters())


@pytest.mark.parametrize(
    "method", [TinyBERT(), MiniLM(), MiniLMv2(), DistilBERT(), MTBERT()], ids=lambda method: method.name
)
def test_more_padding_changes_nothing(method):
    phase = method.phases(1)[0].method
    step = random_step(method)

    def padded(signals):
        def more(x, *dims):
            for dim in dims:
                x = torch.cat([x, torch.full_like(x.narrow(dim, 0, 3), 5)], dim)
            return x

        return dataclasses.replace(
            signals,
            hidden=more(signals.hidden, 2),
            attn=more(signals.attn, 3, 4),
            qkv=more(signals.qkv, 3),
            qkv_last=more(signals.qkv_last, 2),
            mask=torch.cat([signals.mask, torch.zeros(len(signals.mask), 3, dtype=torch.bool)], 1),
        )

    longer = dataclasses.replace(step, student=padded(step.student), teachers=tuple(padded(t) for t in step.teachers))
    assert loss_of(phase, longer) == near(loss_of(phase, step), 1e-12)

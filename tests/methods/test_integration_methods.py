"""UHC, MUKI, DFA and CFL: teachers of all classes, and teachers of some classes each."""

import dataclasses

import methods_oracle
import numpy as np
import oracle_integration as oracle
import pytest
import torch
from method_steps import logits_step
from pydantic import ValidationError
from torch.autograd import gradcheck
from two_workers import as_two

from kdray.errors import ConfigError
from kdray.methods import CFL, DFA, MUKI, UHC, parse_method
from kdray.methods.cfl import mmd_squared
from kdray.methods.integration import joint_logits
from kdray.methods.losses import kl_rows, log_probs, unit
from kdray.signals import TEACHER_NEEDS
from kdray.testing.steps import floats, pair_for, rearranged, step_for
from kdray.train import SingleRank, objective

STUDENT = [[1, 0.5, 0.2, -0.3], [0, 0.2, 1.5, 0.4]]
HALVES = [[[2, 0], [0.3, 0.1]], [[0.2, 0.1], [3, 0]]]
KNOWN = ((0, 1), (2, 3))
NAMES = ("uhc", "muki", "dfa", "cfl")


def near(value, tolerance=1e-6):
    return pytest.approx(value, abs=tolerance)


def numbers(*shape, seed=0):
    return 2 * np.random.default_rng(seed).standard_normal(shape)


def halves_step(student=STUDENT, teachers=HALVES, known=KNOWN):
    return dataclasses.replace(logits_step(student, teachers, [-1] * len(student)), known=known)


def kd_rows_of(method, step):
    return method.terms(step).terms["kd"].values


def split_pair(method, known=((0, 3), (1, 2, 4)), **sizes):
    pair = pair_for(method, classes=5, teachers=len(known), **sizes)
    facts = zip(pair.teachers, known, strict=True)
    teachers = tuple(dataclasses.replace(each, classes=len(mine), known=mine) for each, mine in facts)
    return dataclasses.replace(pair, teachers=teachers)


def split_step(method, known=((0, 3), (1, 2, 4)), **rest):
    return dataclasses.replace(step_for(method, split_pair(method, known), **rest), known=known)


# The numbers of the checks.


def test_uhc_slices_the_student():
    rows = kd_rows_of(UHC(temperature=1), halves_step())
    assert rows.tolist() == near([0.188033, 0.168572])
    assert rows.mean().item() == near(0.178303)


def test_side_by_side_logits_are_another_target():
    step = halves_step()
    rows = kl_rows(log_probs(joint_logits(step), 1), log_probs(step.student.logits, 1))
    assert rows.mean().item() == near(0.188889)


@pytest.mark.parametrize(
    ("settings", "mean"),
    [({"reweight": False}, 0.332659), ({}, 0.201571), ({"reweight": False, "target": "hard"}, 0.502131)],
)
def test_muki_of_two_halves(settings, mean):
    assert kd_rows_of(MUKI(mc=0, **settings), halves_step()).mean().item() == near(mean)


def test_muki_shares_of_two_halves():
    from kdray.methods.muki import certainty_rows

    certainty = torch.stack([certainty_rows(log_probs(t.logits, 1)) for t in halves_step().teachers], 1)
    assert certainty[0].tolist() == near([0.472935, 0.001801])
    assert certainty[1].tolist() == near([0.007178, 0.724640])
    shares = torch.softmax(certainty / 0.2, 1)
    assert shares[0].tolist() == near([0.913384, 0.086616])
    assert shares[1].tolist() == near([0.026927, 0.973073])


def test_muki_takes_certainty_from_dropout_and_the_target_from_the_plain_pass():
    step = halves_step()
    dropped = [[0.6, 0.4], [0.9, 0.1]], [[0.5, 0.5], [0.7, 0.3]]
    teachers = tuple(
        dataclasses.replace(teacher, mc_probs=torch.tensor(p, dtype=torch.float64))
        for teacher, p in zip(step.teachers, dropped, strict=True)
    )
    found = kd_rows_of(MUKI(), dataclasses.replace(step, teachers=teachers))
    student, plain = np.array(STUDENT), [np.array(z) for z in HALVES]
    expected = oracle.muki(student, plain, KNOWN, target="soft", reweight=True, dropped=[np.array(p) for p in dropped])
    assert found.tolist() == near(expected.tolist(), 1e-9)
    assert found.tolist() != near(kd_rows_of(MUKI(mc=0), step).tolist(), 1e-3)
    assert MUKI().needs == {"logits", "mc_probs"}
    assert MUKI(mc=0).needs == {"logits"}


def test_dfa_merges_two_layers():
    method = DFA()
    pair = pair_for(method, classes=2, student_layers=1, layers=1, width=2, student_width=2, teachers=2)
    step = step_for(method, pair, rows=1)
    eye = torch.eye(2, dtype=torch.float64)
    values = {"encode": 0.5 * torch.cat([eye, eye], 1), "decode": torch.cat([eye, eye]), "adapt": eye}
    with torch.no_grad():
        for name, value in values.items():
            step.adapters.get_submodule(name)[0].weight.copy_(value)

    def state(values, signals):
        one = torch.tensor(values, dtype=torch.float64).expand(1, 2, 1, 2)
        return dataclasses.replace(signals, hidden=one, mask=torch.ones(1, 1, dtype=torch.bool))

    teachers = (state([1, 2], step.teachers[0]), state([0, 1], step.teachers[1]))
    terms = method.terms(dataclasses.replace(step, student=state([1, 1], step.student), teachers=teachers)).terms
    both = torch.tensor([[1.0, 2.0, 0.0, 1.0]], dtype=torch.float64)
    assert step.adapters.get_submodule("encode")[0](both).tolist() == [near([0.5, 1.5])]
    assert terms["amalgamation"].values.tolist() == near([0.25])
    assert terms["reconstruction"].values.tolist() == near([0.5])


def test_mmd_of_two_pairs_of_rows():
    x = unit(torch.tensor([[1, 0], [0, 1]], dtype=torch.float64))
    y = unit(torch.tensor([[1, 1], [0, 2]], dtype=torch.float64))
    assert oracle.variance(x.numpy(), y.numpy()) == near(0.719670)
    assert mmd_squared(x, y).item() == near(0.987887)


# Random inputs against the formulas.


@pytest.mark.parametrize("known", [None, ((0, 3), (1, 2, 4)), ((4, 0, 1), (3, 1), (2, 3, 0))])
@pytest.mark.parametrize("temperature", [1.0, 5.0])
def test_uhc_is_its_formula(known, temperature):
    of = known or (tuple(range(5)),) * 3
    student, teachers = numbers(9, 5), [numbers(9, len(each), seed=1 + k) for k, each in enumerate(of)]
    step = halves_step(student, teachers, known or ())
    expected = oracle.uhc(student, teachers, of, temperature)
    assert kd_rows_of(UHC(temperature=temperature), step).tolist() == near(expected.tolist(), 1e-9)


@pytest.mark.parametrize("known", [None, ((0, 3), (1, 2, 4)), ((4, 0, 1), (3, 1), (2, 3, 0))])
@pytest.mark.parametrize("settings", [{}, {"reweight": False}, {"target": "hard"}, {"score_temperature": 1.3}], ids=str)
def test_muki_is_its_formula(known, settings):
    of = known or (tuple(range(5)),) * 3
    student, teachers = numbers(9, 5), [numbers(9, len(each), seed=1 + k) for k, each in enumerate(of)]
    expected = oracle.muki(student, teachers, of, **({"target": "soft", "reweight": True} | settings))
    found = kd_rows_of(MUKI(mc=0, **settings), halves_step(student, teachers, known or ()))
    assert found.tolist() == near(expected.tolist(), 1e-9)


def arrays(signals):
    return signals.hidden.detach().numpy()


@pytest.mark.parametrize("known", [None, ((0, 3), (1, 2, 4))])
@pytest.mark.parametrize(("number", "layers"), [(1, 4), (2, 5), (-1, 7)])
def test_dfa_is_its_formula(known, number, layers):
    method = DFA(align_number=number, alpha=1, temperature=2)
    sizes = {"student_layers": 3, "layers": layers, "width": 6, "student_width": 4}
    if known:
        step = dataclasses.replace(step_for(method, split_pair(method, known, **sizes)), known=known)
    else:
        step = step_for(method, pair_for(method, classes=5, **sizes))
    maps = {
        name: [each.weight.detach().numpy() for each in step.adapters.get_submodule(name)]
        for name in ("encode", "decode", "adapt")
    }
    copied, missed = oracle.dfa(
        arrays(step.student),
        [arrays(each) for each in step.teachers],
        step.student.mask.numpy(),
        **maps,
        number=3 if number == -1 else number,
    )
    terms = method.terms(step).terms
    assert terms["amalgamation"].values.tolist() == near(copied.tolist(), 1e-9)
    assert terms["reconstruction"].values.tolist() == near(missed.tolist(), 1e-9)
    check_joint(terms["kd"].values, step, known)
    total = terms["kd"].values.mean().item() + copied.mean() + missed.mean()
    assert objective(method, step, SingleRank()).loss.item() == near(total, 1e-9)


def check_joint(rows, step, known):
    student, *teachers = (each.logits.detach().numpy() for each in (step.student, *step.teachers))
    target = oracle.joint(teachers, known, student.shape[1])
    assert rows.tolist() == near(methods_oracle.kd(target, student, 2.0).tolist(), 1e-9)


@pytest.mark.parametrize("known", [None, ((0, 3), (1, 2, 4))])
@pytest.mark.parametrize("width", [8, 10])
def test_cfl_is_its_formula(known, width):
    method = CFL(alpha=1, temperature=2)
    if known:
        step = dataclasses.replace(step_for(method, split_pair(method, known, student_width=width)), known=known)
    else:
        step = step_for(method, pair_for(method, classes=5, student_width=width))

    def layers(name):
        modules = step.adapters.get_submodule(name).modules()
        found = [each for each in modules if isinstance(each, torch.nn.Linear)]
        return [(each.weight.detach().numpy(), each.bias.detach().numpy()) for each in found]

    count = len(step.teachers)
    assert len(layers("align_student")[0][1]) == -(-width // 4)
    mmd, missed = oracle.cfl(
        arrays(step.student)[:, -1],
        [arrays(each)[:, -1] for each in step.teachers],
        step.student.mask.numpy(),
        layers("align_student")[0],
        [layers(f"align.{k}")[0] for k in range(count)],
        layers("extract"),
        [layers(f"decode.{k}") for k in range(count)],
    )
    terms = method.terms(step).terms
    assert mmd > 0
    assert terms["mmd"].values.tolist() == near([mmd] * len(missed), 1e-9)
    assert terms["reconstruction"].values.tolist() == near(missed.tolist(), 1e-9)
    check_joint(terms["kd"].values, step, known)
    total = terms["kd"].values.mean().item() + mmd + missed.mean()
    assert objective(method, step, SingleRank()).loss.item() == near(total, 1e-9)


# Properties.


def test_mmd_is_nothing_between_equal_sets():
    rows = unit(torch.from_numpy(numbers(6, 3)))
    assert mmd_squared(rows, rows.flip(0)).item() == near(0, 1e-12)
    same = rows[:1].repeat(6, 1).requires_grad_()
    loss = mmd_squared(same, same.detach().clone())
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(same.grad).all()
    assert mmd_squared(same.detach().float(), same.detach().float()).item() == 0


def test_mmd_gradient_takes_the_bandwidth_for_a_constant():
    x, y = (torch.from_numpy(numbers(3, 2, seed=k)) for k in (1, 2))
    x.requires_grad_()
    mmd_squared(x, y).backward()
    variance, h = oracle.variance(x.detach().numpy(), y.numpy()), 1e-6

    def value(moved):
        def kernel(a, b):
            d = ((a[:, None] - b[None]) ** 2).sum(-1)
            return sum(np.exp(-d / (2 * variance * m)) for m in (0.25, 0.5, 1, 2, 4)).mean()

        return kernel(moved, moved) + kernel(y.numpy(), y.numpy()) - 2 * kernel(moved, y.numpy())

    at = x.detach().numpy()
    step = h * np.eye(1, at.size)[0].reshape(at.shape)
    assert x.grad[0, 0].item() == near((value(at + step) - value(at - step)) / (2 * h), 1e-8)


def test_teachers_of_all_classes_in_their_own_order_are_the_same_teachers():
    step = step_for(UHC(), pair_for(UHC(), classes=4, teachers=2))
    order = (2, 0, 3, 1)
    moved = tuple(dataclasses.replace(each, logits=each.logits[:, list(order)]) for each in step.teachers)
    reordered = dataclasses.replace(step, teachers=moved, known=(order, order))
    for method in (UHC(), MUKI(mc=0)):
        torch.testing.assert_close(kd_rows_of(method, reordered), kd_rows_of(method, step))
        torch.testing.assert_close(
            kd_rows_of(method, dataclasses.replace(step, known=(None, None))), kd_rows_of(method, step)
        )


def test_one_class_student_logits_do_not_matter_to_other_teachers():
    step = halves_step()
    shifted = step.student.logits + torch.tensor([0.7, 0.7, 0, 0], dtype=torch.float64)
    moved = dataclasses.replace(step, student=dataclasses.replace(step.student, logits=shifted))
    torch.testing.assert_close(kd_rows_of(UHC(), moved), kd_rows_of(UHC(), step))
    assert (kd_rows_of(MUKI(mc=0), moved) - kd_rows_of(MUKI(mc=0), step)).abs().min() > 1e-3


def test_equally_certain_teachers_hardly_count_when_rows_are_reweighted():
    step = logits_step(STUDENT, [STUDENT[::-1], [row[::-1] for row in STUDENT[::-1]]], [0, 1])
    assert (kd_rows_of(MUKI(mc=0), step) / kd_rows_of(MUKI(mc=0, reweight=False), step)).tolist() == near(
        [1e-6] * 2, 1e-9
    )


@pytest.mark.parametrize("name", NAMES)
def test_subsets_give_terms_like_any_other(name):
    method = parse_method({"name": name, "alpha": 1})
    step = split_step(method)
    method.check(split_pair(method))
    terms = method.terms(step).terms
    sum(term.values.sum() for term in terms.values()).backward()
    reached = {name for name, x in floats(step.student).items() if x.grad is not None and x.grad.abs().sum() > 0}
    assert reached == method.needs - TEACHER_NEEDS
    order = torch.randperm(len(step.labels), generator=torch.Generator().manual_seed(3))
    moved = dataclasses.replace(
        step,
        student=rearranged(step.student, order),
        teachers=tuple(rearranged(teacher, order) for teacher in step.teachers),
    )
    for key, term in method.terms(moved).terms.items():
        torch.testing.assert_close(term.values, terms[key].values[order], rtol=0, atol=1e-12)

    def loss(logits):
        return objective(
            method, dataclasses.replace(step, student=dataclasses.replace(step.student, logits=logits)), SingleRank()
        ).loss

    assert gradcheck(loss, step.student.logits, fast_mode=True)
    huge = [dataclasses.replace(each, logits=1e4 * each.logits.sign()) for each in (step.student, *step.teachers)]
    extreme = dataclasses.replace(step, student=huge[0], teachers=tuple(huge[1:]))
    assert torch.isfinite(objective(method, extreme, SingleRank()).loss)
    assert objective(method, split_step(method, rows=0), SingleRank()).loss.item() == 0


@pytest.mark.parametrize("name", NAMES)
def test_subsets_exclude_gold_labels(name):
    method = parse_method({"name": name})
    with pytest.raises(ConfigError, match=rf"method {name} learns without gold labels .* set method.alpha=1"):
        method.check(split_pair(method))
    only = parse_method({"name": name, "alpha": 1})
    only.check(split_pair(only))
    assert only.weights()["hard"] == 0
    only.check(pair_for(only))  # teachers of all classes, without gold labels


@pytest.mark.parametrize("name", NAMES)
def test_subsets_that_overlap_cannot_stand_side_by_side(name):
    method = parse_method({"name": name, "alpha": 1})
    for known in (((0, 3), (1, 2, 4, 3)), ((0, 3, 1, 2, 4), (1, 2))):
        if name in ("uhc", "muki"):
            method.check(split_pair(method, known))
        else:
            with pytest.raises(ConfigError, match=r"teacher1 scores the classes .* that another teacher scores"):
                method.check(split_pair(method, known))


@pytest.mark.parametrize("name", NAMES)
def test_no_knowledge_without_weight(name):
    idle = {"muki": {"score_temperature": 3.0}, "dfa": {"t2_scaling": False}}.get(name, {"temperature": 3.0})
    with pytest.raises(ValidationError, match="alpha is 0"):
        parse_method({"name": name, "alpha": 0, **idle})


def test_dfa_aligns_layers_that_are_there():
    with pytest.raises(ConfigError, match="aligns nothing"):
        DFA(align_number=0)
    with pytest.raises(ConfigError, match="align_number = 3, but the student has 2 layers; 1 to 2, or -1"):
        DFA(align_number=3).check(pair_for(DFA()))
    deep = pair_for(DFA(), student_layers=5)
    DFA().check(deep)  # only the last layers meet
    for number, aligned in ((2, 2), (-1, 5)):
        with pytest.raises(ConfigError, match=f"aligns {aligned} of the student's 5 layers, teacher0 has 4"):
            DFA(align_number=number).check(deep)


def test_dfa_features_do_not_move_towards_the_student():
    """The student's part of the loss has no gradient for the encoder; giving the teachers back has."""
    step = step_for(DFA(), pair_for(DFA()))
    terms = DFA().terms(step).terms
    encoder = step.adapters.get_submodule("encode.0").weight
    copied = torch.autograd.grad(terms["amalgamation"].values.sum(), encoder, allow_unused=True, retain_graph=True)
    assert copied == (None,)
    assert torch.autograd.grad(terms["reconstruction"].values.sum(), encoder)[0].abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [1, 2, 5, 8])  # of two, each worker pads to a length of its own
def test_two_uneven_workers_are_one_process(name, rows):
    method = parse_method({"name": name, "alpha": 0.5})
    pair = pair_for(method, student_width=8)
    whole = step_for(method, pair, rows=rows)

    def gradients(step):
        student = dataclasses.replace(step.student, logits=leaf(step.student.logits), hidden=leaf(step.student.hidden))
        step_loss = objective(method, dataclasses.replace(step, student=student), step.ranks)
        wanted = [student.logits, student.hidden, *step.adapters.parameters()]
        return step_loss.loss.item(), torch.autograd.grad(step_loss.loss, wanted, allow_unused=True)

    loss, expected = gradients(whole)
    (first, mine), (second, theirs) = as_two(whole, gradients)
    assert first + second == near(loss, 1e-12)
    for rank, part in enumerate((mine, theirs)):
        torch.testing.assert_close(part[0], expected[0][rank::2])
        if part[1] is not None:
            tokens = part[1].shape[2]
            torch.testing.assert_close(part[1], expected[1][rank::2, :, :tokens])
    for one, two, both in zip(mine[2:], theirs[2:], expected[2:], strict=True):
        torch.testing.assert_close(one + two, both)


def leaf(tensor):
    return tensor.detach().clone().requires_grad_()

"""What every method must be, whatever its name: found by itself in `METHODS`."""

import dataclasses
from itertools import combinations
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from method_steps import ROWS, num_teachers, pair_for, random_signals, rearranged, step_for
from pydantic import ValidationError
from torch.autograd import gradcheck

from kdray.errors import BadInput
from kdray.methods import METHODS, Method, Step, parse_method
from kdray.signals import Signals
from kdray.train import SingleRank, objective


def alternatives(method: type[Method], name: str) -> list[Any]:
    """Some other values of a setting: all of a literal, the ends and the middle of an interval."""
    field = method.model_fields[name]
    kind = field.annotation
    if name == "name":
        return []
    if get_origin(kind) is Literal:
        return [value for value in get_args(kind) if value != field.default]
    if kind is bool:
        return [not field.default]
    if kind is float:
        limits = [limit for m in field.metadata for limit in (getattr(m, "ge", None), getattr(m, "le", None))]
        values = [float(limit) for limit in limits if limit is not None] + [0.6 * field.default]
        return [value for value in values if value != field.default]
    assert int in get_args(kind), f"{method.__name__}.{name}: this suite knows no other values of {kind}"
    return [3]


def accepted(method: type[Method], settings: dict[str, Any]) -> Method | None:
    try:
        return method(**settings)
    except ValidationError:
        return None


def changed_once(method: type[Method]) -> list[dict[str, Any]]:
    singles = [{name: value} for name in method.model_fields for value in alternatives(method, name)]
    return [settings for settings in singles if accepted(method, settings)]


VARIANTS = [
    pytest.param(method(**settings), id=f"{method().name}{settings or ''}")
    for method in METHODS
    for settings in [{}, *changed_once(method)]
]
every_method = pytest.mark.parametrize("method", [pytest.param(m(), id=m().name) for m in METHODS])
every_variant = pytest.mark.parametrize("method", VARIANTS)


def total(method: Method, step: Step) -> torch.Tensor:
    return objective(method, step, SingleRank()).loss


def is_random(method: Method, step: Step) -> bool:
    """Whether a choice of this method depends on the counter."""
    masks = [
        [term.covered().tolist() for term in method.terms(dataclasses.replace(step, key=(0, 0, k))).terms.values()]
        for k in range(4)
    ]
    return any(mask != masks[0] for mask in masks)


@every_variant
def test_weights_name_the_terms_and_the_hard_labels(method):
    terms = method.terms(step_for(method, pair_for(method))).terms
    assert method.weights().keys() == {"hard", *terms}
    assert "hard" not in terms
    assert all(term.values.shape == (ROWS,) and term.covered().shape == (ROWS,) for term in terms.values())


@every_variant
def test_least_where_student_equals_teacher(method):
    pair = pair_for(method, student_layers=4)
    step = step_for(method, pair)
    same = random_signals(pair.student, torch.Generator().manual_seed(1))
    copies = {"teachers": tuple(same for _ in step.teachers), "assistant": same if step.assistant else None}

    def student(noise: float) -> Step:
        generator = torch.Generator().manual_seed(2)
        moved = [
            None
            if x is None
            else (x + noise * torch.randn(x.shape, generator=generator, dtype=x.dtype)).requires_grad_()
            for x in (same.logits, same.cls, same.sent_emb)
        ]
        return dataclasses.replace(step, student=Signals(*moved), **copies)

    at, away = student(0.0), student(0.3)
    here, there = method.terms(at).terms, method.terms(away).terms
    for name, term in here.items():
        assert term.values.abs().max() < 1e-12, f"{name} is not 0 where student and teacher agree"
        assert (there[name].values > 0).all(), name
    if here:
        sum(term.values.sum() for term in here.values()).backward()
        assert at.student.logits.grad.abs().max() < 1e-12


@every_variant
def test_gradients_reach_the_student_and_nobody_else(method):
    pair = pair_for(method)
    step = step_for(method, pair)
    others = [s for s in (*step.teachers, step.assistant) if s is not None]
    tensors = [x.requires_grad_() for s in others for x in (s.logits, s.cls, s.sent_emb)]
    frozen = dataclasses.replace(
        step,
        teachers=tuple(teacher.detach() for teacher in step.teachers),  # as the loop hands them over
        assistant=step.assistant.detach() if step.assistant else None,
    )
    terms = method.terms(frozen).terms
    if not num_teachers(method):
        assert not terms
        return
    sum((term.values * term.covered()).sum() for term in terms.values()).backward()
    assert all(x.grad is None for x in tensors)
    assert step.student.logits.grad.abs().sum() > 0
    if "cls" in method.needs:
        assert step.student.cls.grad.abs().sum() > 0


@every_variant
def test_permuting_rows_permutes_terms(method):
    step = step_for(method, pair_for(method))
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(3))
    moved = dataclasses.replace(
        step,
        student=rearranged(step.student, order),
        teachers=tuple(rearranged(teacher, order) for teacher in step.teachers),
        assistant=rearranged(step.assistant, order),
        labels=step.labels[order],
    )
    here, there = method.terms(step), method.terms(moved)
    drawn = is_random(method, step)
    for name, term in here.terms.items():
        if drawn:  # a choice by place in the batch: as many rows, but others
            assert term.covered().sum() == there.terms[name].covered().sum()
            continue
        torch.testing.assert_close(there.terms[name].values, term.values[order], rtol=0, atol=1e-12)
        assert torch.equal(there.terms[name].covered(), term.covered()[order])
    if not drawn:
        assert all(torch.equal(there.queries[name], mask[order]) for name, mask in here.queries.items())


@every_variant
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_finite_at_huge_logits(method, dtype):
    step = step_for(method, pair_for(method, classes=2))
    signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]).repeat(4, 1)

    def huge(signals: Signals, shift: int) -> Signals:
        logits = (1e4 * signs.roll(shift, 0)).to(dtype)
        return Signals(logits, signals.cls.detach().to(dtype), signals.sent_emb.detach().to(dtype))

    student = huge(step.student, 0)
    student.logits.requires_grad_()
    extreme = dataclasses.replace(
        step,
        student=student,
        teachers=tuple(huge(teacher, k + 1) for k, teacher in enumerate(step.teachers)),
        assistant=huge(step.assistant, 2) if step.assistant else None,
        adapters=step.adapters.to(dtype),
    )
    loss = total(method, extreme)
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(student.logits.grad).all()


@every_variant
def test_gradients_are_those_of_the_terms(method):
    pair = pair_for(method, classes=3, student_width=5)
    step = step_for(method, pair, rows=4)

    def loss(logits: torch.Tensor, cls: torch.Tensor) -> torch.Tensor:
        return total(method, dataclasses.replace(step, student=Signals(logits, cls, step.student.sent_emb)))

    assert gradcheck(loss, (step.student.logits, step.student.cls), fast_mode=True)


@every_variant
def test_no_row_at_all_is_no_loss(method):
    step = step_for(method, pair_for(method), rows=0)
    loss = total(method, step)
    loss.backward()
    assert loss.item() == 0


@every_variant
def test_a_pure_function_of_the_step(method):
    step = step_for(method, pair_for(method))
    torch.manual_seed(1)
    first, state = total(method, step), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state()), "the global generator was used"
    torch.manual_seed(2)
    assert torch.equal(first, total(method, step))


@every_method
def test_refuses_too_few_and_too_many_teachers(method):
    wrong = [method.min_teachers - 1] if method.min_teachers else []
    wrong += [] if method.max_teachers is None else [method.max_teachers + 1]
    for count in wrong:
        with pytest.raises(BadInput, match=rf"method {method.name} works with .* {count} given"):
            method.check(pair_for(method, teachers=count))
    method.check(pair_for(method))


@every_method
def test_refuses_one_output_heads(method):
    with pytest.raises(BadInput, match=f"method {method.name}: .*2 or more classes"):
        method.check(pair_for(method, classes=1))


@every_method
def test_refuses_other_class_counts(method):
    pair = pair_for(method)
    for number, facts in enumerate(pair.teachers):
        others = list(pair.teachers)
        others[number] = dataclasses.replace(facts, classes=9)
        with pytest.raises(BadInput, match=f"{facts.name} has 9 classes, the student 4"):
            method.check(dataclasses.replace(pair, teachers=tuple(others)))
    if pair.assistant:
        with pytest.raises(BadInput, match="assistant has 9 classes, the student 4"):
            method.check(dataclasses.replace(pair, assistant=dataclasses.replace(pair.assistant, classes=9)))


@every_method
def test_settings_are_frozen_and_closed(method):
    with pytest.raises(ValidationError, match="frozen"):
        method.name = "other"
    with pytest.raises(ValidationError, match="Extra inputs"):
        type(method)(temprature=4)


@every_variant
def test_settings_survive_plain_values(method):
    assert parse_method(method.model_dump()) == method


@every_method
def test_methods_say_what_they_are(method):
    assert method.title
    assert method.source
    assert isinstance(method.needs, frozenset)


def outcome(method: Method) -> list[Any]:
    """Everything a setting could change, on three random batches."""
    found: list[Any] = [method.weights(), method.needs, method.uses_assistant]
    if method.uses_assistant:
        found.append(method.assistant_depth(student=2, teacher=8))
    for seed in range(3):
        answer = method.terms(step_for(method, pair_for(method), seed=seed, rows=16))
        found.append({name: (t.values.tolist(), t.covered().tolist()) for name, t in answer.terms.items()})
        found.append(None if answer.hard_rows is None else answer.hard_rows.tolist())
        found.append({name: mask.tolist() for name, mask in answer.queries.items()})
    return found


@pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind().name)
def test_no_setting_is_ignored(kind):
    """Any two settings changed together either change the result each, or are refused."""
    outcomes = {(): outcome(kind())}
    singles = changed_once(kind)
    for settings in singles:
        outcomes[tuple(settings.items())] = outcome(kind(**settings))
        assert outcomes[tuple(settings.items())] != outcomes[()], f"{settings} changes nothing"
    idle = [
        f"{other} beside {alone}"
        for one, two in combinations(singles, 2)
        if one.keys() != two.keys() and (method := accepted(kind, one | two))
        for both in [outcome(method)]
        for other, alone in ((two, one), (one, two))
        if both == outcomes[tuple(alone.items())]
    ]
    assert not idle

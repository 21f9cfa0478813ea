"""What every method must be, whatever its name: found by itself in `METHODS`."""

import dataclasses
from itertools import combinations
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from method_steps import (
    ROWS,
    Case,
    cases_of,
    changed,
    evidence_for,
    floats,
    pair_for,
    random_signals,
    rearranged,
    step_for,
)
from pydantic import ValidationError
from torch.autograd import gradcheck
from torch.overrides import TorchFunctionMode

from kdray.errors import BadInput
from kdray.methods import METHODS, FineTune, Method, Step, parse_method
from kdray.signals import TOKEN_NEEDS, Signals
from kdray.train import SingleRank, objective


def alternatives(method: type[Method], name: str) -> list[Any]:
    """Some other values of a setting: its examples, all of a literal, the ends and the middle of an interval."""
    field = method.model_fields[name]
    kind = field.annotation
    if name == "name":
        return []
    if field.examples:
        return field.examples
    if get_origin(kind) is Literal:
        return [value for value in get_args(kind) if value != field.default]
    if kind is bool:
        return [not field.default]
    if kind is float:
        limits = [limit for m in field.metadata for limit in (getattr(m, "ge", None), getattr(m, "le", None))]
        values = [float(limit) for limit in limits if limit is not None] + [0.6 * field.default]
        return [value for value in values if value != field.default]
    assert int in (kind, *get_args(kind)), f"{method.__name__}.{name}: this suite knows no other values of {kind}"
    return [3]


def accepted(method: type[Method], settings: dict[str, Any]) -> Method | None:
    try:
        return method(**settings)
    except ValidationError:
        return None


def learns_a_map(method: Method) -> bool:
    """Whether something stands between the models that are compared: a projection, or a matrix that was prepared."""
    pair = pair_for(method, student_layers=4)
    prepared = method.prepare(evidence_for(pair)).values()
    return bool(list(method.adapters(pair).parameters())) or any(value.ndim > 1 for value in prepared)


def changed_once(method: type[Method]) -> list[dict[str, Any]]:
    singles = [{name: value} for name in method.model_fields for value in alternatives(method, name)]
    return [settings for settings in singles if accepted(method, settings)]


VARIANTS = [(method(**settings), settings) for method in METHODS for settings in [{}, *changed_once(method)]]
CASES = [
    pytest.param(case, id="/".join(dict.fromkeys((method.name, case.phase.name))) + str(settings or ""))
    for method, settings in VARIANTS
    for case in cases_of(method)
]
# Where a map is learned, equal models are no least: what is compared went through it.
CASES_WITHOUT_MAPS = [param for param in CASES for case in param.values if not learns_a_map(case.method)]
every_method = pytest.mark.parametrize("method", [pytest.param(m(), id=m().name) for m in METHODS])
every_variant = pytest.mark.parametrize("method", [pytest.param(m, id=f"{m.name}{s or ''}") for m, s in VARIANTS])
every_case = pytest.mark.parametrize("case", CASES)


def total(case: Case, step: Step) -> torch.Tensor:
    return objective(case.phase.method, step, SingleRank()).loss


def is_random(case: Case, step: Step) -> bool:
    """Whether a choice of this method depends on the counter."""
    answers = [case.terms(dataclasses.replace(step, key=(0, 0, k))).terms for k in range(4)]
    drawn = [{name: (term.values.tolist(), term.covered().tolist()) for name, term in a.items()} for a in answers]
    return any(each != drawn[0] for each in drawn)


def decisive(case: Case, step: Step) -> set[str]:
    """The needed signals of which other values give other terms: a controller reads some, and learns from none."""
    for buffer in step.adapters.buffers():
        if buffer.is_floating_point():
            buffer.normal_(generator=torch.Generator().manual_seed(4))

    def values(step: Step) -> dict[str, list[float]]:
        return {name: term.values.tolist() for name, term in case.terms(step).terms.items()}

    def without(name: str) -> Step:
        student, *teachers = (
            dataclasses.replace(signals, **{name: getattr(signals, name).detach().roll(1, 0)})
            for signals in (step.student, *step.teachers)
        )
        return dataclasses.replace(step, student=student, teachers=tuple(teachers))

    return {name for name in case.needs if values(without(name)) != values(step)}


@every_case
def test_weights_name_the_terms_and_the_hard_labels(case):
    terms = case.terms(step_for(case.method, pair_for(case.method))).terms
    assert case.phase.method.weights().keys() == {"hard", *terms}
    assert "hard" not in terms
    assert all(term.values.shape == (ROWS,) and term.covered().shape == (ROWS,) for term in terms.values())


@pytest.mark.parametrize("case", CASES_WITHOUT_MAPS)
def test_least_where_student_equals_teacher(case):
    pair = pair_for(case.method, student_layers=4)
    step = step_for(case.method, pair)
    same = random_signals(pair.student, torch.Generator().manual_seed(1))
    copies = {"teachers": tuple(same for _ in step.teachers), "assistant": same if step.assistant else None}

    def student(noise: float) -> Step:
        generator = torch.Generator().manual_seed(2)
        moved = changed(
            same,
            lambda x: (x + noise * torch.randn(x.shape, generator=generator, dtype=x.dtype)).requires_grad_(),
        )
        return dataclasses.replace(step, student=moved, **copies)

    at, away = student(0.0), student(0.3)
    here, there = case.terms(at).terms, case.terms(away).terms
    for name, term in here.items():
        covered = term.covered() & there[name].covered()
        assert (there[name].values > term.values)[covered].all(), name
    if here:
        sum(term.values.sum() for term in here.values()).backward()
        for name, x in floats(at.student).items():
            assert x.grad is None or x.grad.abs().max() < 1e-7, f"{name} would move although student and teacher agree"


@every_case
def test_gradients_reach_what_the_method_needs_and_nothing_else(case):
    """Of the student; that teachers' signals carry no gradient is tested where they answer."""
    step = step_for(case.method, pair_for(case.method))
    terms = case.terms(step).terms
    if not terms:
        assert case.phase.method.weights() == {"hard": 1.0}, "a phase without terms learns from hard labels alone"
        return
    sum((term.values * term.covered()).sum() for term in terms.values()).backward()
    reached = {name for name, x in floats(step.student).items() if x.grad is not None and x.grad.abs().sum() > 0}
    assert reached <= case.needs | {"logits"}, "a signal was used that the method does not say it needs"
    assert case.needs - {"logits"} <= reached | decisive(case, step), "a signal is needed that no term uses"


@every_case
def test_signals_that_are_not_needed_are_not_read(case):
    step = step_for(case.method, pair_for(case.method))
    needed = case.needs | {"logits"} | ({"mask"} if case.needs & TOKEN_NEEDS else set())

    def bare(signals: Signals) -> Signals:
        return Signals(**{name: x if name in needed else None for name, x in vars(signals).items()})

    less = dataclasses.replace(
        step,
        student=bare(step.student),
        teachers=tuple(bare(teacher) for teacher in step.teachers),
        assistant=bare(step.assistant) if step.assistant else None,
    )
    torch.manual_seed(0)
    whole = total(case, step)
    torch.manual_seed(0)
    assert torch.equal(total(case, less), whole)


@every_case
def test_permuting_rows_permutes_terms(case):
    step = step_for(case.method, pair_for(case.method))
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(3))
    moved = dataclasses.replace(
        step,
        student=rearranged(step.student, order),
        teachers=tuple(rearranged(teacher, order) for teacher in step.teachers),
        assistant=rearranged(step.assistant, order),
        labels=step.labels[order],
    )
    here, there = case.terms(step), case.terms(moved)
    drawn = is_random(case, step)
    for name, term in here.terms.items():
        if drawn:  # a choice by place in the batch: as many rows, but others
            assert term.covered().sum() == there.terms[name].covered().sum()
            continue
        torch.testing.assert_close(there.terms[name].values, term.values[order], rtol=0, atol=1e-12)
        assert torch.equal(there.terms[name].covered(), term.covered()[order])
    if not drawn:
        assert all(torch.equal(there.queries[name], mask[order]) for name, mask in here.queries.items())


@every_case
def test_what_padding_holds_does_not_matter(case):
    step = step_for(case.method, pair_for(case.method))
    if not case.needs & TOKEN_NEEDS:
        assert step.student.mask is not None  # and no term can read a token
        return

    def scribbled(signals: Signals, by: float) -> Signals:
        assert signals.mask is not None
        pad = ~signals.mask
        changes = {}
        for name, tensor in (("hidden", signals.hidden), ("qkv_last", signals.qkv_last)):
            assert tensor is not None
            changes[name] = tensor + by * pad[:, None, :, None]
        assert signals.attn is not None
        assert signals.qkv is not None
        changes["qkv"] = signals.qkv + by * pad[:, None, None, :, None]
        changes["attn"] = signals.attn + by * (pad[:, None, None, :, None] | pad[:, None, None, None, :])
        return dataclasses.replace(signals, **changes)

    padded = dataclasses.replace(
        step,  # not by the same everywhere: that would cancel where they are compared
        student=scribbled(step.student, 7.0),
        teachers=tuple(scribbled(teacher, -5.0 - k) for k, teacher in enumerate(step.teachers)),
    )
    torch.testing.assert_close(total(case, padded), total(case, step), rtol=1e-12, atol=1e-12)


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_finite_at_huge_logits(case, dtype):
    step = step_for(case.method, pair_for(case.method, classes=2))
    signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]).repeat(4, 1)

    def huge(signals: Signals, shift: int) -> Signals:
        small = changed(signals, lambda x: x.detach().to(dtype))
        return dataclasses.replace(small, logits=(1e4 * signs.roll(shift, 0)).to(dtype))

    student = huge(step.student, 0)
    student.logits.requires_grad_()
    extreme = dataclasses.replace(
        step,
        student=student,
        teachers=tuple(huge(teacher, k + 1) for k, teacher in enumerate(step.teachers)),
        assistant=huge(step.assistant, 2) if step.assistant else None,
        adapters=step.adapters.to(dtype),
    )
    loss = total(case, extreme)
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(loss)
    assert student.logits.grad is None or torch.isfinite(student.logits.grad).all()


class Detached(TorchFunctionMode):
    """What is detached stays what it was the first time: to a gradient it is a constant, so to differences too."""

    def __init__(self, constants: list[torch.Tensor]) -> None:
        super().__init__()
        self.constants, self.number = constants, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func is not torch.Tensor.detach:
            return found
        if self.number == len(self.constants):
            self.constants.append(found.clone())
        self.number += 1
        return self.constants[self.number - 1]


@every_case
def test_gradients_are_those_of_the_terms(case):
    pair = pair_for(case.method, classes=3, student_width=8 if case.method.allows_other_widths else 6)
    step = step_for(case.method, pair, rows=4)
    names = [name for name in floats(step.student) if name in case.needs | {"logits"}]
    constants: list[torch.Tensor] = []

    def loss(*values: torch.Tensor) -> torch.Tensor:
        student = dataclasses.replace(step.student, **dict(zip(names, values, strict=True)))
        with Detached(constants):
            return total(case, dataclasses.replace(step, student=student))

    assert gradcheck(loss, tuple(getattr(step.student, name) for name in names), fast_mode=True)


@every_case
def test_no_row_at_all_is_no_loss(case):
    step = step_for(case.method, pair_for(case.method), rows=0)
    loss = total(case, step)
    loss.backward()
    assert loss.item() == 0


@every_case
def test_a_pure_function_of_the_step(case):
    step = step_for(case.method, pair_for(case.method))
    state = {name: value.clone() for name, value in step.adapters.state_dict().items()}
    torch.manual_seed(1)
    first, generator = total(case, step), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(generator, torch.get_rng_state()), "the global generator was used"
    torch.manual_seed(2)
    assert torch.equal(first, total(case, step))
    assert all(torch.equal(value, state[name]) for name, value in step.adapters.state_dict().items())


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
def test_refuses_teachers_of_some_classes_unless_it_merges_them(method):
    pair = pair_for(method)
    for number, facts in enumerate(pair.teachers):
        others = list(pair.teachers)
        others[number] = dataclasses.replace(facts, classes=2, known=(0, 3))
        partial = dataclasses.replace(pair, teachers=tuple(others))
        if not method.allows_class_subsets:
            with pytest.raises(BadInput, match=f"all 4 classes, {facts.name} scores only some"):
                method.check(partial)
            continue
        for known in ((0,), (0, 0), (0, 4), (0, 1, 2)):
            others[number] = dataclasses.replace(facts, classes=2, known=known)
            with pytest.raises(BadInput, match=f"{facts.name} has 2 outputs for the classes"):
                method.check(dataclasses.replace(pair, teachers=tuple(others)))
    if method.allows_class_subsets:
        same = dataclasses.replace(pair.teachers[0], classes=2, known=(0, 3))
        with pytest.raises(BadInput, match=r"no teacher scores the classes \[1, 2\] of 0 to 3"):
            method.check(dataclasses.replace(pair, teachers=(same,) * len(pair.teachers)))


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
    """All that a setting could change: the course, the terms on three random batches, what a controller learns."""
    found: list[Any] = [method.uses_assistant, method.dropout_passes, method.reward]
    if method.uses_assistant:
        found.append(method.assistant_depths(student=2, teacher=8))
    found += [dataclasses.replace(phase, method=FineTune()) for phase in method.phases(4)]
    for case in cases_of(method):
        found += [case.phase.method.weights(), case.needs]
        for seed in range(3):
            step = step_for(method, pair_for(method), seed=seed, rows=16, key=(0, 2, 3))
            answer = case.terms(step)
            found.append({name: (t.values.tolist(), t.covered().tolist()) for name, t in answer.terms.items()})
            found.append(None if answer.hard_rows is None else answer.hard_rows.tolist())
            found.append({name: mask.tolist() for name, mask in answer.queries.items()})
            if case.phase.trains != "student" and seed == 0:
                for number in range(20):
                    labels = step.labels.roll(number)  # so that no two batches are equally good
                    moved = dataclasses.replace(step, key=(0, 2, number), labels=labels).detach()
                    case.phase.method.learn(moved, case.terms(moved).detach(), SteadyProbe())
                found.append({name: value.tolist() for name, value in step.adapters.state_dict().items()})
    return found


class SteadyProbe:
    """A student that gets a little better each time it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def cross_entropy(self) -> float:
        self.asked += 1
        return 1.0 / self.asked

    def accuracy(self) -> float:
        self.asked += 1
        return 1 - 0.5 / self.asked


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

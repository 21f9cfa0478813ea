"""What every method must be: each check is a function that raises `MethodFault` with one sentence.

A case is a method with settings in one of its phases; a check of a case runs for every setting changed once.
"""

import dataclasses
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import combinations
from typing import Any, Literal, get_args, get_origin

import torch
from pydantic import ValidationError
from torch import Tensor
from torch.autograd import gradcheck
from torch.overrides import TorchFunctionMode

from kdray.errors import ConfigError
from kdray.methods import Batch, FineTune, Method, MethodOutput, TeacherStudent, parse_method
from kdray.origin import described, place_of
from kdray.signals import TOKEN_NEEDS, Signals
from kdray.testing.steps import (
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
from kdray.train import SingleRank, check_gradient, check_terms, objective, unnamed_signals


class MethodFault(AssertionError):
    """A method breaks the contract: one sentence with the reason."""


def require(condition: object, sentence: str) -> None:
    if not condition:
        raise MethodFault(sentence)


@contextmanager
def as_fault() -> Generator[None]:
    """What a training refuses is a fault."""
    try:
        yield
    except ConfigError as error:
        raise MethodFault(str(error).removesuffix(".")) from error


def alternatives(method: type[Method], name: str) -> Sequence[Any]:
    """Some other values of a setting: its examples, all of a literal, the ends and the middle of an interval."""
    field = method.model_fields[name]
    kind, default = field.annotation, field.default
    if name == "name":
        return []
    if field.examples:
        return field.examples
    if get_origin(kind) is Literal:
        return [value for value in get_args(kind) if value != default]
    if kind is bool:
        return [not default]
    if kind is float:
        limits = [limit for m in field.metadata for limit in (getattr(m, "ge", None), getattr(m, "le", None))]
        values = [float(limit) for limit in limits if limit is not None] + [0.6 * default]
        return [value for value in values if value != default] or [1.0]
    require(
        int in (kind, *get_args(kind)),
        f"setting {name}: no other value than {default!r} is known to try; write Field({default!r}, examples=[...])",
    )
    return [3]


def accepted(method: type[Method], settings: Mapping[str, Any]) -> Method | None:
    try:
        return method(**settings)
    except (ConfigError, ValidationError):
        return None


def changed_once(method: type[Method]) -> list[dict[str, Any]]:
    """All settings that differ from the defaults in one of them, and are accepted."""
    singles = [{name: value} for name in method.model_fields for value in alternatives(method, name)]
    return [settings for settings in singles if accepted(method, settings)]


def loss_of(case: Case, step: Batch) -> Tensor:
    return objective(case.phase.method, step, SingleRank()).loss


def learns_a_map(case: Case) -> bool:
    """Whether something stands between the models that are compared: a projection, or a matrix that was prepared."""
    pair = pair_for(case.method, student_layers=4)
    prepared = case.method.prepare(evidence_for(pair)).values()
    return bool(list(case.method.adapters(pair).parameters())) or any(value.ndim > 1 for value in prepared)


def compares_tokens(case: Case) -> bool:
    return bool(case.needs & TOKEN_NEEDS)


# --- checks of a case


def weights_name_the_terms(case: Case) -> None:
    step = step_for(case.method, pair_for(case.method))
    terms, method = case.terms(step).terms, case.phase.method
    weights = {**method.weights(), **method.schedule(step)}
    with as_fault():
        check_terms(method, terms, weights, step.labels.shape, every_weight=True)


def terms_are_finite(case: Case) -> None:
    for name, term in case.terms(step_for(case.method, pair_for(case.method))).terms.items():
        wrong = (term.covered() & ~torch.isfinite(term.values)).nonzero()
        require(
            not len(wrong),
            f"term {name!r} is not finite in row {int(wrong[0]) if len(wrong) else 0}; take logs of, and "
            "divide by, numbers above 0 alone (kdray.functional.log_probs gives log-probabilities)",
        )


_MEANT = 'or, where that is meant, give check_method skip=("least_where_student_equals_teacher",)'


def least_where_student_equals_teacher(case: Case) -> None:
    step = step_for(case.method, pair_for(case.method, student_layers=4))
    same = random_signals(pair_for(case.method, student_layers=4).student, torch.Generator().manual_seed(1))
    copies: dict[str, Any] = {
        "teachers": tuple(same for _ in step.teachers),
        "assistant": same if step.assistant else None,
    }

    def student(noise: float) -> Batch:
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
        require(
            (there[name].values > term.values)[covered].all(),
            f"term {name} is not least where student and teacher agree; compare the two and look at the sign, {_MEANT}",
        )
    total = sum((term.values.sum() for term in here.values()), start=torch.zeros((), dtype=torch.float64))
    if total.requires_grad:
        total.backward()
    for name, x in floats(at.student).items():
        require(
            x.grad is None or x.grad.abs().max() < 1e-7,
            f"the student's {name} would move although student and teacher agree; compare it with the same of the "
            f"teacher, {_MEANT}",
        )


def needs_are_what_gradients_reach(case: Case) -> None:
    """Of the student; a controller may read a signal and learn from none."""
    step = step_for(case.method, pair_for(case.method))
    terms = case.terms(step).terms
    if not terms:
        require(
            case.phase.method.weights() == {"hard": 1.0},
            'a phase without terms has other weights than {"hard": 1.0}; return these from weights, or give terms',
        )
        return
    with as_fault():
        check_gradient(case.phase.method, terms)
    torch.stack([(term.values * term.covered()).sum() for term in terms.values()]).sum().backward()
    reached = {name for name, x in floats(step.student).items() if x.grad is not None and x.grad.abs().sum() > 0}
    idle = case.needs - {"logits"} - reached - _decisive(case, step)
    require(not idle, f"`needs` names {', '.join(sorted(idle))}, which no term uses; remove it from `needs`")


def other_signals_are_not_read(case: Case) -> None:
    step = step_for(case.method, pair_for(case.method))
    needed = case.needs | {"logits"} | ({"mask"} if case.needs & TOKEN_NEEDS else set[str]())

    def bare(signals: Signals) -> Signals:
        return dataclasses.replace(signals, **{name: None for name in vars(signals) if name not in needed})

    less = dataclasses.replace(
        step,
        student=bare(step.student),
        teachers=tuple(bare(teacher) for teacher in step.teachers),
        assistant=bare(step.assistant) if step.assistant else None,
    )
    why = ""
    try:
        same = torch.equal(loss_of(case, less), loss_of(case, step))
    except (ConfigError, AttributeError, TypeError, AssertionError) as error:
        cause = error.__cause__ if isinstance(error, ConfigError) else error  # of a method from outside
        if not isinstance(cause, AttributeError | TypeError | AssertionError):
            raise
        same, why = False, f" ({described(cause)})"
    if not same:
        raise MethodFault(f"the method {unnamed_signals(case.phase.method, step) or _MORE}{why}")


_MORE = "changes without signals that `needs` does not name; name all that it reads"
_BY_PLACE = "draw it by step.generator(purpose) for all places, whatever is in them"
_BY_ROW = "compute it from the signals of that row alone"


def rows_may_come_in_any_order(case: Case) -> None:
    """Terms, weights and queries move with their rows; a random choice is one by place, whatever the rows hold."""
    step = step_for(case.method, pair_for(case.method))
    if is_random(case, step):
        _choices_are_by_place(case, step)
        return
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(3))
    moved = taken(step, order)
    here, there = case.terms(step), case.terms(moved)
    for name, term in here.terms.items():
        require(
            torch.allclose(there.terms[name].values, term.values[order], rtol=0, atol=1e-12),
            f"term {name}: the value of a row depends on the order of the rows; {_BY_ROW}",
        )
        require(
            torch.equal(there.terms[name].covered(), term.covered()[order]),
            f"term {name}: which rows it covers depends on their order; {_BY_ROW}",
        )
    for name, mask in here.queries.items():
        require(
            torch.equal(there.queries[name], mask[order]),
            f"queries of {name} depend on the order of the rows; {_BY_ROW}",
        )
    after = case.phase.method.schedule(moved)
    for name, weight in case.phase.method.schedule(step).items():
        if isinstance(weight, Tensor) and weight.ndim:
            moved_weight = after[name]
            require(
                isinstance(moved_weight, Tensor) and torch.allclose(moved_weight, weight[order]),
                f"the weight of {name}: that of a row depends on the order of the rows; {_BY_ROW}",
            )


def padding_does_not_matter(case: Case) -> None:
    step = step_for(case.method, pair_for(case.method))
    padded = dataclasses.replace(
        step,  # not by the same everywhere: that would cancel where they are compared
        student=_scribbled(step.student, 7.0),
        teachers=tuple(_scribbled(teacher, -5.0 - k) for k, teacher in enumerate(step.teachers)),
    )
    require(
        torch.allclose(loss_of(case, padded), loss_of(case, step), rtol=1e-12, atol=1e-12),
        "the loss depends on what padding tokens hold; use the signals' mask",
    )


_STABLE = "use log-probabilities (kdray.functional.log_probs) in place of logs of probabilities"


def finite_at_huge_logits(case: Case) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        step = step_for(case.method, pair_for(case.method, classes=2))
        student = changed(_huge(step.student, 0, dtype), torch.Tensor.requires_grad_)
        extreme = dataclasses.replace(
            step,
            student=student,
            teachers=tuple(_huge(teacher, k + 1, dtype) for k, teacher in enumerate(step.teachers)),
            assistant=_huge(step.assistant, 2, dtype) if step.assistant else None,
            adapters=step.adapters.to(dtype),
        )
        loss = loss_of(case, extreme)
        require(loss.dtype == torch.float32, f"the loss of {dtype} signals is {loss.dtype}; compute it in float32")
        require(torch.isfinite(loss), f"the loss of logits of 10,000 is {loss.item()} in {dtype}; {_STABLE}")
        loss.backward()
        grad = student.logits.grad
        require(
            grad is None or torch.isfinite(grad).all(),
            f"a gradient at logits of 10,000 is not finite in {dtype}; {_STABLE}",
        )


def _of_two_widths(case: Case) -> Batch:
    """A small step whose student is wider than its teachers, unless the method refuses that."""
    same, other = pair_for(case.method, classes=3), pair_for(case.method, classes=3, student_width=8)
    step = step_for(case.method, same, rows=4)
    with suppress(ConfigError):
        case.method.check(other)
        step = step_for(case.method, other, rows=4)
    try:
        loss_of(case, step)
    except Exception as error:
        loss_of(case, step_for(case.method, same, rows=4))  # may fail for another reason
        raise MethodFault(
            f"a student of width 8 does not fit teachers of width 6 ({described(error.__cause__ or error)}); project "
            "the student's vectors (student_projection and projected of kdray.methods.layers), or refuse other widths "
            "in `check`"
        ) from error
    return step


def gradients_are_those_of_the_loss(case: Case) -> None:
    step = _of_two_widths(case)
    names = [name for name in floats(step.student) if name in case.needs | {"logits"}]
    constants: list[Tensor] = []
    scale = max(1.0, *case.method.weights().values())  # the tolerance of finite differences is for losses of about 1

    def loss(*values: Tensor) -> Tensor:
        student = dataclasses.replace(step.student, **dict(zip(names, values, strict=True)))
        with _Detached(constants):
            return loss_of(case, dataclasses.replace(step, student=student)) / scale

    inputs = tuple(getattr(step.student, name) for name in names)
    require(
        gradcheck(loss, inputs, fast_mode=True, raise_exception=False),
        "the gradient is not that of the loss, by finite differences; compute the terms by torch's operations on the "
        "student's signals, without .data, numpy or a backward of your own that is wrong",
    )


def no_rows_give_no_loss(case: Case) -> None:
    loss = loss_of(case, step_for(case.method, pair_for(case.method), rows=0))
    loss.backward()
    require(
        loss.item() == 0,
        f"the loss of a worker without rows is {loss.item()}; expected 0 (no constant, and no mean over rows)",
    )


def a_pure_function_of_the_step(case: Case) -> None:
    step = step_for(case.method, pair_for(case.method))
    state = {name: value.clone() for name, value in step.adapters.state_dict().items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first = loss_of(case, step)
        require(
            torch.equal(before, torch.get_rng_state()),
            "torch's global random numbers are used; use step.generator(purpose)",
        )
        torch.manual_seed(2)
        require(
            torch.equal(first, loss_of(case, step)),
            "the same step gives another loss the second time; compute it from the step, and keep nothing between two",
        )
    same = all(torch.equal(value, state[name]) for name, value in step.adapters.state_dict().items())
    require(same, "the terms change the adapters; move that to `learn`")


CASE_CHECKS: dict[Callable[[Case], None], Callable[[Case], bool]] = {
    weights_name_the_terms: lambda case: True,
    terms_are_finite: lambda case: True,
    a_pure_function_of_the_step: lambda case: True,
    # where a map is learned, equal models are no least: what is compared went through it
    least_where_student_equals_teacher: lambda case: not learns_a_map(case),
    needs_are_what_gradients_reach: lambda case: True,
    other_signals_are_not_read: lambda case: True,
    rows_may_come_in_any_order: lambda case: True,
    padding_does_not_matter: compares_tokens,
    finite_at_huge_logits: lambda case: True,
    gradients_are_those_of_the_loss: lambda case: True,
    no_rows_give_no_loss: lambda case: True,
}
"""Each check of a case, and whether it applies to the case."""

CONTRACT = "can_be_computed"  # not a check of its own: whether the method raises


def checks_of(case: Case) -> list[Callable[[Case], None]]:
    return [check for check, applies in CASE_CHECKS.items() if applies(case)]


# --- checks of a method with its default settings


def needs_are_signals(method: Method) -> None:
    with as_fault():
        method.check_needs()


def refuses_other_numbers_of_teachers(method: Method) -> None:
    wrong = [method.min_teachers - 1] if method.min_teachers else []
    wrong += [] if method.max_teachers is None else [method.max_teachers + 1]
    for count in wrong:
        _refused(method, pair_for(method, teachers=count), f"{count} teachers", named=f"{count} given")
    method.check(pair_for(method))


def refuses_heads_of_one_output(method: Method) -> None:
    _refused(method, pair_for(method, classes=1), "a head with one output", named="2 or more classes")


def refuses_other_class_counts(method: Method) -> None:
    pair = pair_for(method)
    for number, info in enumerate(pair.teachers):
        other = dataclasses.replace(info, classes=9)
        _refused(method, _with_teacher(pair, number, other), "9 classes", named=f"{info.name} has 9 classes")
    if pair.assistant:
        other = dataclasses.replace(pair.assistant, classes=9)
        _refused(method, dataclasses.replace(pair, assistant=other), "9 classes", named="assistant has 9 classes")


def refuses_teachers_of_some_classes_unless_it_merges_them(method: Method) -> None:
    pair = pair_for(method)
    for number, info in enumerate(pair.teachers):
        if not method.allows_class_subsets:
            partial = dataclasses.replace(info, classes=2, known=(0, 3))
            _refused(method, _with_teacher(pair, number, partial), "two of four classes", named="scores only some")
            continue
        for known in ((0,), (0, 0), (0, 4), (0, 1, 2)):
            partial = dataclasses.replace(info, classes=2, known=known)
            _refused(
                method, _with_teacher(pair, number, partial), f"classes {known}", named="2 outputs for the classes"
            )
    if method.allows_class_subsets:
        same = dataclasses.replace(pair.teachers[0], classes=2, known=(0, 3))
        every = dataclasses.replace(pair, teachers=(same,) * len(pair.teachers))
        _refused(method, every, "classes that no teacher scores", named="no teacher scores the classes [1, 2]")


def settings_are_frozen_and_closed(method: Method) -> None:
    try:
        method.name = "other"
    except ValidationError:
        pass
    else:
        raise MethodFault("settings can be changed after the record was made; keep model_config frozen")
    unknown = accepted(type(method), {"temprature_": 4})
    require(unknown is None, "an unknown setting is accepted; keep model_config extra='forbid'")


def settings_survive_plain_values(method: Method) -> None:
    found = parse_method(method.model_dump(mode="json"))
    require(
        found == method,
        f"settings change on their way through a file: {method!r} becomes {found!r}; give them types that YAML has "
        "(numbers, texts, true or false, tuples of these)",
    )


METHOD_CHECKS: tuple[Callable[[Method], None], ...] = (
    needs_are_signals,
    refuses_other_numbers_of_teachers,
    refuses_heads_of_one_output,
    refuses_other_class_counts,
    refuses_teachers_of_some_classes_unless_it_merges_them,
    settings_are_frozen_and_closed,
    settings_survive_plain_values,
)


# where one fails, other checks fail for the same reason
BEFORE_OTHERS = (needs_are_signals, weights_name_the_terms, terms_are_finite, a_pure_function_of_the_step)


def no_setting_is_ignored(kind: type[Method]) -> None:
    """Any two settings changed together either change the result each, or are refused."""
    outcomes: dict[tuple[tuple[str, Any], ...], list[Any]] = {(): outcome(kind())}  # pyright: ignore[reportCallIssue]
    singles = changed_once(kind)
    for settings in singles:
        found = outcomes[tuple(settings.items())] = outcome(kind(**settings))
        require(
            found != outcomes[()],
            f"setting {settings} changes nothing; use it in weights or losses, or remove it",
        )
    for one, two in combinations(singles, 2):
        if one.keys() == two.keys() or (method := accepted(kind, one | two)) is None:
            continue
        both = outcome(method)
        for other, alone in ((two, one), (one, two)):
            require(
                both != outcomes[tuple(alone.items())],
                f"setting {other} changes nothing together with {alone}; refuse the two together by self.refuse_idle "
                "in a model_validator",
            )


# --- what the checks share


def taken(step: Batch, rows: Tensor) -> Batch:
    """The step with these rows, in this order."""
    return dataclasses.replace(
        step,
        student=rearranged(step.student, rows),
        teachers=tuple(rearranged(teacher, rows) for teacher in step.teachers),
        assistant=rearranged(step.assistant, rows),
        labels=step.labels[rows],
        rows=None if step.rows is None else step.rows[rows],
    )


def is_random(case: Case, step: Batch) -> bool:
    """Whether a choice of this method depends on the counter."""
    drawn = [_plain(case.terms(dataclasses.replace(step, key=(0, 0, k)))) for k in range(4)]
    return any(each != drawn[0] for each in drawn)


def outcome(method: Method) -> list[Any]:
    """All that a setting could change: the phases, the terms on three random batches, what a controller learns."""
    found: list[Any] = [method.uses_assistant, method.dropout_passes, method.reward]
    if method.uses_assistant:
        found.append(method.assistant_depths(student=2, teacher=8))
    found += [dataclasses.replace(phase, method=FineTune()) for phase in method.phases(4)]
    for case in cases_of(method):
        found += [case.phase.method.weights(), case.needs]
        for seed in range(3):
            step = dataclasses.replace(
                step_for(method, pair_for(method), seed=seed, rows=16, key=(0, 2, 3)),
                progress=seed / 4,
                scores=((), (0.5, 0.5008), (0.5, 0.6))[seed],
            )
            output = case.terms(step)
            found += [_plain(output), None if output.hard_rows is None else output.hard_rows.tolist()]
            found.append(None if output.hard is None else output.hard.tolist())
            found.append({name: mask.tolist() for name, mask in output.queries.items()})
            found.append({name: torch.as_tensor(w).tolist() for name, w in case.phase.method.schedule(step).items()})
            if case.phase.trains != "student" and seed == 0:
                _let_learn(case, step)
                found.append({name: value.tolist() for name, value in step.adapters.state_dict().items()})
    return found


class SteadyProbe:
    """A student that gets a little better each time it is scored."""

    def __init__(self) -> None:
        self.scored = 0

    def cross_entropy(self) -> float:
        self.scored += 1
        return 1.0 / self.scored

    def accuracy(self) -> float:
        self.scored += 1
        return 1 - 0.5 / self.scored


class _Detached(TorchFunctionMode):
    """What is detached stays what it was the first time: to a gradient it is a constant, so to differences too."""

    def __init__(self, constants: list[Tensor]) -> None:
        super().__init__()
        self.constants, self.number = constants, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func is not torch.Tensor.detach:
            return found
        if self.number == len(self.constants):
            self.constants.append(found.clone())
        self.number += 1
        return self.constants[self.number - 1]


def _plain(output: MethodOutput) -> dict[str, Any]:
    return {name: (term.values.tolist(), term.covered().tolist()) for name, term in output.terms.items()}


def _let_learn(case: Case, step: Batch) -> None:
    for number in range(20):
        labels = step.labels.roll(number)  # so that no two batches are equally good
        moved = dataclasses.replace(step, key=(0, 2, number), labels=labels, phase=case.phase.name).detach()
        case.phase.method.learn(moved, case.terms(moved).detach(), SteadyProbe())


def _decisive(case: Case, step: Batch) -> set[str]:
    """The needed signals of which other values give other terms: a controller reads some, and learns from none."""
    for buffer in step.adapters.buffers():
        if buffer.is_floating_point():
            buffer.normal_(generator=torch.Generator().manual_seed(4))

    def without(name: str) -> Batch:
        student, *teachers = (
            dataclasses.replace(signals, **{name: getattr(signals, name).detach().roll(1, 0)})
            for signals in (step.student, *step.teachers)
        )
        return dataclasses.replace(step, student=student, teachers=tuple(teachers))

    def values(step: Batch) -> dict[str, list[float]]:
        return {name: term.values.tolist() for name, term in case.terms(step).terms.items()}

    return {name for name in case.needs if values(without(name)) != values(step)}


def _choices_are_by_place(case: Case, step: Batch) -> None:
    """A random choice is one by place, whatever the rows hold.

    So a row's value at a place is that of a batch which holds nothing but this row; or, where a method looks at all the
    rows that it chose, these may change their places among each other.
    """
    here = case.terms(step).terms
    if all(_is_alone_the_same(case, step, row) for row in range(ROWS)):
        return
    chosen = [tuple(bool(term.covered()[row]) for term in here.values()) for row in range(ROWS)]
    order = torch.arange(ROWS)
    for kind in set(chosen):
        places = torch.tensor([row for row in range(ROWS) if chosen[row] == kind])
        order[places] = places.roll(1)
    there = case.terms(taken(step, order)).terms
    for name, term in here.items():
        covered = term.covered()
        require(
            torch.equal(there[name].covered(), covered),
            f"term {name}: a random choice depends on what rows hold; {_BY_PLACE}",
        )
        moved = torch.allclose(there[name].values[covered], term.values[order][covered], rtol=0, atol=1e-12)
        require(moved, f"term {name}: the value of a row depends on the other rows; {_BY_ROW}")


def _is_alone_the_same(case: Case, step: Batch, row: int) -> bool:
    here, alike = case.terms(step).terms, case.terms(taken(step, torch.full((ROWS,), row))).terms
    return all(
        torch.allclose(alike[name].values[row], term.values[row], rtol=0, atol=1e-12)
        and bool(alike[name].covered()[row]) == bool(term.covered()[row])
        for name, term in here.items()
    )


def _scribbled(signals: Signals, by: float) -> Signals:
    """With other values wherever a token is padding."""
    assert signals.mask is not None
    pad = ~signals.mask
    changes: dict[str, Tensor] = {}
    for name in ("hidden", "qkv_last"):
        changes[name] = getattr(signals, name) + by * pad[:, None, :, None]
    assert signals.attn is not None
    assert signals.qkv is not None
    changes["qkv"] = signals.qkv + by * pad[:, None, None, :, None]
    changes["attn"] = signals.attn + by * (pad[:, None, None, :, None] | pad[:, None, None, None, :])
    return dataclasses.replace(signals, **changes)


def _huge(signals: Signals, shift: int, dtype: torch.dtype) -> Signals:
    signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]).repeat(4, 1)
    small = changed(signals, lambda x: x.detach().to(dtype))
    return dataclasses.replace(small, logits=(1e4 * signs.roll(shift, 0)).to(dtype))


def _with_teacher(pair: TeacherStudent, number: int, other: Any) -> TeacherStudent:
    teachers = [*pair.teachers]
    teachers[number] = other
    return dataclasses.replace(pair, teachers=tuple(teachers))


def _refused(method: Method, pair: TeacherStudent, what: str, *, named: str) -> None:
    try:
        method.check(pair)
    except ConfigError as error:
        require(
            named in str(error),
            f"`check` refuses {what}, but not by {named!r} ({error}); call super().check(pair) first",
        )
        return
    raise MethodFault(f"`check` does not refuse {what}; call super().check(pair) first")


def faults_of(method: type[Method], skip: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """The name of each check that fails, and its sentence, once a check.

    An exception of the method ends the checks, and so does a fault of `BEFORE_OTHERS`.
    """
    defaults = accepted(method, {})
    if defaults is None:
        bare = [name for name, setting in method.model_fields.items() if setting.is_required()]
        what = f"setting {', '.join(bare)} has no default" if bare else "the method refuses its own defaults"
        yield "settings_have_defaults", f"{what}; give every setting a default that is allowed"
        return
    try:
        variants = [defaults, *(method(**settings) for settings in changed_once(method))]
    except MethodFault as fault:
        yield no_setting_is_ignored.__name__, str(fault)
        return
    cases = [case for variant in variants for case in cases_of(variant)]
    runs: list[tuple[Callable[[Any], None], Sequence[Any]]] = [
        *((check, [defaults]) for check in METHOD_CHECKS),
        *((check, [case for case in cases if applies(case)]) for check, applies in CASE_CHECKS.items()),
        (no_setting_is_ignored, [method]),
    ]
    for check, subjects in runs:
        for subject in subjects if check.__name__ not in skip else ():
            try:
                check(subject)
            except MethodFault as fault:
                yield check.__name__, f"{fault}{_settings_of(subject)}"
                if check in BEFORE_OTHERS:
                    return
                break
            except ConfigError as error:
                yield CONTRACT, f"{error}{_settings_of(subject)}"
                return
            except Exception as error:  # the method's own
                yield CONTRACT, f"the method raised {described(error)}{place_of(error, method)}{_settings_of(subject)}"
                return


def _settings_of(subject: Any) -> str:
    settings = subject.method.model_dump(exclude_defaults=True) if isinstance(subject, Case) else {}
    return f" (with {settings})" if settings else ""

"""The objective: the hard-label term, the weights, and the one reduction by the global number of rows."""

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from kdray.errors import ConfigError
from kdray.methods import Batch, LossTerm, Method, MethodOutput, Ranks
from kdray.origin import is_shipped, outside, outside_class
from kdray.signals import TOKEN_NEEDS, Signals


@dataclass(frozen=True)
class MicroBatchFraction:
    """The fraction of an optimizer step's batch in a micro-batch.

    Attributes:
        rows: Of its rows, above 0 to 1.
        labeled: Of its labeled rows, 0 to 1: hard labels are a mean over these, and micro-batches may differ in them.
        predicted: Of its rows that every teacher predicts, 0 to 1; None is `rows`, as if they predict all.
        sequences: Of the corpus's rows, where `rows` are words.
    """

    rows: float = 1.0
    labeled: float = 1.0
    predicted: float | None = None
    sequences: float = 1.0


@dataclass(frozen=True)
class StepLoss:
    """One step's loss, and what it was made of.

    Attributes:
        loss: This worker's share: the sum over workers (and micro-batches) is the loss of the global batch.
        sums: By term, the sum of this worker's values over the rows it covers (detached).
        counts: By term, the number of those rows.
        weighted: As `sums`, each value times its weight, of the terms whose weights follow a schedule.
        queries: By kind of model, the number of this worker's rows that queried it.
        output: The method's output (detached).
    """

    loss: Tensor
    sums: Mapping[str, Tensor]
    counts: Mapping[str, Tensor]
    weighted: Mapping[str, Tensor]
    queries: Mapping[str, Tensor]
    output: MethodOutput


def objective(method: Method, step: Batch, ranks: Ranks, share: MicroBatchFraction = MicroBatchFraction()) -> StepLoss:
    """Weigh and reduce the method's terms and the hard-label term of one step. A term over no row contributes 0.

    Raises:
        ConfigError: The method breaks its contract: another shape than one value a row, or weights of other terms; or
            it is from outside of kdray and raised an exception.
    """
    with _signals_named(method, step), outside_class("method", method):
        output = method.terms(step)
        weights, scheduled = method.weights(), method.schedule(step)
    labeled = step.task.labeled(step.labels)
    hard = labeled if output.hard_rows is None else labeled & output.hard_rows
    with outside(f"task {step.task.name}", type(step.task)):
        losses = step.task.hard_rows(step.student.logits, step.labels) if output.hard is None else output.hard
    terms = {"hard": LossTerm(losses, hard), **output.terms}
    check_terms(method, output.terms, {**weights, **scheduled}, losses.shape, step.sequences)
    if output.terms and step.student.logits.requires_grad and not is_shipped(type(method)):
        check_gradient(method, output.terms)

    predicted = torch.ones_like(labeled) if step.predicted is None else step.predicted
    of_sequences = {name for name, term in terms.items() if term.values.shape != losses.shape}
    whole = {"hard", *of_sequences}
    covered = {name: term.covered() if name in whole else term.covered() & predicted for name, term in terms.items()}
    counts = {name: mask.sum() for name, mask in covered.items()}
    everywhere = ranks.sum(torch.stack(list(counts.values()))).clamp(min=1)
    sums = {name: torch.where(covered[name], term.values, 0.0).sum() for name, term in terms.items()}
    shares = dict.fromkeys(terms, share.rows if share.predicted is None else share.predicted)
    # a method that chose rows did so within the micro-batch
    shares["hard"] = share.labeled if output.hard_rows is None else share.rows
    shares |= dict.fromkeys(of_sequences, share.sequences)
    scale, totals = dict(weights), dict(sums)  # a number weighs the sum, a tensor each of its values
    for name, weight in scheduled.items():
        if isinstance(weight, Tensor):
            scale[name], totals[name] = 1.0, torch.where(covered[name], weight.detach() * terms[name].values, 0.0).sum()
        else:
            scale[name] = weight
    parts = [scale[name] * shares[name] * totals[name] / everywhere[i] for i, name in enumerate(terms)]
    return StepLoss(
        loss=torch.stack(parts).sum(),
        sums={name: value.detach() for name, value in sums.items()},
        counts=counts,
        weighted={name: scale[name] * totals[name].detach() for name in scheduled},
        queries={name: _queries(number, predicted) for name, number in output.queries.items()},
        output=output.detach(),
    )


@contextmanager
def _signals_named(method: Method, step: Batch) -> Generator[None]:
    """An operation on None is most often one on a signal that was not made."""
    try:
        yield
    except ConfigError as error:
        is_of_none = isinstance(error.__cause__, TypeError | AttributeError) and "NoneType" in str(error.__cause__)
        if is_of_none and (sentence := unnamed_signals(method, step)):
            raise ConfigError(f"{error} It {sentence}.") from error.__cause__
        raise


def unnamed_signals(method: Method, step: Batch) -> str:
    """Which signals the method reads without naming them in `needs`, and the line to write; empty if there are none."""
    names = {each.name for each in fields(Signals)}
    read = set[str]()

    class Watched(Signals):
        def __getattribute__(self, name: str) -> Any:
            read.update(names.intersection({name}))
            return super().__getattribute__(name)

    with suppress(Exception):
        method.terms(
            replace(
                step,
                student=Watched(**vars(step.student)),
                teachers=tuple(Watched(**vars(teacher)) for teacher in step.teachers),
                assistant=Watched(**vars(step.assistant)) if step.assistant else None,
            )
        )
    named = {"logits", *method.needs}
    unnamed = sorted(read - named - ({"mask"} if TOKEN_NEEDS & (read | named) else set[str]()))
    if not unnamed:
        return ""
    needs = {"hidden" if name == "mask" else name for name in (*named, *unnamed)} - {"logits"}
    with_mask = f" (mask comes with {', '.join(sorted(TOKEN_NEEDS))})" if "mask" in unnamed else ""
    line = ", ".join(f'"{name}"' for name in sorted(needs))
    return f"reads {', '.join(unnamed)}, which `needs` does not name{with_mask}; write needs = frozenset({{{line}}})"


def _queries(number: Tensor, predicted: Tensor) -> Tensor:
    if number.shape == predicted.shape:
        return (number * predicted).sum()
    # of the corpus's rows, while the rows of this step are their words
    return (number.double().mean() * len(predicted)).round().long() if len(number) else number.sum()


def check_terms(
    method: Method,
    terms: Mapping[str, LossTerm],
    weights: Mapping[str, float | Tensor],
    rows: torch.Size,
    sequences: int | None = None,
    *,
    every_weight: bool = False,
) -> None:
    """
    Args:
        terms: Of the method, without that of the labels.
        rows: The shape of that of the labels.
        sequences: As `Batch.sequences`.
        every_weight: Whether the values of weights that are tensors count too, which waits for a GPU.

    Raises:
        ConfigError: A term is not one value a row, or a term lacks a weight of 0 or more.
    """
    shapes = {rows, rows if sequences is None else torch.Size([sequences])}
    for name, term in terms.items():
        if term.values.shape not in shapes or term.covered().shape != term.values.shape:
            raise ConfigError(
                f"method {method.label}: term {name} has the shape {tuple(term.values.shape)}; expected one value for "
                f"each of the {rows[0]} rows (do not take the mean over rows)."
            )
    if "hard" in terms or set(weights) != {"hard", *terms}:
        raise ConfigError(
            f"method {method.label}: weights has {', '.join(sorted(weights))}, but the terms are "
            f"{', '.join(sorted(['hard', *terms]))}; every term and `hard` (of the labels) need one weight each."
        )
    for name, weight in weights.items():
        if isinstance(weight, Tensor):
            fits = weight.shape in {torch.Size(), *shapes}
            fits &= not every_weight or bool((weight.isfinite() & (weight >= 0)).all())
        else:
            fits = isinstance(weight, Real) and 0 <= weight < math.inf
        if not fits:
            raise ConfigError(
                f"method {method.label}: the weight of {name} is {weight}; allowed are finite numbers of 0 and more, "
                "one for all rows or one a row (limit settings by Field(ge=, le=))."
            )


def check_gradient(method: Method, terms: Mapping[str, LossTerm]) -> None:
    """
    Raises:
        ConfigError: No term has a gradient.
    """
    if not any(term.values.requires_grad for term in terms.values()):
        raise ConfigError(
            f"method {method.label}: no term depends on the student, so it would learn from hard labels alone; remove "
            "detach() or no_grad() from the student's signals."
        )

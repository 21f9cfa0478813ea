"""What the page is made from: the shape of the `result.json` of a sweep, a comparison, a run or a pruning.

Keys under `NotRequired` and values of `None` are shown as "not measured". Every score is in the metric's own unit
(an accuracy of 0.64, not 64); `higher_is_better`
says which way the metric is better (higher, where the key is missing). Keys this file does not name are ignored.
"""

import math
import reprlib
from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypeAlias, cast

from pydantic import TypeAdapter, ValidationError

# Before Python 3.12 pydantic reads only this TypedDict; pydantic itself requires the package.
from typing_extensions import TypedDict

from kdray.errors import BadInput


class Corpus(TypedDict):
    """Which rows were used. `note` says what is special about them, e.g. `subset, 11,803 of 104,743 train rows`."""

    name: str
    is_sample: bool
    rows: dict[str, int]  # split -> rows
    note: NotRequired[str | None]
    origin: NotRequired[str | None]  # where it was read from
    report_from: NotRequired[str | None]  # the official split behind `report`
    requested: NotRequired[str | None]  # what the user asked for, e.g. `auto`


class Epoch(TypedDict):
    """One epoch of a trial: the metric on the select split, the mean training loss."""

    epoch: float
    value: NotRequired[float | None]
    loss: NotRequired[float | None]


class Trial(TypedDict):
    """One trial; `value` is the metric on the select split, `report` on the report split."""

    number: int
    state: Literal["complete", "pruned", "failed"]
    params: dict[str, Any]
    value: NotRequired[float | None]
    report: NotRequired[float | None]
    latency_ms: NotRequired[float | None]  # of its student, one row
    parameters: NotRequired[int | None]
    epochs: NotRequired[float | None]
    history: NotRequired[list[Epoch]]
    seconds: NotRequired[float | None]
    started: NotRequired[float | None]  # Unix seconds
    ended: NotRequired[float | None]
    error: NotRequired[str | None]
    digest: NotRequired[str | None]
    label: NotRequired[str | None]  # `defaults` for the trial of the defaults
    worker: NotRequired[str | None]


class Best(TypedDict):
    """The trial with the best `value` among the complete ones."""

    number: int
    params: dict[str, Any]
    value: float


class Spread(TypedDict):
    """A score over seeds; `std` (n - 1 in the denominator) is `None` for one seed."""

    mean: float | None
    std: NotRequired[float | None]
    values: NotRequired[list[float | None]]


class Difference(TypedDict):
    """This student's mean minus that of the student named in `to`, on the report split; `test` names the test."""

    to: str
    mean: float | None
    p_value: NotRequired[float | None]
    test: NotRequired[str | None]


class Confirmed(TypedDict):
    """A student trained again on several seeds. The winner's `label` begins with `winner`."""

    label: str
    seeds: list[int]
    report: Spread
    method: NotRequired[str | None]
    select: NotRequired[Spread | None]
    retention: NotRequired[float | None]  # student / teacher
    distillation_ratio: NotRequired[float | None]  # (S_kd - S) / (T - S)
    parameters: NotRequired[int | None]
    latency_ms: NotRequired[float | None]
    difference: NotRequired[Difference | None]
    note: NotRequired[str | None]
    runs: NotRequired[list[str]]  # digests of the students; equal ones are the same students


class Teacher(TypedDict):
    """`majority` is what always answering the most frequent class scores, on the report split."""

    name: str
    select: NotRequired[float | None]
    report: NotRequired[float | None]
    majority: NotRequired[float | None]
    parameters: NotRequired[int | None]
    latency_ms: NotRequired[float | None]


class PruneExample(TypedDict):
    """One row's units before pruning, and whether each was kept."""

    before: list[str]
    kept: list[bool]


class PruneSpread(TypedDict):
    """A histogram of importance: one more edge than counts."""

    edges: list[float]
    kept: list[int]
    dropped: list[int]


class PruneLengths(TypedDict):
    """Units of `first` to `last` words (None: no end)."""

    first: int
    last: int | None
    units: int
    kept: int


class PruneSizes(TypedDict):
    """Clusters of `first` to `last` units (None: no end)."""

    first: int
    last: int | None
    clusters: int


class PruneUnit(TypedDict):
    """One unit and what became of it."""

    id: str
    field: str
    text: str
    importance: float
    kept: bool
    reason: str


class Prune(TypedDict):
    """`rate` is pruned units / units; `per_class` gives each class's rate, or its `units`, `kept` and `rate`."""

    policy: str
    level: str
    units: int
    kept: int
    rate: NotRequired[float | None]
    threshold: NotRequired[float | None]
    importance: NotRequired[PruneSpread | None]
    lengths: NotRequired[list[PruneLengths] | None]
    clusters: NotRequired[list[PruneSizes] | None]
    nearest: NotRequired[list[PruneUnit] | None]
    examples: NotRequired[list[PruneExample]]
    per_class: NotRequired[dict[str, float | dict[str, float | None] | None] | None]


class Stage(TypedDict):
    """One artifact that was read or made; `reused` means it was found in the store."""

    stage: str
    name: str
    digest: str
    reused: bool
    seconds: NotRequired[float | None]
    summary: NotRequired[str | None]


class Seconds(TypedDict):
    """Wall-clock seconds."""

    total: float | None
    by_phase: NotRequired[dict[str, float | None]]


class Commands(TypedDict):
    """`trial` may hold `{number}`, which the page fills in with the winner's."""

    resume: NotRequired[str | None]
    trial: NotRequired[str | None]


class _Result(TypedDict):
    name: str
    created: str  # ISO 8601
    command: str
    kdray: str
    corpus: Corpus
    settings: dict[str, Any]
    commit: NotRequired[str | None]
    versions: NotRequired[dict[str, str | None]]
    teachers: NotRequired[list[Teacher]]
    prune: NotRequired[Prune | None]
    stages: NotRequired[list[Stage]]
    seconds: NotRequired[Seconds | None]
    commands: NotRequired[Commands | None]


class SweepResult(_Result):
    """A sweep: many trials over one corpus and one set of teacher outputs."""

    kind: Literal["sweep"]
    metric: str
    higher_is_better: NotRequired[bool]
    trials: list[Trial]
    best: Best | None
    importances: NotRequired[dict[str, float | None] | None]
    importances_note: NotRequired[str | None]
    objectives: NotRequired[list[str]]  # `metric` first; then `latency`, `parameters`
    front: NotRequired[list[int] | None]  # trials that no other beats in all objectives
    confirmation: NotRequired[list[Confirmed]]


class ComparisonResult(_Result):
    """Named settings, each trained on the same seeds."""

    kind: Literal["comparison"]
    metric: str
    higher_is_better: NotRequired[bool]
    confirmation: list[Confirmed]


class RunEpoch(TypedDict):
    """One epoch of a run: `select` holds one score or one per metric.

    `terms` are the loss terms as computed (mean per row), `weighted` what each adds to the loss.
    """

    epoch: float
    select: NotRequired[float | dict[str, float | None] | None]
    terms: NotRequired[dict[str, float | None]]
    weighted: NotRequired[dict[str, float | None]]


class RunResult(_Result):
    """One student."""

    kind: Literal["run"]
    student: dict[str, Any]
    metrics: dict[str, dict[str, float | None]]  # split -> metric -> score
    history: list[RunEpoch]
    metric: NotRequired[str | None]
    higher_is_better: NotRequired[bool]


class PruneResult(_Result):
    """A pruned corpus, as `kdray prune` leaves it."""

    kind: Literal["prune"]


class IndexEntry(TypedDict):
    """One line of the list of reports; `href` is relative to the list."""

    href: str
    kind: Literal["sweep", "comparison", "run", "prune"]
    name: str
    created: str
    corpus: str
    is_sample: bool
    note: NotRequired[str | None]
    metric: NotRequired[str | None]
    rows: NotRequired[int | None]  # of the report split
    report: NotRequired[float | None]
    trials: NotRequired[int | None]
    failed: NotRequired[int | None]
    seconds: NotRequired[float | None]


Result: TypeAlias = SweepResult | ComparisonResult | RunResult | PruneResult

_KINDS: dict[str, TypeAdapter[Any]] = {
    "sweep": TypeAdapter(SweepResult),
    "comparison": TypeAdapter(ComparisonResult),
    "run": TypeAdapter(RunResult),
    "prune": TypeAdapter(PruneResult),
}
_ENTRY: TypeAdapter[IndexEntry] = TypeAdapter(IndexEntry)


def checked(result: Mapping[str, Any]) -> Result:
    """The result as typed records, numbers that are not finite replaced by `None`.

    Raises:
        BadInput: A mandatory key is missing or a value has another type; the sentence names the key.
    """
    kind = result.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise BadInput(
            f"result.json: kind is {reprlib.repr(kind)}, but a report is made of a 'sweep', a 'comparison', a 'run' or "
            "a 'prune'; give another file."
        )
    finite = {key: value if key == "settings" else _finite(value) for key, value in result.items()}
    try:
        record: Result = _KINDS[kind].validate_python(finite)
    except ValidationError as error:
        raise BadInput(f"result.json ({kind}): {_sentence(error)}") from error
    if kind == "prune" and not record.get("prune"):
        raise BadInput("result.json (prune): the key 'prune' is missing, and it is what the page is about.")
    _check_examples(record)
    return record


def _check_examples(record: Result) -> None:
    for i, example in enumerate((record.get("prune") or {}).get("examples", [])):
        units, decisions = len(example["before"]), len(example["kept"])
        if units != decisions:
            raise BadInput(
                f"result.json: prune.examples[{i}] has {units} units and {decisions} decisions, "
                "but each unit needs one; run the command that wrote the file again."
            )


def checked_entry(entry: Mapping[str, Any]) -> IndexEntry:
    """One entry of the list of reports.

    Raises:
        BadInput: A mandatory key is missing or a value has another type; the sentence names the key.
    """
    try:
        return _ENTRY.validate_python(_finite(dict(entry)))
    except ValidationError as error:
        raise BadInput(f"entry of the list of reports: {_sentence(error)}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in cast("list[Any]", value)]
    return value


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    if first["type"] == "missing":
        return f"the key '{key}' is missing and the report needs it; run the command that wrote the file again."
    found = f"{key} is {reprlib.repr(first['input'])}, which a report cannot use ({first['msg']})"
    return f"{found}; run the command that wrote the file again."

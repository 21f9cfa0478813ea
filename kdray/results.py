"""The contents of `result.json` of a sweep, a comparison, a run or a pruned corpus: one model for writer and reader.

A value of `None` means "not measured". Every score is in the metric's own unit (an accuracy of 0.64, not 64), and
better when higher unless `higher_is_better` is false.
Keys that these models do not name are kept when a result is written and ignored when it is shown.
"""

import math
import reprlib
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from kdray.errors import ConfigError

BASELINE = "no-KD baseline"  # label of the student without a teacher
FIRST_WEIGHTS = "student from teacher layers, no KD"  # label of the student that is only begun from a teacher
_WITHOUT_TEACHER = frozenset({"none", "finetune", "label_smoothing"})  # methods


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def plain(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return self.model_dump(mode="json")


class Corpus(Record):
    """The rows that were used.

    Attributes:
        rows: Rows per split.
        note: A remark on the rows, such as `subset, 11,803 of 104,743 train rows`.
        origin: Where the corpus was read from.
        test_from: The official split behind `test`.
        requested: The corpus that the user named, such as `auto`.
    """

    name: str
    is_sample: bool
    rows: dict[str, int]
    note: str | None = None
    origin: str | None = None
    test_from: str | None = None
    requested: str | None = None


class Epoch(Record):
    """One epoch of a trial: the metric on the validation split and the mean training loss per row.

    Attributes:
        standard_error: Of the score, from the choice of the rows; None where the metric is no accuracy.
    """

    epoch: float
    value: float | None = None
    standard_error: float | None = None
    loss: float | None = None


ROUGH_LATENCY = (
    "Latency: the fastest of ten forward passes of one row right after training, beside whatever else ran; kdray bench "
    "measures models alone."
)


class Trial(Record):
    """One trial.

    Attributes:
        value: The metric on the validation split.
        test: The metric on the test split.
        latency_ms: Milliseconds for one row, by `ROUGH_LATENCY` unless exports were timed.
        started: Unix seconds, as `ended`.
        label: `defaults` for the trial of the default settings.
    """

    number: int
    state: Literal["complete", "pruned", "failed"]
    params: dict[str, Any]
    value: float | None = None
    test: float | None = None
    latency_ms: float | None = None
    parameters: int | None = None
    epochs: float | None = None
    history: tuple[Epoch, ...] = ()
    seconds: float | None = None
    started: float | None = None
    ended: float | None = None
    error: str | None = None
    digest: str | None = None
    label: str | None = None
    worker: str | None = None


class CandidateScore(Record):
    """A trial whose settings were trained again, on further seeds or folds; `validation` is the mean of these."""

    number: int
    validation: float


class Selection(Record):
    """How the winner of a search was chosen: by the validation split, on seeds that the search did not use; or by folds
    of train and validation, with the seed of the search.

    Attributes:
        contenders: The best trials of the search, and trial 0, which has the default settings.
        best: The trial with the best mean.
        gain: By how much its mean is better than that of the defaults; negative is impossible, 0 is the defaults.
        noise: The gain that chance alone may give.
        winner: `best` where the gain is above the noise, otherwise 0.
        folds: On how many folds of train and validation the means are; 0 is on the validation split alone.
    """

    seeds: tuple[int, ...]
    contenders: tuple[CandidateScore, ...]
    best: int
    gain: float
    noise: float
    winner: int
    folds: int = 0


class Best(Record):
    """The winner: a complete trial and its validation score in the search, or the defaults (trial 0)."""

    number: int
    params: dict[str, Any]
    value: float | None


class Spread(Record):
    """A score over seeds; `std` (n - 1 in the denominator) is `None` for one seed."""

    mean: float | None
    std: float | None = None
    population_std: float | None = None
    values: tuple[float | None, ...] = ()


class Difference(Record):
    """A student's mean minus the mean of the student named `to`, on the test split; `test` names the test."""

    to: str
    mean: float | None
    p_value: float | None = None
    test: str | None = None


class Pair(Record):
    """Two students of one table on the test split: `label` compared with `to`; above 0 `difference` is its lead.

    Attributes:
        difference: Of the means over seeds.
        low, high: Where 95 % of the differences lie over resampled rows and seeds (paired bootstrap).
        p_rows: McNemar's exact test; of several seeds a sign test over rows.
        p_seeds: The t-test of differences of the same seed.
        holm_rows, holm_seeds: These after Holm's correction for all pairs of the table.
    """

    label: str
    to: str
    difference: float
    low: float | None = None
    high: float | None = None
    p_bootstrap: float | None = None
    p_rows: float | None = None
    p_seeds: float | None = None
    holm_rows: float | None = None
    holm_seeds: float | None = None


class ClassScores(Record):
    """Precision, recall and F1 of one class, label or entity type, from 0 to 1; `support` counts the gold ones."""

    precision: float
    recall: float
    f1: float
    support: int


class Confirmed(Record):
    """A student that was trained on several seeds. The winner's `label` begins with `winner`.

    Attributes:
        retention: Student's score / teacher's score.
        distillation_ratio: (S_kd - S) / (T - S); 0 of the no-KD baseline, None of other controls.
        runs: Digests of the students; students with equal digests are identical.
        settings: By dotted key, the settings of its method and those that differ between the students of the table;
            empty in results of earlier versions.
        agreement: By teacher and split, the share of rows for which student and teacher predict the same class.
        languages: The metric on the test rows of each language, and their mean as `macro`; means over the seeds.
        classes: Scores on the test split of each class, label or entity type, means over the seeds; none of numbers.
    """

    label: str
    seeds: tuple[int, ...]
    test: Spread
    method: str | None = None
    validation: Spread | None = None
    retention: float | None = None
    distillation_ratio: float | None = None
    parameters: int | None = None
    latency_ms: float | None = None
    difference: Difference | None = None
    note: str | None = None
    runs: tuple[str, ...] = ()
    settings: dict[str, Any] = {}
    agreement: dict[str, dict[str, float]] = {}
    languages: dict[str, float] = {}
    classes: dict[str, ClassScores] = {}

    @property
    def is_control(self) -> bool:
        """Whether it learned from no teacher."""
        return self.label in (BASELINE, FIRST_WEIGHTS) or self.method in _WITHOUT_TEACHER


class Teacher(Record):
    """A teacher; `majority` is the score of the majority class on the test split.

    Attributes:
        train: Of predictions from a file: their score on the gold labels of train.
        predicted: Of such: `rows` and `predicted` (rows) by split. Their scores are those of the predicted rows.
        classes: As of a student; none of predictions from a file.
    """

    name: str
    train: float | None = None
    validation: float | None = None
    test: float | None = None
    majority: float | None = None
    parameters: int | None = None
    latency_ms: float | None = None
    predicted: dict[str, dict[str, int]] | None = None
    classes: dict[str, ClassScores] = {}


class PruneExample(Record):
    """The units of one row before pruning, and whether each was kept."""

    before: tuple[str, ...]
    kept: tuple[bool, ...]


class PruneSpread(Record):
    """A histogram of importance: one more edge than counts."""

    edges: tuple[float, ...]
    kept: tuple[int, ...]
    dropped: tuple[int, ...]


class PruneLengths(Record):
    """Units of `first` to `last` words (`None`: no upper limit)."""

    first: int
    last: int | None
    units: int
    kept: int


class PruneSizes(Record):
    """Clusters of `first` to `last` units (`None`: no upper limit)."""

    first: int
    last: int | None
    clusters: int


class PruneUnit(Record):
    """One unit and its decision."""

    id: str
    field: str
    text: str
    importance: float
    kept: bool
    reason: str


class PruneClass(Record):
    """The units of one class."""

    units: int
    kept: int


class Prune(Record):
    """A pruned corpus."""

    policy: str
    level: str
    units: int
    kept: int
    threshold: float | None = None
    importance: PruneSpread | None = None
    lengths: tuple[PruneLengths, ...] | None = None
    clusters: tuple[PruneSizes, ...] | None = None
    nearest: tuple[PruneUnit, ...] | None = None
    examples: tuple[PruneExample, ...] = ()
    per_class: dict[str, PruneClass] | None = None


class Stage(Record):
    """One artifact that was read or made; `reused` marks a cache hit in the store."""

    stage: str
    name: str
    digest: str
    reused: bool
    seconds: float | None = None
    summary: str | None = None


class Seconds(Record):
    """Wall-clock seconds."""

    total: float | None
    by_phase: dict[str, float | None] = {}


class Commands(Record):
    """Commands that began a sweep or repeat parts of it; `{number}` in `trial` stands for a trial's number."""

    first: str | None = None
    resume: str | None = None
    trial: str | None = None


class ResultBase(Record):
    """The keys that every kind of result has; `created` is an ISO 8601 time."""

    name: str
    created: str
    command: str
    kdray: str
    corpus: Corpus
    settings: dict[str, Any]
    commit: str | None = None
    versions: dict[str, str | None] = {}
    teachers: tuple[Teacher, ...] = ()
    prune: Prune | None = None
    stages: tuple[Stage, ...] = ()
    seconds: Seconds | None = None
    commands: Commands | None = None


class Bundle(Record):
    """The bundle that a search ends with, if it has a limit or a bundle is wanted.

    Attributes:
        trial: The number of the trial whose settings its student has.
        p50_ms: As it was measured at the end.
    """

    folder: str
    student: str
    trial: int
    format: str
    p50_ms: float
    megabytes: float | None = None
    warning: str = ""


class ExportedLatency(Record):
    """Milliseconds of exported students and teachers: one row of `tokens` tokens, one thread, tokenizer included.

    Attributes:
        limit_ms: What the search was to meet.
        students: By shape and format.
        teachers: By name.
        teacher_megabytes: Of the exported teachers, by name.
        warning: Where the machine was not quiet.
    """

    formats: tuple[str, ...]
    students: dict[str, dict[str, float]]
    teachers: dict[str, float]
    tokens: int
    warning: str = ""
    machine: dict[str, Any] = {}
    limit_ms: float | None = None
    bundle: Bundle | None = None
    teacher_megabytes: dict[str, float] = {}

    def how(self) -> str:
        """How the latency of students and teachers was measured, in one sentence.

        >>> ExportedLatency(formats=("onnx",), students={}, teachers={}, tokens=12).how()
        'Latency: of the export (onnx); one row of 12 tokens, one thread, with the tokenizer.'
        """
        ways = ", ".join(self.formats)
        of = f"of the export ({ways})" if ways == "onnx" else f"of a student the fastest of {ways}, of a teacher onnx"
        return f"Latency: {of}; one row of {self.tokens} tokens, one thread, with the tokenizer."


class SweepResult(ResultBase):
    """Many trials over one corpus and one set of cached teacher outputs.

    Attributes:
        pairs: Tests between the confirmed students; none where two labels have the same settings.
        objectives: `metric` first; then `latency`, `parameters`.
        front: Numbers of the trials that no other trial beats in all objectives.
        stopped: Why the search ended before its number of trials; `None` if it did not.
        latency: Where it was measured of exports; `latency_ms` of students, teachers and trials is theirs then.
    """

    kind: Literal["sweep"]
    metric: str
    higher_is_better: bool = True
    trials: tuple[Trial, ...]
    best: Best | None
    importances: dict[str, float | None] | None = None
    importances_note: str | None = None
    objectives: tuple[str, ...] = ()
    front: tuple[int, ...] | None = None
    confirmation: tuple[Confirmed, ...] = ()
    pairs: tuple[Pair, ...] = ()
    selection: Selection | None = None
    stopped: str | None = None
    latency: ExportedLatency | None = None


class ComparisonResult(ResultBase):
    """Named settings, each trained on the same seeds."""

    kind: Literal["comparison"]
    metric: str
    higher_is_better: bool = True
    confirmation: tuple[Confirmed, ...]
    pairs: tuple[Pair, ...] = ()


class RunEpoch(Record):
    """One epoch of a run: `validation` holds one score or one per metric.

    `terms` are the loss terms as computed (mean per row), `weighted` what each contributes to the loss.
    """

    epoch: float
    validation: float | dict[str, float | None] | None = None
    standard_error: float | None = None
    terms: dict[str, float | None] = {}
    weighted: dict[str, float | None] = {}


class RunResult(ResultBase):
    """One student; `metrics` maps split to metric to score, `languages` split to language to metric to score.

    Attributes:
        classes: By split the scores of each class, label or entity type; none of numbers.
        words: Of token classification, by split how many `words` there are, and how many of them are `unread`: they
            lie behind `max_length`, or have no token.
    """

    kind: Literal["run"]
    student: dict[str, Any]
    metrics: dict[str, dict[str, float | None]]
    history: tuple[RunEpoch, ...]
    languages: dict[str, dict[str, dict[str, float | None]]] = {}
    metric: str | None = None
    higher_is_better: bool = True
    classes: dict[str, dict[str, ClassScores]] = {}
    words: dict[str, dict[str, int]] = {}


class PruneResult(ResultBase):
    """A pruned corpus, the output of `kdray prune`."""

    kind: Literal["prune"]


class IndexEntry(Record):
    """One line of the list of reports; `href` is relative to the list, `rows` counts the test split."""

    href: str
    kind: Literal["sweep", "comparison", "run", "prune"]
    name: str
    created: str
    corpus: str
    is_sample: bool
    note: str | None = None
    method: str = ""
    metric: str | None = None
    rows: int | None = None
    test: float | None = None
    trials: int | None = None
    failed: int | None = None
    seconds: float | None = None


Result: TypeAlias = SweepResult | ComparisonResult | RunResult | PruneResult
_KINDS: dict[str, type[Result]] = {
    "sweep": SweepResult,
    "comparison": ComparisonResult,
    "run": RunResult,
    "prune": PruneResult,
}


def parse_result(value: object, *, source: str = "result.json") -> Result:
    """The result as typed records, numbers that are not finite replaced by `None`.

    Args:
        source: The file that the sentence of an error names.

    Raises:
        ConfigError: A mandatory key is missing or a value has another type; the sentence names the key.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{source}: found {type(value).__name__}, but a result is an object of keys and values; "
            "run the command that wrote the file again."
        )
    result = cast("Mapping[str, Any]", value)
    kind = result.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ConfigError(
            f"{source}: kind is {reprlib.repr(kind)}, but a report needs a 'sweep', a 'comparison', a 'run' or a "
            "'prune'; give another file."
        )
    source = f"{source} ({kind})"
    finite = {key: inner if key == "settings" else _finite(inner) for key, inner in result.items()}
    record: Result = _validated(_KINDS[kind], finite, source)
    if kind == "prune" and record.prune is None:
        raise ConfigError(f"{source}: the key 'prune' is missing, and a page about pruning needs it.")
    for i, example in enumerate(record.prune.examples if record.prune else ()):
        if len(example.before) != len(example.kept):
            raise ConfigError(
                f"{source}: prune.examples[{i}] has {len(example.before)} units and {len(example.kept)} decisions, "
                "but each unit needs one; run the command that wrote the file again."
            )
    return record


def parse_entry(value: Mapping[str, Any]) -> IndexEntry:
    """One entry of the list of reports.

    Raises:
        ConfigError: A mandatory key is missing or a value has another type; the sentence names the key.
    """
    return _validated(IndexEntry, _finite(dict(value)), "entry of the list of reports")


def _validated(model: type[Any], value: Any, source: str) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_sentence(error)}; run the command that wrote the file again.") from error


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
        return f"the key '{key}' is missing and the report needs it"
    return f"{key} is {reprlib.repr(first['input'])}, which a report cannot use ({first['msg']})"

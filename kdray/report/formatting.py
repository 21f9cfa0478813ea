"""Numbers and words of the page: as many digits as are meaningful, and a unit after each."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

NOT_MEASURED, ABSENT = "not measured", "–"
UNDEFINED = "p undefined: no spread over the seeds"
# HTML allows no control characters but tab, line feed and carriage return, and UTF-8 no lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
# The names of splits in `result.json` and those that the page shows.
SPLITS = ("validation", "test")
_PERCENT_METRICS = ("accuracy", "f1", "precision", "recall")


@dataclass(frozen=True)
class Metric:
    """How one metric is shown: `factor` times the measured value, followed by `unit`, with `digits` decimals."""

    name: str
    factor: float
    unit: str
    digits: int
    higher_is_better: bool = True

    def gain(self, difference: float) -> float:
        """A difference as a gain: above 0 is better."""
        return difference if self.higher_is_better else -difference

    @property
    def axis_unit(self) -> str:
        """What an axis label adds to the metric's name."""
        return " (%)" if self.unit else ""

    def score(self, value: float | None) -> str:
        """`0.6412` as `64.1 %`, or as `0.641` for a metric that is not a share (Matthews)."""
        return NOT_MEASURED if value is None else with_minus(f"{value * self.factor:.{self.digits}f}{self.unit}")

    def score_and_spread(self, mean: float | None, std: float | None) -> str:
        """Mean ± standard deviation; the mean alone where the deviation is unknown (one seed)."""
        if mean is None or std is None:
            return self.score(mean)
        return with_minus(f"{mean * self.factor:.{self.digits}f} ± {std * self.factor:.{self.digits}f}{self.unit}")

    def difference(self, value: float | None) -> str:
        """A signed difference; a share's difference is in points, never in percent."""
        if value is None:
            return NOT_MEASURED
        return with_minus(f"{value * self.factor:+.{self.digits}f}{' points' if self.unit else ''}")


def with_minus(number: str) -> str:
    """A number with a minus sign in place of its hyphen."""
    return number.replace("-", "−")


def metric(name: str, rows: int | None, *, higher_is_better: bool = True) -> Metric:
    """The metric `name`, scored on `rows` rows: below 1,000 rows a second decimal of a percentage means nothing."""
    is_share = any(name.lower().endswith(ending) for ending in _PERCENT_METRICS)
    is_fine = rows is not None and rows >= 1000
    if is_share:
        return Metric(name, 100.0, " %", 2 if is_fine else 1, higher_is_better)
    return Metric(name, 1.0, "", 4 if is_fine else 3, higher_is_better)


def printable(text: str) -> str:
    """The text with control characters replaced by U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", text)


def split_name(split: str) -> str:
    """`test_pruned` as `test, pruned`; a name that is not known stays."""
    for name in SPLITS:
        if split == name or split.startswith(f"{name}_"):
            return name + split[len(name) :].replace("_", ", ")
    return split


def count(number: int | None) -> str:
    """`104743` as `104,743`."""
    return NOT_MEASURED if number is None else f"{number:,}"


def share(value: float | None) -> str:
    """`0.923` as `92.3 %`."""
    return NOT_MEASURED if value is None else f"{value * 100:.1f} %"


def parameters(number: float | None) -> str:
    """`22713216` as `22.7 M`."""
    if number is None:
        return NOT_MEASURED
    if number >= 1e6:
        return f"{number / 1e6:.3g} M" if number < 1e9 else f"{number / 1e9:.3g} G"
    return f"{number / 1e3:.3g} k" if number >= 1e3 else f"{number:.0f}"


def milliseconds(value: float | None) -> str:
    """`8.7` as `8.70 ms`, `412.3` as `412 ms`."""
    if value is None:
        return NOT_MEASURED
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f} ms"


def duration(seconds: float | None) -> str:
    """`3912.4` as `1 h 05 min`, `72` as `1 min 12 s`, `0.42` as `0.42 s`."""
    if seconds is None:
        return NOT_MEASURED
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def p_value(value: float | None, scores: Sequence[float | None] = ()) -> str:
    """`p = 0.04`; a small value as `p < 0.001`; without a value the reason: one score, or all are equal."""
    if value is None:
        if len(scores) == 1:
            return "no p: one seed"
        return UNDEFINED if len(scores) > 1 and len(set(scores)) == 1 else f"p {NOT_MEASURED}"
    # No-break spaces: a line must not end between p and its value.
    return "p\u00a0<\u00a00.001" if value < 0.001 else f"p\u00a0=\u00a0{value:.2g}"


def setting(value: Any) -> str:
    """A hyper-parameter or setting as its user would write it in YAML: `3e-5`, `4`, `true`, `cosine`."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return number(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def number(value: float) -> str:
    """Four significant digits; small numbers as `3e-5`, without the padding of Python's exponents."""
    if 0 < abs(value) < 1e-3:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.4g}".replace("e+0", "e").replace("e+", "e")


def moment(iso: str) -> str:
    """An ISO 8601 time to the minute; any other text unchanged."""
    try:
        return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M %Z}".rstrip()
    except ValueError:
        return iso


def cut(text: str, longest: int = 24) -> str:
    """The text in one line of at most `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def listing(names: Sequence[str], last: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`, with another word than `or` if `last` is given."""
    return f" {last} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def corpus_title(name: str, *, is_sample: bool, note: str | None) -> str:
    """The corpus in a title, always with the remark that it is the sample or a part of the corpus."""
    remarks = [*(["the bundled sample"] if is_sample else []), *remarks_of(note, is_sample=is_sample)]
    return f"{name} ({'; '.join(remarks)})" if remarks else name


def flat(nested: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as (dotted key, value) pairs; an empty section stays visible as `{}`."""
    pairs: list[tuple[str, Any]] = []
    for key, value in nested.items():
        inner = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        pairs.extend(flat(inner, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", value)])
    return pairs


def is_whole(settings: Mapping[str, Any]) -> bool:
    """Whether the settings of a sweep or comparison, or those of a student, show that nothing was pruned."""
    names = [value for key, value in flat(settings) if key in ("prune.policy", "prune.policy.name")]
    return names == ["none"] or settings.get("pruned_corpus", ...) is None


def state(of: str) -> str:
    """How a trial ended. Only units of a corpus are called pruned."""
    return "stopped early" if of == "pruned" else of


def remarks_of(note: str | None, *, is_sample: bool) -> list[str]:
    """The remarks on the rows, without the one that `is_sample` implies."""
    return [each for each in (note.split("; ") if note else []) if not (is_sample and "ships with kdray" in each)]

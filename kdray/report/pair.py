"""The page of two results side by side: what one scores against the other, and which settings differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from kdray.errors import plural
from kdray.report import formatting as fmt
from kdray.report import tables
from kdray.report.document import Block, Cell, Document, NamedValues, Section, Text
from kdray.report.formatting import Metric
from kdray.report.summary import SIGNIFICANT, difference_of, leader, methods_of, score_on_test
from kdray.results import ComparisonResult, Result, RunResult, SweepResult


def side_by_side(one: Result, other: Result) -> Document:
    """The page of two sweeps, comparisons, runs or pruned corpora, of one kind or of two."""
    pair = (one, other)
    metric = _metric(one)
    names = (one.name, other.name) if one.name != other.name else (f"{one.name} (first)", f"{other.name} (second)")
    verdict = _verdict(pair, names, metric)
    facts = {f"#{name}": _facts(each, metric) for name, each in zip(names, pair, strict=True)}
    sections = [
        Section("Scores and cost", tables.wide("Scores on the test split, size and time.", "of", facts)),
        Section("Students", _students(pair, names)),
        Section("Settings that differ", _differing("setting", names, [dict(fmt.flat(x.settings)) for x in pair])),
        Section("Artifacts", _artifacts(pair, names)),
        Section("Versions", _differing("package", names, [{**x.versions, "kdray": x.kdray} for x in pair])),
        Section("Commands", [NamedValues(list(zip(names, (x.command for x in pair), strict=True)), is_code=True)]),
    ]
    created = " · ".join(f"{name}: {fmt.moment(x.created)}" for name, x in zip(names, pair, strict=True))
    return Document(f"{names[0]} and {names[1]}", sections, created, _warnings(pair), verdict, _limits(pair))


def _metric(result: Result) -> Metric:
    name = getattr(result, "metric", None) or "score"
    higher = getattr(result, "higher_is_better", True)
    return fmt.metric(name, result.corpus.rows.get("test"), higher_is_better=higher)


def _warnings(pair: tuple[Result, Result]) -> list[str]:
    """What makes the scores incomparable."""
    one, other = pair
    found: list[str] = []
    if one.corpus.name != other.corpus.name or one.corpus.rows.get("test") != other.corpus.rows.get("test"):
        rows = [f"{each.corpus.name} ({fmt.count(each.corpus.rows.get('test'))} test rows)" for each in pair]
        found.append(f"The scores are of different rows and cannot be compared: {rows[0]} and {rows[1]}.")
    metrics = [getattr(each, "metric", None) for each in pair]
    if metrics[0] != metrics[1]:
        shown = [each or "no metric" for each in metrics]
        found.append(f"The scores are of different metrics and cannot be compared: {shown[0]} and {shown[1]}.")
    return found


def _verdict(pair: tuple[Result, Result], names: tuple[str, str], metric: Metric) -> str:
    tests = [score_on_test(each) for each in pair]
    found = difference_of(*tests, to=names[1])
    if _warnings(pair) or found.mean is None:
        return "Their test scores cannot be compared." if _warnings(pair) else "A test score was not measured."
    called = [_called(result, name) for result, name in zip(pair, names, strict=True)]
    scores = [f"{metric.score(each.mean)} ({student})" for each, student in zip(tests, called, strict=True)]
    measured = f"{metric.name} {scores[0]} against {scores[1]} on the test split"
    difference, p = metric.difference(found.mean), found.p_value
    if p is None:
        return f"{measured} ({difference}); the difference was not tested."
    chance = "may be due to chance" if p >= SIGNIFICANT else f"is significant over the seeds (level {SIGNIFICANT})"
    return f"{measured}: {difference}, {fmt.p_value(p)}; the difference {chance}."


def _called(result: Result, name: str) -> str:
    """The student that stands for a result, with the result's name."""
    student = leader(result)
    return name if student is None else f"“{student.label}” of {name}"


def _limits(pair: tuple[Result, Result]) -> list[str]:
    few = [each.name for each in pair if len(score_on_test(each).values) < 2]
    has_many = any(isinstance(each, ComparisonResult) and len(methods_of(each)) > 1 for each in pair)
    found = [f"One seed or none: {', '.join(few)}. A difference may be due to chance."] if few else []
    fewest = min(len(score_on_test(each).values) for each in pair)
    if fewest == 2:
        found.append("With two seeds p is rough: more seeds are needed to show a difference.")
    if has_many:
        found.append("A comparison is represented by its best method, so its score is too high on average.")
    return found


def _facts(result: Result, metric: Metric) -> dict[str, str]:
    test = score_on_test(result)
    found = {"kind": result.kind, f"{metric.name}, test": metric.score_and_spread(test.mean, test.std)}
    found["seeds"] = fmt.count(len(test.values))
    if isinstance(result, SweepResult):
        found["trials"] = fmt.count(len(result.trials))
    if (ours := leader(result)) is not None:
        found["student"] = ours.label
        found |= {"retention": fmt.share(ours.retention), "parameters": fmt.parameters(ours.parameters)}
        if isinstance(result, SweepResult) and result.latency is not None:  # others are rough
            found["latency"] = fmt.milliseconds(ours.latency_ms)
    if isinstance(result, RunResult):
        found["parameters"] = fmt.parameters(result.student.get("parameters"))
    best = [each.test for each in result.teachers if each.test is not None]
    if best:
        found["best teacher, test"] = metric.score(max(best, key=metric.gain))
    if result.prune is not None:
        found["units kept"] = f"{fmt.count(result.prune.kept)} of {fmt.count(result.prune.units)}"
    return found | {tables.time_name(result): fmt.duration(result.seconds.total if result.seconds else None)}


def _students(pair: tuple[Result, Result], names: tuple[str, str]) -> list[Block]:
    """Students of the same label in one row."""
    columns = {
        f"#{name}": {
            student.label: _metric(each).score_and_spread(student.test.mean, student.test.std)
            for student in getattr(each, "confirmation", ())
        }
        for name, each in zip(names, pair, strict=True)
    }
    caption = "Students on the test split; mean ± standard deviation over the seeds."
    return tables.wide(caption, "student", columns) or [Text("No student was trained on several seeds.", is_quiet=True)]


def _differing(what: str, names: Sequence[str], pair: Sequence[Mapping[str, Any]]) -> list[Block]:
    every = dict.fromkeys(key for each in pair for key in each)
    keys = [key for key in every if pair[0].get(key, ...) != pair[1].get(key, ...)]
    found = [{key: fmt.setting(each[key]) for key in keys if key in each} for each in pair]
    caption = f"{plural(len(keys), what)} of {len(every)}."
    return tables.wide(caption, what, dict(zip(names, found, strict=True))) or [Text(f"Every {what} is the same.")]


def _artifacts(pair: tuple[Result, Result], names: tuple[str, str]) -> list[Block]:
    one, other = ({f"{stage.stage} {stage.name}": stage.digest for stage in each.stages} for each in pair)
    shown = [{key: Cell(digest[:12], style="code") for key, digest in each.items()} for each in (one, other)]
    same = {key: "the same" if one.get(key) == other.get(key) else "different" for key in (*one, *other)}
    columns = {**dict(zip(names, shown, strict=True)), "digest": same}
    return tables.wide("Equal digests mean equal artifacts.", "artifact", columns) or [
        Text("No artifacts are recorded.", is_quiet=True)
    ]

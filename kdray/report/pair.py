"""The page of two results side by side: what one scores against the other, and which settings differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from kdray.evaluate.statistics import welch
from kdray.report import formatting as fmt
from kdray.report import tables
from kdray.report.document import Block, Cell, Document, NamedValues, Section, Table, Text, row
from kdray.report.formatting import Metric
from kdray.report.summary import SIGNIFICANT, best_student, methods_of, winner_first
from kdray.results import ComparisonResult, Confirmed, Result, RunResult, Spread, SweepResult

_ABSENT = "–"


def side_by_side(one: Result, other: Result) -> Document:
    """The page of two sweeps, comparisons, runs or pruned corpora, of one kind or of two."""
    pair = (one, other)
    metric = _metric(one)
    names = (one.name, other.name) if one.name != other.name else (f"{one.name} (first)", f"{other.name} (second)")
    verdict = _verdict(pair, names, metric)
    sections = [
        Section("Scores and cost", [_scores(pair, names, metric)]),
        Section("Students", [_students(pair, names)]),
        Section("Settings that differ", [_differing("setting", names, *(dict(tables.flat(x.settings)) for x in pair))]),
        Section("Artifacts", [_artifacts(pair, names)]),
        Section("Versions", [_differing("package", names, *({**x.versions, "kdray": x.kdray} for x in pair))]),
        Section("Commands", [NamedValues(list(zip(names, (x.command for x in pair), strict=True)), is_code=True)]),
    ]
    created = " · ".join(f"{name}: {fmt.moment(x.created)}" for name, x in zip(names, pair, strict=True))
    return Document(f"{names[0]} and {names[1]}", sections, created, _warnings(pair), verdict, _limits(pair))


def _metric(result: Result) -> Metric:
    name = getattr(result, "metric", None) or "score"
    higher = getattr(result, "higher_is_better", True)
    return fmt.metric(name, result.corpus.rows.get("test"), higher_is_better=higher)


def _student(result: Result) -> Confirmed | None:
    """The student that stands for the result: the winner of a sweep, the best method of a comparison."""
    if isinstance(result, SweepResult):
        return next(iter(winner_first(result.confirmation)), None)
    return best_student(result) if isinstance(result, ComparisonResult) else None


def _test(result: Result) -> Spread:
    """Its score on the test split, or that of a run."""
    if isinstance(result, RunResult):
        score = result.metrics.get("test", {}).get(result.metric or "")
        return Spread(mean=score, values=(score,))
    student = _student(result)
    return Spread(mean=None) if student is None else student.test


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
    tests = [_test(each) for each in pair]
    means = [each.mean for each in tests]
    if _warnings(pair) or means[0] is None or means[1] is None:
        return "Their test scores cannot be compared." if _warnings(pair) else "A test score was not measured."
    difference = means[0] - means[1]
    values = [[value for value in each.values if value is not None] for each in tests]
    p = welch(*values)
    called = [_called(result, name) for result, name in zip(pair, names, strict=True)]
    scores = [f"{metric.score(mean)} ({student})" for mean, student in zip(means, called, strict=True)]
    measured = f"{metric.name} {scores[0]} against {scores[1]}"
    if p is None:
        return f"{measured} on the test split ({metric.difference(difference)}); the difference was not tested."
    chance = "may be due to chance" if p >= SIGNIFICANT else f"is significant over the seeds (level {SIGNIFICANT})"
    figures = f"{metric.difference(difference)}, {fmt.p_value(p)}"
    return f"{measured} on the test split: {figures}; the difference {chance}."


def _called(result: Result, name: str) -> str:
    """The student that stands for a result, with the result's name."""
    student = _student(result)
    return name if student is None else f"“{student.label}” of {name}"


def _limits(pair: tuple[Result, Result]) -> list[str]:
    few = [each.name for each in pair if len(_test(each).values) < 2]
    has_many = any(isinstance(each, ComparisonResult) and len(methods_of(each)) > 1 for each in pair)
    found = [f"One seed or none: {', '.join(few)}. A difference may be due to chance."] if few else []
    fewest = min(len(_test(each).values) for each in pair)
    if fewest == 2:
        found.append("With two seeds p is rough: more seeds are needed to show a difference.")
    if has_many:
        found.append("A comparison is represented by its best method, so its score is too high on average.")
    return found


def _scores(pair: tuple[Result, Result], names: tuple[str, str], metric: Metric) -> Table:
    facts = [_facts(each, metric) for each in pair]
    rows = [row(name, *(each.get(name, _ABSENT) for each in facts)) for name in dict.fromkeys([*facts[0], *facts[1]])]
    return Table("Scores on the test split, size and time.", ("of", *(f"#{name}" for name in names)), rows)


def _facts(result: Result, metric: Metric) -> dict[str, str]:
    test = _test(result)
    found = {"kind": result.kind, f"{metric.name}, test": metric.score_and_spread(test.mean, test.std)}
    found["seeds"] = fmt.count(len(test.values))
    if isinstance(result, SweepResult):
        found["trials"] = fmt.count(len(result.trials))
    if (ours := _student(result)) is not None:
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


def _students(pair: tuple[Result, Result], names: tuple[str, str]) -> Block:
    """Students of the same label in one row."""
    scored = [
        {student.label: _metric(each).score_and_spread(student.test.mean, student.test.std) for student in confirmed}
        for each in pair
        if (confirmed := getattr(each, "confirmation", ())) is not None
    ]
    labels = list(dict.fromkeys(label for each in scored for label in each))
    if not labels:
        return Text("No student was trained on several seeds.", is_quiet=True)
    rows = [row(label, *(each.get(label, _ABSENT) for each in scored)) for label in labels]
    caption = "Students on the test split; mean ± standard deviation over the seeds."
    return Table(caption, ("student", *(f"#{name}" for name in names)), rows)


def _differing(what: str, names: Sequence[str], one: Mapping[str, Any], other: Mapping[str, Any]) -> Block:
    keys = [key for key in dict.fromkeys([*one, *other]) if one.get(key, ...) != other.get(key, ...)]
    if not keys:
        return Text(f"Every {what} is the same.")
    rows = [row(key, *(fmt.setting(each[key]) if key in each else _ABSENT for each in (one, other))) for key in keys]
    return Table(f"{fmt.plural(len(keys), what)} of {len({*one, *other})}.", (what, *names), rows)


def _artifacts(pair: tuple[Result, Result], names: tuple[str, str]) -> Block:
    digests = [{f"{stage.stage} {stage.name}": stage.digest for stage in each.stages} for each in pair]
    keys = list(dict.fromkeys([*digests[0], *digests[1]]))
    if not keys:
        return Text("No artifacts are recorded.", is_quiet=True)
    rows = [
        row(
            key,
            *(Cell(each[key][:12], style="code") if key in each else _ABSENT for each in digests),
            "the same" if digests[0].get(key) == digests[1].get(key) else "different",
        )
        for key in keys
    ]
    return Table("Equal digests mean equal artifacts.", ("artifact", *names, "digest"), rows)

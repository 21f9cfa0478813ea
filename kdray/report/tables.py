"""The tables of the pages: students, teachers, trials, pruning, artifacts and settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from kdray import results
from kdray.errors import plural
from kdray.report import formatting as fmt
from kdray.report.document import Block, Cell, Examples, NamedValues, Row, Table, Text, row
from kdray.report.formatting import Metric
from kdray.report.summary import is_same, leader, not_beaten, winner_first
from kdray.results import (
    ClassScores,
    ComparisonResult,
    Confirmed,
    Corpus,
    IndexEntry,
    Pair,
    Prune,
    PruneClass,
    Result,
    RunResult,
    SweepResult,
    Teacher,
    Trial,
)

_SHOWN_EXAMPLES = 20
_LONGEST_UNIT = 160  # characters
_MANY_CLASSES, _SHOWN_CLASSES = 20, 10


def wide(
    caption: str, first: str, columns: Mapping[str, Mapping[str, Cell | str]], *, absent: str = fmt.ABSENT, **how: bool
) -> list[Block]:
    """A table with a row for each key of the columns; nothing where there are none.

    Args:
        first: The name of the column of keys.
        columns: By name of a column, its cells by key.
        absent: The text of a cell that a column lacks.
        how: `is_sortable`, `is_folded`.
    """
    keys = dict.fromkeys(key for column in columns.values() for key in column)
    rows = [row(key, *(column.get(key, absent) for column in columns.values())) for key in keys]
    return [Table(caption, (first, *columns), rows, **how)] if rows else []


def students(result: SweepResult | ComparisonResult, metric: Metric) -> list[Block]:
    """The students over several seeds, the winner first; students that the winner does not beat are marked.

    A comparison has no winner: its students stay in their order, and none is marked.
    """
    confirmed, latency = result.confirmation, getattr(result, "latency", None)
    ordered = winner_first(confirmed)
    winner = next((student for student in ordered[:1] if student.label.lower().startswith("winner")), None)
    ahead = not_beaten(confirmed, metric) if winner else []
    rows = [_student(student, metric, winner, student.label in ahead) for student in ordered]
    majority = next((teacher.majority for teacher in result.teachers), None)
    if majority is not None:
        rows.append(row("majority class", metric.score(majority), *["–"] * 7))
    columns = ("student", f"#{metric.name}, test", "#difference", "#validation", "#seeds", "#retention",
               "#distillation ratio", "#parameters", "#latency")  # fmt: skip
    table = Table("Students; mean ± standard deviation over the seeds.", columns, rows)
    return [table, Text(results.ROUGH_LATENCY if latency is None else latency.how(), is_quiet=True)]


def _student(student: Confirmed, metric: Metric, winner: Confirmed | None, is_ahead: bool) -> Row:
    badge = ""
    if winner is not None and student is not winner:
        is_twin = is_same(student, winner)
        badge = "the same settings as the winner" if is_twin else "not beaten by the winner" if is_ahead else ""
    method = (student.method or "").partition("@")[0]  # the settings have the hash of a class from outside
    agreed = [
        f"agrees with {name} on {', '.join(f'{fmt.share(share)} ({split})' for split, share in splits.items())}"
        for name, splits in student.agreement.items()
    ]
    under = (method if method not in student.label else "", student.note or "", *agreed)
    ratio = student.distillation_ratio
    # of a student that was not distilled there is none; of a teacher that is not better than the baseline, no gap
    unknown = "–" if student.is_control else fmt.NOT_MEASURED if student.retention is None else "undefined"
    return row(
        Cell(student.label, under=tuple(filter(None, under)), badge=badge, style="strong"),
        _spread(student.test, metric),
        _difference(student, metric),
        _spread(student.validation, metric) if student.validation else fmt.NOT_MEASURED,
        str(len(student.seeds)),
        fmt.share(student.retention),
        unknown if ratio is None else fmt.with_minus(f"{ratio:.2f}"),
        fmt.parameters(student.parameters),
        fmt.milliseconds(student.latency_ms),
        is_winner=student is winner,
    )


def pairs(result: SweepResult | ComparisonResult, metric: Metric) -> list[Block]:
    """Tests between the students; nothing where there are none."""
    if not result.pairs:
        return []
    columns = ("student", "compared with", "#difference", "#95 % interval", "#p by rows, Holm", "#p by seeds, Holm")
    has_seeds = all(len(student.seeds) > 1 for student in result.confirmation)
    rows = [_pair(each, metric, has_seeds=has_seeds) for each in result.pairs]
    table = Table("Tests between students, paired.", columns, rows, is_sortable=True)
    if any(len(student.seeds) == 2 for student in result.confirmation):
        weak = (
            "The test by seeds has almost no power with two seeds: a large p does not mean that the methods are equal."
        )
        return [table, Text(weak)]
    return [table]


def _pair(pair: Pair, metric: Metric, *, has_seeds: bool) -> Row:
    interval = fmt.NOT_MEASURED
    if pair.low is not None and pair.high is not None:
        interval = f"{metric.difference(pair.low)} to {metric.difference(pair.high)}"
    return row(
        pair.label,
        pair.to,
        Cell(metric.difference(pair.difference), key=pair.difference),
        interval,
        _p_value(pair.holm_rows),
        Cell(fmt.UNDEFINED) if has_seeds and pair.holm_seeds is None else _p_value(pair.holm_seeds),
    )


def _p_value(value: float | None) -> Cell:
    return Cell(fmt.NOT_MEASURED if value is None else fmt.p_value(value), key=value)


def _spread(spread: results.Spread, metric: Metric) -> str:
    return metric.score_and_spread(spread.mean, spread.std)


def _difference(student: Confirmed, metric: Metric) -> Cell:
    difference = student.difference
    if difference is None:
        return Cell("–")
    unbroken = (difference.test or "").replace(" ", "\u00a0").replace("-", "\u2011")
    test = f", {unbroken}" if unbroken else ""
    under = f"to {difference.to}, {fmt.p_value(difference.p_value, student.test.values)}{test}"
    return Cell(metric.difference(difference.mean), key=difference.mean, under=(under,))


def scores(result: RunResult) -> list[Block]:
    """Every metric of a run on every split."""
    columns: dict[str, dict[str, str]] = {}
    for split, by in result.metrics.items():
        for name, value in by.items():
            shown = fmt.metric(name, result.corpus.rows.get(split)).score(value)
            columns.setdefault(f"#{name}", {})[fmt.split_name(split)] = shown
    found = wide("Scores of the student.", "split", columns, absent=fmt.NOT_MEASURED)
    return found or [Text("Scores: not measured.", is_quiet=True)]


def languages(result: RunResult) -> list[Block]:
    """Every metric of a run on the test rows of each language; nothing where languages do not count."""
    columns: dict[str, dict[str, str]] = {}
    for language, by in result.languages.get("test", {}).items():
        for name, value in by.items():
            columns.setdefault(f"#{name}", {})[language] = fmt.metric(name, None).score(value)
    title = "Scores on the test split by language; macro is their mean."
    return wide(title, "language", columns, absent=fmt.NOT_MEASURED)


def languages_of_students(confirmed: Sequence[Confirmed], metric: Metric) -> list[Block]:
    """The metric on the test rows of each language, mean over the seeds; nothing where languages do not count."""
    columns = {f"#{s.label}": {name: metric.score(score) for name, score in s.languages.items()} for s in confirmed}
    title = f"{metric.name} on the test split by language; macro is their mean."
    return wide(title, "language", columns, absent=fmt.NOT_MEASURED)


def classes(result: RunResult, metric: Metric) -> list[Block]:
    """Each class of the test split, and of tags how many words were not read; nothing of numbers."""
    shown, title = _worst(result.classes.get("test", {}), "the student")
    columns = {
        f"#{name}": {key: f"{getattr(each, name.lower()):.3f}" for key, each in shown.items()}
        for name in ("precision", "recall", "F1")
    }
    support = {key: Cell(fmt.count(each.support), key=each.support) for key, each in shown.items()}
    found = wide(title, _kind(metric), {**columns, "#support": support}, is_sortable=True)
    if words := result.words.get("test"):
        unread = f"{words['unread']:,} of {words['words']:,} words of the test split were not read and count as O."
        found.append(Text(unread, is_quiet=True))
    return found


def classes_of_students(result: SweepResult | ComparisonResult, metric: Metric) -> list[Block]:
    """Scores of each class on the test split, a column a student or teacher; nothing of numbers."""
    lead = leader(result)
    if lead is None or not lead.classes:
        return []
    shown, title = _worst(lead.classes, lead.label)
    everyone = [*winner_first(result.confirmation), *(each for each in result.teachers if each.classes)]
    columns = {
        f"#F1, {each.label if isinstance(each, Confirmed) else each.name}": {
            key: _f1(scores) for key, scores in each.classes.items() if key in shown
        }
        for each in everyone
    }
    support = {key: Cell(fmt.count(each.support), key=each.support) for key, each in shown.items()}
    return wide(
        f"{title} Means over the seeds; P is precision, R recall.",
        _kind(metric),
        {"#support": support, **columns},
        is_sortable=True,
    )


def _worst(every: Mapping[str, ClassScores], whose: str) -> tuple[dict[str, ClassScores], str]:
    """The classes to show, of many those with the lowest F1, and the caption of their table."""
    support = "support counts the gold labels."
    if len(every) <= _MANY_CLASSES:
        return dict(every), f"Classes of the test split; {support}"
    worst = sorted(every, key=lambda name: every[name].f1)[:_SHOWN_CLASSES]
    caption = f"The {len(worst)} of {len(every)} classes of the test split with the lowest F1 of {whose}; {support}"
    return {name: every[name] for name in worst}, f"{caption} All are in result.json."


def _f1(scores: ClassScores) -> Cell:
    parts = f"P {scores.precision:.3f}, R {scores.recall:.3f}"
    return Cell(f"{scores.f1:.3f}", key=scores.f1, under=(parts,))


def _kind(metric: Metric) -> str:
    return "entity type" if metric.name.startswith("entity_") else "class"


def teachers(records: Sequence[Teacher], metric: Metric) -> Block:
    """Each teacher with the score of the majority class."""
    if not records:
        return Text("No teacher is recorded.", is_quiet=True)
    columns = ("teacher", f"#{metric.name}, test", "#validation", "#majority class, test", "#parameters", "#latency")
    return Table("Teachers and the score of the majority class.", columns, [_teacher(t, metric) for t in records])


def _teacher(teacher: Teacher, metric: Metric) -> Row:
    test, majority = teacher.test, teacher.majority
    is_weak = test is not None and majority is not None and metric.gain(test - majority) <= 0
    covered = [f"{s} {n['predicted']:,} of {n['rows']:,}" for s, n in (teacher.predicted or {}).items()]
    under = (f"predictions from a file, scored where there are any: {', '.join(covered)}",) if covered else ()
    if teacher.train is not None:
        under = (*under, f"train: {metric.score(teacher.train)}")
    return row(
        Cell(teacher.name, under=under, badge="does not beat the majority class" if is_weak else "", style="strong"),
        *map(metric.score, (test, teacher.validation, majority)),
        fmt.parameters(teacher.parameters),
        fmt.milliseconds(teacher.latency_ms),
    )


def trials(result: SweepResult, metric: Metric) -> Table:
    """Every trial with its hyper-parameters."""
    names = list(dict.fromkeys(name for trial in result.trials for name in trial.params))
    best = result.best.number if result.best else None
    rows = [_trial(trial, names, metric, is_best=trial.number == best) for trial in result.trials]
    columns = ("trial", "state", f"#{metric.name}, validation", "#test", *(f"#{name}" for name in names),
               "#parameters", "#latency", "#epochs", "#time", "worker", "digest")  # fmt: skip
    return Table(f"All {plural(len(rows), 'trial')}.", columns, rows, is_sortable=True)


def _trial(trial: Trial, names: Sequence[str], metric: Metric, *, is_best: bool) -> Row:
    words = (str(trial.number), trial.label or "", "winner" if is_best else "")
    return row(
        Cell(" ".join(filter(None, words)), key=trial.number),
        fmt.state(trial.state),
        *(Cell(metric.score(score), key=score) for score in (trial.value, trial.test)),
        *(_parameter(trial, name) for name in names),
        Cell(fmt.parameters(trial.parameters), key=trial.parameters),
        Cell(fmt.milliseconds(trial.latency_ms), key=trial.latency_ms),
        fmt.NOT_MEASURED if trial.epochs is None else fmt.number(trial.epochs),
        Cell(fmt.duration(trial.seconds), key=trial.seconds),
        trial.worker or fmt.NOT_MEASURED,
        Cell(trial.digest[:12], style="code") if trial.digest else fmt.NOT_MEASURED,
        is_winner=is_best,
    )


def _parameter(trial: Trial, name: str) -> Cell:
    value = trial.params.get(name)
    key = float(value) if isinstance(value, int | float) else None
    return Cell(fmt.setting(value) if name in trial.params else "–", key=key)


def failures(result: SweepResult) -> Block | None:
    """The failed trials with their hyper-parameters and errors."""
    failed = [trial for trial in result.trials if trial.state == "failed"]
    if not failed:
        return None
    pairs: list[tuple[str, str]] = []
    for trial in failed:
        given = ", ".join(f"{name} = {fmt.setting(value)}" for name, value in trial.params.items())
        pairs.append((f"Trial {trial.number}: {given or 'no hyper-parameters'}", trial.error or "No error recorded."))
    return NamedValues(pairs, is_code=True)


def prune_facts(record: Prune | None, settings: Mapping[str, Any]) -> list[Block]:
    """The number of kept units, and the prune rate of each class."""
    if record is None:
        what = "none, the whole corpus was used" if fmt.is_whole(settings) else "not recorded"
        return [Text(f"Pruning: {what}.", is_quiet=True)]
    summary = NamedValues(
        [
            ("policy", record.policy),
            ("level", record.level),
            ("units kept", f"{fmt.count(record.kept)} of {fmt.count(record.units)}"),
            ("prune rate", prune_rate(record)),
        ]
    )
    if not record.per_class:
        return [summary, Text("Prune rate per class: not measured.", is_quiet=True)]
    rows = [row(n, fmt.count(c.units), fmt.count(c.kept), prune_rate(c)) for n, c in record.per_class.items()]
    return [summary, Table("Pruning per class.", ("class", "#units", "#kept", "#prune rate"), rows)]


def prune_rate(of: Prune | PruneClass) -> str:
    """The share of dropped units."""
    return fmt.share((of.units - of.kept) / of.units if of.units else None)


def prune_examples(record: Prune | None) -> list[Block]:
    """Rows with the dropped units struck out, and the units nearest to the threshold."""
    if record is None:
        return []
    found: list[Block] = [Text("Examples: not recorded.", is_quiet=True)]
    if record.examples:
        rows = [list(zip(each.before, each.kept, strict=True)) for each in record.examples[:_SHOWN_EXAMPLES]]
        found = [Examples("Examples: dropped sentences are struck out", rows)]
    if record.nearest:
        near = [
            row(
                Cell(fmt.cut(unit.text, _LONGEST_UNIT), style="" if unit.kept else "del"),
                unit.id if unit.field == "*" else f"{unit.id}, {unit.field}",
                Cell(f"{unit.importance:.4f}", key=unit.importance),
                unit.reason,
            )
            for unit in record.nearest
        ]
        caption = "The units nearest to the threshold; dropped units are struck out."
        found.append(Table(caption, ("unit", "row", "#importance", "reason"), near))
    return found


def stages(records: Sequence[results.Stage]) -> Block:
    """Every artifact behind the numbers, and whether it was a cache hit."""
    if not records:
        return Text("Stages: not recorded.", is_quiet=True)
    rows = [
        row(
            each.stage,
            each.name,
            Cell(each.digest[:12], style="code"),
            "cache hit" if each.reused else "made",
            fmt.duration(each.seconds),
            each.summary or "–",
        )
        for each in records
    ]
    columns = ("stage", "name", "digest", "artifact", "#time", "summary")
    return Table("Artifacts in the store and their digests.", columns, rows)


def student_digests(confirmed: Sequence[Confirmed]) -> list[Block]:
    """The digest of every student, one a seed."""
    rows = [
        row(student.label, str(seed), Cell(digest[:12], style="code"))
        for student in confirmed
        for seed, digest in zip(student.seeds, student.runs, strict=False)
    ]
    return [Table("Students and their digests.", ("student", "#seed", "digest"), rows)] if rows else []


def student_settings(confirmed: Sequence[Confirmed]) -> list[Block]:
    """The settings of each student's method, and others that differ between students; nothing in earlier results."""
    columns = {each.label: {key: fmt.setting(value) for key, value in each.settings.items()} for each in confirmed}
    title = "Settings of each student: those of its method, and others that differ"
    return wide(title, "setting", columns, is_folded=True)


def commands(result: Result) -> NamedValues:
    """The commands that made, resume and repeat; `{number}` is replaced by the winner's number."""
    given, best = result.commands, result.best if isinstance(result, SweepResult) else None
    pairs = [("made by", result.command)]
    if given and given.first not in (None, result.command):
        pairs = [("begun by", given.first), ("ended by", result.command)]
    if given and given.resume:
        pairs.append(("resume", given.resume))
    if given and given.trial:
        pairs.append(("repeat trial N", given.trial.replace("{number}", "N")))
        if best is not None and "{number}" in given.trial:
            pairs.append(("repeat the winner", given.trial.replace("{number}", str(best.number))))
    return NamedValues(pairs, is_code=True)


def corpus(record: Corpus) -> NamedValues:
    """Everything recorded about the rows."""
    return NamedValues(
        [
            ("corpus", fmt.corpus_title(record.name, is_sample=record.is_sample, note=record.note)),
            ("rows", ", ".join(f"{fmt.count(rows)} {fmt.split_name(split)}" for split, rows in record.rows.items())),
            *([("source of the test split", record.test_from)] if record.test_from else []),
            ("read from", record.origin or "not recorded"),
            ("requested corpus", record.requested or "not recorded"),
        ]
    )


def settings(result: Result) -> list[Block]:
    """All resolved settings as the command line takes them, and the versions of all packages."""
    confirmed = result.confirmation if isinstance(result, SweepResult | ComparisonResult) else ()
    found = student_settings(confirmed)
    shared = "settings, before the changes of each student" if found else "settings"
    for name, pairs in (
        (shared, [(key, fmt.setting(value)) for key, value in fmt.flat(result.settings)]),
        ("versions", [(name, version or fmt.NOT_MEASURED) for name, version in result.versions.items()]),
    ):
        rows = [row(*pair) for pair in pairs]
        title = f"All {len(rows)} {name}"
        found.append(Table(title, ("name", "value"), rows, is_folded=True) if rows else Text(f"No {name} recorded."))
    return found


def time_name(result: Result) -> str:
    """What the seconds of a result cover: what was in the store already took no time."""
    return "time of the last command" if isinstance(result, SweepResult | ComparisonResult) else "total time"


def index(entries: Sequence[IndexEntry]) -> list[Table]:
    """The lists of reports, one for each corpus, in their order."""
    columns = ("name", "kind", "method", "#test score", "#trials", "#failed", "#time", "made")
    by_corpus = dict[str, list[Row]]()
    for entry in entries:
        corpus = fmt.corpus_title(entry.corpus, is_sample=entry.is_sample, note=entry.note)
        by_corpus.setdefault(corpus, []).append(_entry(entry))
    return [
        Table(f"{corpus}: {plural(len(rows), 'page')}, newest first.", columns, rows, is_sortable=True)
        for corpus, rows in by_corpus.items()
    ]


def _entry(entry: IndexEntry) -> Row:
    name, test = entry.metric, entry.test
    score = f"{name} {fmt.metric(name, entry.rows).score(test)}" if name and test is not None else fmt.NOT_MEASURED
    return row(
        Cell(entry.name, href=entry.href),
        entry.kind,
        entry.method.partition("@")[0] or "–",
        Cell(score, key=test),
        *(fmt.count(n) if entry.kind == "sweep" else "–" for n in (entry.trials, entry.failed)),
        Cell(fmt.duration(entry.seconds), key=entry.seconds),
        fmt.moment(entry.created),
    )

"""The pages of the four kinds of result, as documents: the verdict first, where the numbers come from last."""

from collections.abc import Sequence

from kdray.report import formatting as fmt
from kdray.report import summary, tables
from kdray.report.document import Block, Document, NamedValues, Section, Text
from kdray.report.figures import plots
from kdray.report.formatting import Metric
from kdray.results import ComparisonResult, Corpus, PruneResult, Result, RunResult, SweepResult

PARTS = ("limited to ", "subset, ")  # how kdray.corpora words that rows are missing
_PAIRED = ("Tests between students", "p by rows", "95 % interval", "p by seeds", "Holm")
_GUIDE = {
    "Splits": "Trials learn from train and are compared on validation, rows held out from train. The test split was "
    "not used to select anything, so only its scores predict the scores on new rows.",
    "± and p": "± is the standard deviation over seeds. p in the table of students (Welch's t-test) is the probability "
    "of a difference at least this large if both students were equally good. Neither covers the choice of the rows in "
    "the test split.",
    "Noise of the test rows": "Two standard errors of a score from the choice of the rows, 2·√(p·(1 − p) / rows) of an "
    "accuracy p. On other rows of the same kind, about 19 of 20 scores of the same student are within it.",
    "Agreement": "“agrees with TEACHER on X %”: the rows for which both predict the same class, right or wrong, as "
    "a share of the rows that the teacher predicts.",
    "Tests between students": "Both students read the same rows with the same seeds. Trust p by rows and the interval "
    "for these trained students: which of them answers more rows right. Trust p by seeds for the method: which one is "
    "better when it is trained again. If only p by rows is small, these students differ, but the methods may not.",
    "p by rows": "McNemar's exact test. It counts the test rows that one student answers right and the other wrong "
    "(with several seeds: right on more seeds), and tests whether both students win equally often. It does not cover "
    "another training.",
    "95 % interval": "The paired bootstrap: 95 % of the differences lie in it if rows and seeds are drawn again, the "
    "same ones for both students. With few seeds it covers mainly the choice of the rows.",
    "p by seeds": "The paired t-test: for each seed the difference of the two scores, and whether their mean is 0. It "
    "covers other trainings, on the same rows. With two seeds it has almost no power: a large p does not mean that "
    "the methods are equal.",
    "Holm": "Holm's correction: with many pairs, some p are small by chance. Each p is raised so that the probability "
    "of a false finding in the column stays at most 0.05 if p below 0.05 counts as a finding.",
    "Retention": "The student's score divided by its teacher's score.",
    "Distillation ratio": "The fraction of the gap between the no-KD baseline (0) and the teacher (1) that "
    "distillation closes. It is negative if distillation lowers the score, and has no meaning if the teacher is not "
    "better than the baseline. Other students without distillation have none.",
    "Methods and controls": "Controls learn from no teacher: the no-KD baseline, the layers of a teacher without "
    "distillation, and methods such as finetune. A method is worth its cost only if it scores higher than these.",
    "Trials": "The score of a trial that was stopped early is of its last epoch. A failed trial ended in an error.",
    "Importance of hyper-parameters": "It describes the trials of this sweep only; with few trials it is rough.",
    "Importance of a unit": "The sum or mean of its TF-IDF vector (prune.score), scaled to 0..1.",
    "Threshold": "Units below it are dropped, except cluster medoids and the last unit of a text or class.",
    "Digest": "The hash of all settings and inputs that change a result. Equal digests mean equal artifacts.",
}


def document_of(result: Result) -> Document:
    """The page of one result."""
    name = None if isinstance(result, PruneResult) else result.metric or _first_metric(result)
    higher = isinstance(result, PruneResult) or result.higher_is_better
    shown = fmt.metric(name or "score", result.corpus.rows.get("test"), higher_is_better=higher)
    if isinstance(result, SweepResult):
        return _sweep(result, shown)
    if isinstance(result, ComparisonResult):
        return _comparison(result, shown)
    return _run(result, shown if name else None) if isinstance(result, RunResult) else _prune(result, shown)


def _first_metric(result: Result) -> str | None:
    return next(iter(result.metrics.get("test", {})), None) if isinstance(result, RunResult) else None


def _sweep(result: SweepResult, shown: Metric) -> Document:
    states = [trial.state for trial in result.trials]
    counts = ", ".join(f"{states.count(state)} {fmt.state(state)}" for state in ("pruned", "failed") if state in states)
    figures = {
        f"trials ({counts})" if counts else "trials": f"{len(states):,}",
        tables.time_name(result): _time(result),
    }
    if (ours := summary.leader(result)) is not None:
        costs = {"parameters": fmt.parameters(ours.parameters)}
        if result.latency is not None and (bundle := result.latency.bundle) is not None:
            costs[f"latency of the bundle ({bundle.format})"] = fmt.milliseconds(bundle.p50_ms)
        elif result.latency is not None:
            costs["latency"] = fmt.milliseconds(ours.latency_ms)
        figures = {"teacher's score kept": fmt.share(ours.retention)} | costs | figures
    learned = Section("What the search learned", plots("search", result, shown))
    trials = [Section("All trials", [tables.trials(result, shown)])]
    if (failures := tables.failures(result)) is not None:
        trials.insert(0, Section("Failed trials", [failures]))
    verdict, findings = summary.sweep_verdict(result, shown), summary.sweep_findings(result, shown)
    sections = _story(result, shown, [learned], trials, tuple(_GUIDE))
    return _document(result, f"sweep {result.name}", verdict, findings, figures, sections)


def _comparison(result: ComparisonResult, shown: Metric) -> Document:
    controls = sum(student.is_control for student in result.confirmation)
    figures = {"methods": f"{len(result.confirmation) - controls:,}", "controls": f"{controls:,}"}
    figures[tables.time_name(result)] = _time(result)
    tests = _PAIRED if result.pairs else ()
    guide = ("Methods and controls", "± and p", "Noise of the test rows", "Agreement", *tests)
    sections = _story(result, shown, [], [], (*guide, "Retention", "Distillation ratio", "Digest"))
    verdict, findings = summary.comparison_verdict(result, shown), summary.comparison_findings(result, shown)
    return _document(result, f"comparison {result.name}", verdict, findings, figures, sections)


def _story(
    result: SweepResult | ComparisonResult,
    shown: Metric,
    learned: list[Section],
    trials: list[Section],
    guide: Sequence[str],
) -> list[Section]:
    """The sections of several students; those of a search go behind the classes and behind the teachers."""
    found = [
        Section("Confirmation", [Text("Not measured: no student was trained again on several seeds.", is_quiet=True)])
    ]
    if result.confirmation:
        confirmed = [*tables.students(result, shown), *tables.languages_of_students(result.confirmation, shown)]
        confirmed += [*plots("confirmation", result, shown), *tables.pairs(result, shown)]
        found = [Section("Score against cost", plots("ladder", result, shown)), Section("Confirmation", confirmed)]
    return [
        *found,
        *_classes(tables.classes_of_students(result, shown)),
        *learned,
        _pruning(result, shown),
        Section(
            "Cost and time", [*plots("time", result, shown), *(plots("sweep time", result, shown) if trials else [])]
        ),
        Section("Teachers", [tables.teachers(result.teachers, shown)]),
        *trials,
        _guide(summary.rows_and_points(result, shown), *guide),
        *_provenance(result),
    ]


def _classes(blocks: list[Block]) -> list[Section]:
    return [Section("Classes", blocks)] if blocks else []


def _run(result: RunResult, shown: Metric | None) -> Document:
    student = [(key, fmt.setting(value)) for key, value in fmt.flat(result.student)]
    metric_or_score = shown or fmt.metric("score", None)
    sections = [
        Section("Scores", [*tables.scores(result), *tables.languages(result)]),
        *_classes(tables.classes(result, metric_or_score)),
        Section("Training", plots("training", result, metric_or_score)),
        Section("Student", [NamedValues(student) if student else Text("Student: not recorded.", is_quiet=True)]),
        _pruning(result, metric_or_score),
        Section("Cost and time", plots("time", result, metric_or_score)),
        Section("Teachers", [tables.teachers(result.teachers, metric_or_score)]),
        *_provenance(result),
    ]
    figures = {
        "parameters": fmt.parameters(result.student.get("parameters")),
        "epochs": f"{len(result.history)}",
        tables.time_name(result): _time(result),
    }
    findings = ["One seed: a difference to another run may be due to chance."]
    return _document(result, f"run {result.name}", summary.run_verdict(result, shown), findings, figures, sections)


def _prune(result: PruneResult, shown: Metric) -> Document:
    record = result.prune
    assert record is not None, "checked before"
    verdict = (
        f"{tables.prune_rate(record)} of the {'sentences' if record.level == 'sentence' else 'rows'} were dropped."
    )
    figures = {"units": fmt.count(record.units), "kept": fmt.count(record.kept), "level": record.level}
    guide = _guide("", "Importance of a unit", "Threshold")
    sections = [_pruning(result, shown), guide, *_provenance(result)]
    return _document(result, f"pruned by {record.policy}", verdict, [], figures, sections)


def _pruning(result: Result, shown: Metric) -> Section:
    facts, examples = tables.prune_facts(result.prune, result.settings), tables.prune_examples(result.prune)
    return Section("Pruning", [*facts, *plots("pruning", result, shown), *examples])


def _provenance(result: Result) -> list[Section]:
    settings = [tables.commands(result), tables.corpus(result.corpus), *tables.settings(result)]
    confirmed = result.confirmation if isinstance(result, SweepResult | ComparisonResult) else ()
    stages = [tables.stages(result.stages), *tables.student_digests(confirmed)]
    return [Section("Stages", stages), Section("Settings and commands", settings)]


def _guide(worth: str, *names: str) -> Section:
    pairs = [("Test split", worth)] if worth else []
    return Section(
        "How to read this page", [NamedValues([*pairs, *((name, _GUIDE[name]) for name in names)], is_long=True)]
    )


def _time(result: Result) -> str:
    return fmt.duration(result.seconds.total if result.seconds else None)


def _document(
    result: Result, what: str, verdict: str, findings: list[str], figures: dict[str, str], sections: list[Section]
) -> Document:
    corpus = result.corpus
    rows = ", ".join(f"{fmt.split_name(split)} {fmt.count(number)}" for split, number in corpus.rows.items())
    source = f" (test split: {corpus.test_from})" if corpus.test_from else ""
    commit = f"commit {result.commit}" if result.commit else "commit not recorded"
    return Document(
        title=f"{_title(corpus)}: {what}",
        sections=sections,
        origin=f"{fmt.moment(result.created)} · kdray {result.kdray} · {commit} · rows: {rows}{source}",
        warnings=_warnings(corpus),
        verdict=verdict,
        findings=findings,
        key_figures=figures,
        tab=_tab(what, corpus),
    )


def _tab(what: str, corpus: Corpus) -> str:
    """What tells this page from others, and the corpus where its name is not in it already."""
    named = what if corpus.name in what else f"{what}, {corpus.name}"
    return f"{named} (sample)" if corpus.is_sample and corpus.name != "sample" else named


def _warnings(corpus: Corpus) -> list[str]:
    found: list[str] = []
    if corpus.is_sample:
        is_other = corpus.requested not in (None, "sample")
        requested = f" The requested corpus was '{corpus.requested}'." if is_other else ""
        found.append(
            f"These numbers are from {corpus.name}, the small sample that ships with kdray, not from a public "
            f"benchmark: they show that everything works, but cannot be compared to published numbers.{requested}"
        )
    if remarks := fmt.remarks_of(corpus.note, is_sample=corpus.is_sample):
        found.append(f"The rows: {'; '.join(remarks)}.")
    return found


def _title(corpus: Corpus) -> str:
    """With the remark that it is the sample or a part of the corpus; the others stand in the box below."""
    remarks = fmt.remarks_of(corpus.note, is_sample=corpus.is_sample)
    parts = "; ".join(each for each in remarks if each.startswith(PARTS))
    return fmt.corpus_title(corpus.name, is_sample=corpus.is_sample, note=parts or None)

"""The first sentences of a page: the verdict, and the findings that limit it."""

from collections.abc import Sequence

from kdray.errors import plural
from kdray.evaluate.statistics import welch
from kdray.report import formatting as fmt
from kdray.report.formatting import Metric
from kdray.results import (
    BASELINE,
    FIRST_WEIGHTS,
    Bundle,
    ComparisonResult,
    Confirmed,
    Difference,
    ExportedLatency,
    Result,
    RunResult,
    Selection,
    Spread,
    SweepResult,
)
from kdray.tasks import row_noise, split_gap
from kdray.tasks.noise import DEVIATIONS

# The customary level; the page always prints p itself next to the word.
SIGNIFICANT = 0.05


def winner_first(confirmation: Sequence[Confirmed]) -> list[Confirmed]:
    """The winner (its label begins with `winner`; otherwise the first student), then the others in their order."""
    return sorted(confirmation, key=lambda student: not student.label.lower().startswith("winner"))


def not_beaten(confirmation: Sequence[Confirmed], metric: Metric) -> list[str]:
    """Labels of the other students whose test score is at least as good as the winner's."""
    ours, *others = winner_first(confirmation)
    mean = ours.test.mean
    if mean is None:
        return []
    scores = [(other.label, other.test.mean) for other in others if not is_same(other, ours)]
    return [label for label, score in scores if score is not None and metric.gain(score - mean) >= 0]


def is_same(one: Confirmed, other: Confirmed) -> bool:
    """Whether two labels name the same students: the winner may have the default settings."""
    return bool(one.runs) and one.runs == other.runs


def nothing_learned(result: SweepResult | ComparisonResult, metric: Metric) -> str:
    """A sentence where no student is better than the majority class by more than the noise of the test rows."""
    majority = next((teacher.majority for teacher in result.teachers if teacher.majority is not None), None)
    gains = [metric.gain(s.test.mean - majority) for s in result.confirmation if s.test.mean is not None and majority]
    if majority is None or not gains:
        return ""
    error = row_noise(metric.name, majority, result.corpus.rows.get("test", 0))
    if max(gains) > DEVIATIONS * (error or 0.0):
        return ""
    noise = f" beyond the noise of the test rows ({100 * DEVIATIONS * error:.2g} points)" if error else ""
    return f"No student is better than the majority class ({metric.score(majority)}){noise}."


def sweep_verdict(result: SweepResult, metric: Metric) -> str:
    """One sentence: no student learned anything, or the winner has this score."""
    return nothing_learned(result, metric) or _winner(result, metric)


def _winner(result: SweepResult, metric: Metric) -> str:
    """The winner, its score, and how its candidates were compared."""
    best = result.best
    if best is None:
        return f"No winner: none of {plural(len(result.trials), 'trial')} was completed."
    if not result.confirmation:
        return (
            f"Trial {best.number} is the best: {metric.name} {metric.score(best.value)} on the validation split, "
            "not confirmed on other seeds."
        )
    ours = winner_first(result.confirmation)[0]
    label = ours.label[:1].upper() + ours.label[1:]
    if result.selection is not None and result.selection.winner == 0:
        label = "No candidate beats the default settings beyond the noise, so the defaults win"
    folds = result.selection.folds if result.selection is not None else 0
    how = f"; candidates were compared on {_folds(folds)}" if folds else ""
    return f"{label}: {_score(ours, metric)} on the test split ({plural(len(ours.seeds), 'seed')}){how}."


def _folds(number: int) -> str:
    return f"{plural(number, 'fold')} of train and validation"


def _score(student: Confirmed, metric: Metric) -> str:
    return f"{metric.name} {metric.score_and_spread(student.test.mean, student.test.std)}"


def winner_on_seeds(result: SweepResult) -> str:
    """The verdict, and the winner's difference to the no-KD baseline where it was measured, for its model card."""
    metric = _metric(result)
    found = [*filter(None, [nothing_learned(result, metric)]), _winner(result, metric)]
    if result.confirmation and (ours := winner_first(result.confirmation)[0]).difference is not None:
        found += [_against_baseline(result, ours, ours.difference, metric), *against_layers(result, ours, metric)]
        found += effect_of_pruning(result)
    return " ".join(found)


def verdict_on_seeds(result: SweepResult | ComparisonResult) -> str:
    """The verdict as the command prints it."""
    if isinstance(result, SweepResult):
        return winner_on_seeds(result)
    return " ".join([comparison_verdict(result, _metric(result)), *effect_of_pruning(result)])


def _metric(result: SweepResult | ComparisonResult) -> Metric:
    return fmt.metric(result.metric, result.corpus.rows.get("test"), higher_is_better=result.higher_is_better)


def sweep_findings(result: SweepResult, metric: Metric) -> list[str]:
    """The sentences under the verdict, unfavorable ones included."""
    found = [f"The search ended early: {result.stopped}."] if result.stopped else []
    if result.best is None:
        return found
    if not result.confirmation:
        return [
            *found,
            "Not confirmed: the best trial was not trained again on other seeds. It was selected by this score, "
            "so expect a lower score on new rows.",
        ]
    if nothing_learned(result, metric):
        found.append(_winner(result, metric))
    if result.selection is not None:
        found.append(selected(result.selection, metric))
    ours = winner_first(result.confirmation)[0]
    named = set[str]()  # the others that a sentence is about
    if ours.difference is None:
        found.append("Its difference to the no-KD baseline was not measured.")
    else:
        found.append(_against_baseline(result, ours, ours.difference, metric))
        layers = against_layers(result, ours, metric)
        found += [*layers, *effect_of_pruning(result)]
        named = {ours.difference.to, *([FIRST_WEIGHTS] if layers else [])}
    if ahead := [label for label in not_beaten(result.confirmation, metric) if label not in named]:
        found.append(f"The winner of the search does not beat {fmt.listing(ahead)} on the test split.")
    if ours.retention is not None:
        is_better = ours.retention > 1 and metric.higher_is_better
        found.append(
            "The winner scores higher than its teacher: a teacher that is trained longer, or a larger one, may help."
            if is_better
            else f"The winner keeps {fmt.share(ours.retention)} of its teacher's score."
        )
    if result.latency is not None and result.latency.bundle is not None:
        found.append(_deployed(result.latency, result.latency.bundle))
    if len(ours.seeds) < 2:
        found.append("One seed gives no standard deviation: a difference may be due to chance.")
    return [*found, *gaps(result, metric)]


def _deployed(latency: ExportedLatency, bundle: Bundle) -> str:
    faster = ""
    if latency.teachers:
        slowest, ms = max(latency.teachers.items(), key=lambda each: each[1])
        whose = "its teacher" if slowest == "teacher" else f"teacher {slowest}"
        faster = f", {ms / bundle.p50_ms:.1f} times faster than the export of {whose}"
        if (size := latency.teacher_megabytes.get(slowest)) is not None:
            faster += f" ({size:.0f} MB)"
    size = "" if bundle.megabytes is None else f", {bundle.megabytes:.0f} MB"
    return (
        f"The bundle of trial {bundle.trial} ({bundle.format}{size}) answers one row of {latency.tokens} tokens in "
        f"{bundle.p50_ms:.2f} ms{faster}{_rough(latency, bundle)}."
    )


def _rough(latency: ExportedLatency, bundle: Bundle) -> str:
    """The bundle is timed after the search and the teacher before it."""
    if not (latency.warning or bundle.warning):
        return ""
    return "; other programs ran while they were timed, so these times are rough (kdray bench times both together)"


def selected(selection: Selection, metric: Metric) -> str:
    """How the winner was chosen, with the figures."""
    if len(selection.contenders) == 1:
        return "The search found no candidate beside the defaults."
    others = plural(len(selection.contenders) - 1, "candidate")
    seeds = plural(len(selection.seeds), "seed")
    where = _folds(selection.folds) if selection.folds else f"the validation split with {seeds}"
    start = f"{others} and the defaults were compared on {where}: "
    if len({each.validation for each in selection.contenders}) == 1:
        return f"{start}all have the same mean, so the search could not choose among them."
    if selection.best == 0:
        return f"{start}the defaults have the best mean."
    figures = f"trial {selection.best} is ahead of the defaults by {metric.difference(selection.gain)}"
    return f"{start}{figures}, and one standard error is {metric.difference(selection.noise).lstrip('+')}."


def _against_baseline(result: SweepResult, student: Confirmed, difference: Difference, metric: Metric) -> str:
    p_rows = _by_rows(result, student.label, difference.to)
    return compared(difference, metric, student.test.values, p_rows=p_rows, who="The winner")


def against_layers(result: SweepResult, winner: Confirmed, metric: Metric) -> list[str]:
    """What distillation adds to the layers of the teacher, where a student was only begun from them."""
    control = next((each for each in result.confirmation if each.label == FIRST_WEIGHTS), None)
    if control is None or is_same(control, winner) or winner.parameters != control.parameters:
        return []
    if winner.test.mean is None or control.test.mean is None:
        return []
    to = f"the same layers of the teacher without distillation, {metric.score(control.test.mean)}"
    found = difference_of(winner.test, control.test, to)
    p_rows = _by_rows(result, winner.label, control.label)
    return [compared(found, metric, winner.test.values, p_rows=p_rows, who="It")]


def _by_rows(result: SweepResult | ComparisonResult, one: str, other: str) -> float | None:
    """McNemar's p of two students in the table of pairs."""
    return next((each.p_rows for each in result.pairs if {each.label, each.to} == {one, other}), None)


def compared(
    difference: Difference,
    metric: Metric,
    scores: Sequence[float | None] = (),
    *,
    p_rows: float | None = None,
    who: str,
) -> str:
    """A measured difference in words: better, not distinguishable from chance, or not better.

    Args:
        scores: Of the student, by seed.
        p_rows: Of a test over the rows, which counts where one seed allows no test over seeds.
        who: The subject of the sentence.
    """
    mean, p = difference.mean, difference.p_value
    other = f"the {difference.to}" if difference.to == BASELINE else difference.to
    if mean is None:
        return f"{'the' if who[0].islower() else 'The'} difference to {other} was not measured."
    test = "Welch's test over the seeds, " if p is not None else ""
    measured = f"({metric.difference(mean)}, {test}{fmt.p_value(p, scores)})"
    better = "higher" if metric.higher_is_better else "lower"
    if metric.gain(mean) <= 0:
        return f"{who} does not beat {other} {measured}."
    if p is None and p_rows is not None and len(scores) < 2:
        rows = f"({metric.difference(mean)}, one seed; over the test rows {fmt.p_value(p_rows)}, McNemar's test)"
        chance = ", but the difference may be due to chance" if p_rows >= SIGNIFICANT else "; other seeds may differ"
        return f"{who} scores {better} than {other} {rows}{chance}."
    if p is None:
        return f"{who} scores {better} than {other} {measured}; the difference was not tested."
    if p >= SIGNIFICANT:
        return f"{who} scores {better} than {other} {measured}, but the difference may be due to chance."
    return f"{who} beats {other} {measured}."


def methods_of(result: ComparisonResult) -> list[Confirmed]:
    """The students without the controls; all of them where there are only controls."""
    return [student for student in result.confirmation if not student.is_control] or list(result.confirmation)


def best_student(result: ComparisonResult) -> Confirmed | None:
    """The method with the best mean score on the test split."""
    return _best(methods_of(result), higher_is_better=result.higher_is_better)


def _best(students: Sequence[Confirmed], *, higher_is_better: bool) -> Confirmed | None:
    sign = 1 if higher_is_better else -1
    measured = [student for student in students if student.test.mean is not None]
    return max(measured, key=lambda student: sign * (student.test.mean or 0.0), default=None)


def leader(result: Result) -> Confirmed | None:
    """The student that stands for a result: the winner of a sweep, the best method of a comparison."""
    if isinstance(result, SweepResult):
        return next(iter(winner_first(result.confirmation)), None)
    return best_student(result) if isinstance(result, ComparisonResult) else None


def score_on_test(result: Result) -> Spread:
    """The score on the test split of that student, or of a run."""
    if isinstance(result, RunResult):
        score = result.metrics.get("test", {}).get(result.metric or "")
        return Spread(mean=score, values=(score,))
    student = leader(result)
    return Spread(mean=None) if student is None else student.test


def difference_of(one: Spread, other: Spread, to: str) -> Difference:
    """The difference of two means, with Welch's p over the seeds."""
    values = ([value for value in each.values if value is not None] for each in (one, other))
    mean = None if one.mean is None or other.mean is None else one.mean - other.mean
    return Difference(to=to, mean=mean, p_value=welch(*values))


def comparison_verdict(result: ComparisonResult, metric: Metric) -> str:
    """One sentence: no student learned anything, or the best method is compared with the best control."""
    return nothing_learned(result, metric) or _best_method(result, metric)


def _best_method(result: ComparisonResult, metric: Metric) -> str:
    """The method with the best mean score, and whether it is better than the best control."""
    first = best_student(result)
    if first is None:
        return "Not measured on the test split."
    best = "Highest" if metric.higher_is_better else "Lowest"
    what = plural(len(methods_of(result)), "student" if first.is_control else "method")
    equal = [each.label for each in methods_of(result) if each.test.mean == first.test.mean]
    start = f"{best} of {what}: {fmt.listing(equal, 'and')}, {_score(first, metric)} on the test split"
    controls = [student for student in result.confirmation if student.is_control and student is not first]
    control = None if first.is_control else _best(controls, higher_is_better=result.higher_is_better)
    who = "it" if len(equal) == 1 else first.label
    return f"{start}." if control is None else f"{start}; {_against(result, first, control, metric, who)}"


def _against(result: ComparisonResult, method: Confirmed, control: Confirmed, metric: Metric, who: str) -> str:
    """Whether a method is better than the best control, by the test of the table of students."""
    to = f"the best control, “{control.label}” with {metric.score(control.test.mean)}"
    p_rows = _by_rows(result, method.label, control.label)
    return compared(difference_of(method.test, control.test, to), metric, method.test.values, p_rows=p_rows, who=who)


def comparison_findings(result: ComparisonResult, metric: Metric) -> list[str]:
    """How many differences are significant, and that the best of many scores is too optimistic."""
    methods = methods_of(result)
    learned = [_best_method(result, metric)] if nothing_learned(result, metric) else []
    differences = [(student, student.difference) for student in methods if student.difference]
    tested = [(each.mean or 0.0, p) for _, each in differences if (p := each.p_value) is not None]
    clear = sum(metric.gain(mean) > 0 and p < SIGNIFICANT for mean, p in tested)
    found = [
        f"Methods that beat the no-KD baseline with p below {SIGNIFICANT} in the table of students: {clear} of "
        f"{len(differences)}; p is not corrected for the number of methods."
        if tested
        else "No difference was tested over the seeds."
    ]
    found += effect_of_pruning(result)
    if above := [each.label for each in methods if (each.retention or 0) > 1]:
        found.append(
            f"{fmt.listing(above)} {'scores' if len(above) == 1 else 'score'} higher than the teacher, so retention "
            "and distillation ratio mean little; a teacher that is trained longer may help."
        )
    if any(len(student.seeds) == 2 for student in methods):
        found.append("Two seeds decide little: p is rough, and only large differences can be shown.")
    for student, difference in differences:
        reason = fmt.p_value(None, student.test.values)
        if difference.p_value is None and (tested or reason == fmt.UNDEFINED):
            found.append(f"{student.label} was not tested ({reason}).")
    if tested:
        found.append("The best of several scores is too high on average: expect a lower score on new rows.")
    return [*learned, *found, *gaps(result, metric)]


def effect_of_pruning(result: SweepResult | ComparisonResult) -> list[str]:
    """Where students learned from a part of what the no-KD baseline learned from, their difference has two causes."""
    baseline = next((each for each in result.confirmation if each.label == BASELINE), None)
    record, pruned = result.prune, [each for each in result.confirmation if not fmt.is_whole(each.settings)]
    if baseline is None or not fmt.is_whole(baseline.settings) or not pruned or record is None:
        return []
    if record.kept == record.units:
        return []
    ways = {str(sorted(pair for pair in each.settings.items() if pair[0].startswith("prune."))) for each in pruned}
    unit = "sentence" if record.level == "sentence" else "row"
    part = f"{fmt.count(record.kept)} of {plural(record.units, unit)}" if len(ways) == 1 else f"some of the {unit}s"
    return [
        f"The students learned from {part}, the {BASELINE} from all: their difference includes the effect of pruning "
        "(prune.policy.name=none keeps everything)."
    ]


def run_verdict(result: RunResult, metric: Metric | None) -> str:
    """The score of the student on the test split."""
    score = result.metrics.get("test", {}).get(metric.name) if metric else None
    if metric is None or score is None:
        return "Not measured on the test split."
    return f"{metric.name} {metric.score(score)} on the test split."


def rows_and_points(result: SweepResult | ComparisonResult, metric: Metric) -> str:
    """The value of one row of the test split, the smallest step of any difference, and the noise of validation."""
    rows = result.corpus.rows.get("test")
    if not rows or not metric.unit:
        return ""
    worth = f"The test split has {fmt.count(rows)} rows: one row is worth {100 / rows:.2g} points of accuracy."
    if noise := validation_noise(result, metric):
        return f"{worth} {noise}"
    return worth


def validation_noise(result: SweepResult | ComparisonResult, metric: Metric) -> str | None:
    """The standard error of a validation score, at the best one there is."""
    scores = [each.validation.mean for each in result.confirmation if each.validation]
    scores += [trial.value for trial in result.trials] if isinstance(result, SweepResult) else []
    known = [score for score in scores if score is not None]
    rows = result.corpus.rows.get("validation", 0)
    noise = row_noise(metric.name, max(known), rows) if known else None
    if not noise:
        return None
    return (
        f"The validation split has {fmt.count(rows)} rows: the standard error of a score of "
        f"{metric.score(max(known))} is {100 * noise:.2g} points."
    )


def gaps(result: SweepResult | ComparisonResult, metric: Metric) -> list[str]:
    """Students whose scores on validation and test differ by more than their noise, in one sentence."""
    counts = (result.corpus.rows.get("validation", 0), result.corpus.rows.get("test", 0))
    apart: list[str] = []
    for student in result.confirmation:
        validation, test = student.validation.mean if student.validation else None, student.test.mean
        if validation is None or test is None:
            continue
        if split_gap(metric.name, validation=validation, test=test, rows=counts):
            apart.append(f"{student.label} ({metric.score(validation)} and {metric.score(test)})")
    if not apart:
        return []
    return [
        f"Validation and test scores differ by more than the noise of their rows: {fmt.listing(apart)}. The rows of "
        "validation are unlike those of test, or share texts with train."
    ]

"""What the page says first: who won, by how much, and plainly so when the winner wins nothing."""

from collections.abc import Sequence

from kdray.report.schema import ComparisonResult, Confirmed, Difference, SweepResult
from kdray.report.words import Metric, count, listing, p_value, plural, share

# The customary level; the page always prints p itself beside the word.
SIGNIFICANT = 0.05


def winner_first(confirmation: Sequence[Confirmed]) -> list[Confirmed]:
    """The winner (its label begins with `winner`; otherwise the first student), then the others as they stand."""
    return sorted(confirmation, key=lambda student: not student["label"].lower().startswith("winner"))


def not_beaten(confirmation: Sequence[Confirmed], metric: Metric) -> list[str]:
    """Labels of the other students that score as well as the winner or better on the report split."""
    ours, *others = winner_first(confirmation)
    mean = ours["report"]["mean"]
    if mean is None:
        return []
    others = [other for other in others if not is_same(other, ours)]
    return [
        other["label"]
        for other in others
        if (score := other["report"]["mean"]) is not None and metric.gain(score - mean) >= 0
    ]


def is_same(one: Confirmed, other: Confirmed) -> bool:
    """Whether two labels stand for the same students: the winner may well be the defaults."""
    return bool(one.get("runs")) and one.get("runs") == other.get("runs")


def headline(result: SweepResult, metric: Metric) -> str:
    """One sentence: the winner and its score."""
    best = result["best"]
    if best is None:
        return f"No winner: none of {plural(len(result['trials']), 'trial')} was completed."
    confirmation = result.get("confirmation", [])
    if not confirmation:
        return f"Trial {best['number']} is the best: {metric.name} {metric.score(best['value'])} on the select split."
    ours = winner_first(confirmation)[0]
    spread = metric.score_and_spread(ours["report"]["mean"], ours["report"].get("std"))
    return (
        f"{_capital(ours['label'])}: {metric.name} {spread} on the report split ({plural(len(ours['seeds']), 'seed')})."
    )


def findings(result: SweepResult, metric: Metric) -> list[str]:
    """The sentences under the headline, least comfortable included."""
    if result["best"] is None:
        return []
    confirmation = result.get("confirmation", [])
    if not confirmation:
        return [
            "Not confirmed: the best trial was not trained again on other seeds. It was chosen by this very score, "
            "so expect less on rows it has not seen."
        ]
    ours = winner_first(confirmation)[0]
    return [*_difference(ours, metric), *_losing(ours, confirmation, metric), *_kept(ours), *_seeds(ours)]


def rows_and_points(result: SweepResult | ComparisonResult, metric: Metric) -> str:
    """What one row of the report split is worth, the coarsest step that any difference can have."""
    rows = result["corpus"]["rows"].get("report")
    if not rows or not metric.unit:
        return ""
    return f"The report split has {count(rows)} rows: one row is worth {100 / rows:.2g} points of accuracy."


def _difference(ours: Confirmed, metric: Metric) -> list[str]:
    difference = ours.get("difference")
    if difference is None:
        return ["Its difference to the student alone was not measured."]
    return [compared(difference, metric)]


def compared(difference: Difference, metric: Metric) -> str:
    """A measured difference in words: better, not distinguishable from chance, or not better."""
    mean, p = difference["mean"], difference.get("p_value")
    if mean is None:
        return f"Its difference to {difference['to']} was not measured."
    measured = f"({metric.difference(mean)}, {p_value(p)})"
    if metric.gain(mean) <= 0:
        return f"It does not beat {difference['to']} {measured}."
    better = "higher" if metric.higher_is_better else "lower"
    if p is None:
        return f"It scores {better} than {difference['to']} {measured}: whether by chance was not tested."
    if p >= SIGNIFICANT:
        return f"It scores {better} than {difference['to']} {measured}, but not by more than chance would explain."
    return f"It beats {difference['to']} {measured}."


def _losing(ours: Confirmed, confirmation: Sequence[Confirmed], metric: Metric) -> list[str]:
    difference = ours.get("difference")
    said = difference["to"] if difference and metric.gain(difference["mean"] or 0) <= 0 else None
    ahead = [label for label in not_beaten(confirmation, metric) if label != said]
    return [f"The winner of the search does not beat {listing(ahead)} on the report split."] if ahead else []


def _kept(ours: Confirmed) -> list[str]:
    retention = ours.get("retention")
    return [] if retention is None else [f"It keeps {share(retention)} of its teacher's score."]


def _seeds(ours: Confirmed) -> list[str]:
    return ["One seed shows no spread: a difference may be luck."] if len(ours["seeds"]) < 2 else []


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]

"""The page of a sweep."""

from kdray.report import plot_curves, plot_front, plot_parallel, plot_search, plot_time, table_origin, table_search
from kdray.report.markup import Child, Html, tag
from kdray.report.page import (
    banner,
    contents,
    corpus_facts,
    corpus_title,
    figures,
    key_figures,
    page,
    provenance,
    section,
)
from kdray.report.schema import SweepResult
from kdray.report.tables import facts
from kdray.report.verdict import findings, headline, rows_and_points, winner_first
from kdray.report.words import Metric, duration, metric, milliseconds, parameters, share

_GUIDE = [
    (
        "Splits",
        "Trials learn from train and are compared on select, rows set aside from train. The report split was never "
        "used to choose anything, so only its scores say what to expect of new rows.",
    ),
    (
        "± and p",
        "± is the standard deviation over seeds. p is the probability of a difference at least this large if both "
        "students were equally good. Neither covers the luck of which rows are in the report split.",
    ),
    ("Retention", "The student's score divided by its teacher's."),
    (
        "Distillation ratio",
        "How much of the way from the student trained alone (0) to the teacher (1) distillation covers. Below 0 it did "
        "harm; where the teacher is no better than the student it means nothing.",
    ),
    (
        "Pruned and failed trials",
        "A pruned trial was stopped early; its score is of an earlier epoch. A failed trial ended in an error.",
    ),
    ("What mattered", "Importances describe only the trials of this sweep; with few trials they are rough."),
    ("Digest", "The hash of all settings and inputs that change a result. Equal digests are equal artifacts."),
]


def sweep_page(result: SweepResult) -> Html:
    """The whole document."""
    corpus = result["corpus"]
    higher = result.get("higher_is_better", True)
    shown = metric(result["metric"], corpus["rows"].get("report"), higher_is_better=higher)
    named = corpus_title(corpus["name"], is_sample=corpus["is_sample"], note=corpus.get("note"))
    title = f"{named}: sweep {result['name']}"
    sections = [
        section("Confirmation", *_confirmation(result, shown)),
        section("The search", *_search(result, shown)),
        section("Time", figures(plot_time.timeline(result, shown), plot_time.phases(result.get("seconds")))),
        section("Teachers", table_origin.teachers(result.get("teachers", []), shown)),
        section("Pruning", table_origin.prune(result.get("prune"))),
        section("Failed trials", table_search.failures(result)),
        section("All trials", table_search.trials(result, shown)),
        section("Stages", table_origin.stages(result.get("stages", []))),
        section("Settings and commands", *_origin(result)),
        section("How to read this page", *_guide(result, shown)),
    ]
    return page(
        title,
        tag("header", tag("h1", title), provenance(result), banner(corpus)),
        tag("p", headline(result, shown), class_="headline"),
        tag("ul", [tag("li", finding) for finding in findings(result, shown)], class_="findings"),
        key_figures(_key_figures(result)),
        contents(sections),
        tag("main", [content for _, content in sections]),
    )


def _key_figures(result: SweepResult) -> list[tuple[str, str]]:
    states = [trial["state"] for trial in result["trials"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("pruned", "failed") if state in states)
    trials = (f"trials ({counts})" if counts else "trials", f"{len(states):,}")
    seconds = result.get("seconds")
    total = ("time of the last command", duration(seconds["total"] if seconds else None))
    confirmation = result.get("confirmation", [])
    if not confirmation:
        return [trials, total]
    ours = winner_first(confirmation)[0]
    return [
        ("teacher's score kept", share(ours.get("retention"))),
        ("parameters", parameters(ours.get("parameters"))),
        ("latency", milliseconds(ours.get("latency_ms"))),
        trials,
        total,
    ]


def _confirmation(result: SweepResult, shown: Metric) -> list[Child]:
    students = result.get("confirmation", [])
    if not students:
        return [tag("p", "Not measured: no student was trained again on several seeds.", class_="nothing")]
    majority = next((teacher.get("majority") for teacher in result.get("teachers", [])), None)
    table = table_search.confirmation(students, shown, majority=majority)
    return [table, figures(table_search.seeds(students, shown))]


def _search(result: SweepResult, shown: Metric) -> list[Child]:
    return [
        figures(
            plot_search.optimisation(result, shown),
            *plot_front.fronts(result, shown),
            plot_search.importances(result),
            plot_parallel.parallel(result, shown),
            plot_curves.trial_curves(result, shown, of="value"),
            plot_curves.trial_curves(result, shown, of="loss"),
        ),
        figures(*plot_search.slices(result, shown), is_small=True),
    ]


def _origin(result: SweepResult) -> list[Child]:
    return [
        table_origin.commands(result["command"], result.get("commands"), result["best"]),
        corpus_facts(result["corpus"]),
        table_origin.settings(result),
    ]


def _guide(result: SweepResult, shown: Metric) -> list[Child]:
    worth = rows_and_points(result, shown)
    return [facts([(name, f"{words} {worth}".rstrip() if name == "± and p" else words) for name, words in _GUIDE])]

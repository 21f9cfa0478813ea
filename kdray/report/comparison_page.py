"""The page of a comparison: several settings on the same seeds, none of them chosen by a search."""

from kdray.report import plot_time, table_origin, table_search
from kdray.report.markup import Html, tag
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
from kdray.report.schema import ComparisonResult, Confirmed
from kdray.report.tables import facts
from kdray.report.verdict import SIGNIFICANT, rows_and_points
from kdray.report.words import Metric, duration, metric, plural


def comparison_page(result: ComparisonResult) -> Html:
    """The whole document."""
    corpus, students = result["corpus"], result["confirmation"]
    higher = result.get("higher_is_better", True)
    shown = metric(result["metric"], corpus["rows"].get("report"), higher_is_better=higher)
    named = corpus_title(corpus["name"], is_sample=corpus["is_sample"], note=corpus.get("note"))
    title = f"{named}: comparison {result['name']}"
    majority = next((teacher.get("majority") for teacher in result.get("teachers", [])), None)
    seconds = result.get("seconds")
    sections = [
        section(
            "Students",
            table_search.confirmation(students, shown, majority=majority),
            figures(table_search.seeds(students, shown)),
        ),
        section("Teachers", table_origin.teachers(result.get("teachers", []), shown)),
        section("Pruning", table_origin.prune(result.get("prune"))),
        section("Time", figures(plot_time.phases(seconds))),
        section("Stages", table_origin.stages(result.get("stages", []))),
        section(
            "Settings and commands",
            table_origin.commands(result["command"], None, None),
            corpus_facts(corpus),
            table_origin.settings(result),
        ),
        section("How to read this page", facts([("Report split", rows_and_points(result, shown) or "not measured")])),
    ]
    return page(
        title,
        tag("header", tag("h1", title), provenance(result), banner(corpus)),
        tag("p", _headline(students, shown), class_="headline"),
        tag("p", _caution(students, shown)),
        key_figures(
            [("students", f"{len(students):,}"), ("total time", duration(seconds["total"] if seconds else None))]
        ),
        contents(sections),
        tag("main", [content for _, content in sections]),
    )


def _headline(students: list[Confirmed], shown: Metric) -> str:
    measured = [student for student in students if student["report"]["mean"] is not None]
    if not measured:
        return "Not measured on the report split."
    first = max(measured, key=lambda student: shown.gain(student["report"]["mean"] or 0.0))
    spread = shown.score_and_spread(first["report"]["mean"], first["report"].get("std"))
    best = "Highest" if shown.higher_is_better else "Lowest"
    return f"{best} of {plural(len(students), 'student')}: {first['label']}, {shown.name} {spread} on the report split."


def _caution(students: list[Confirmed], shown: Metric) -> str:
    """How many differences are more than chance, and that the best of many is flattered."""
    differences = [difference for student in students if (difference := student.get("difference"))]
    tested = [(each["mean"], p) for each in differences if (p := each.get("p_value")) is not None]
    clear = [p for mean, p in tested if shown.gain(mean or 0) > 0 and p < SIGNIFICANT]
    if not tested:
        return "No difference was tested."
    return (
        f"{len(clear)} of {len(tested)} beat the student alone with p below {SIGNIFICANT}, each tested by itself; the "
        "best of many scores is partly the luckiest."
    )

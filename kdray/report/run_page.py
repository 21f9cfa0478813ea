"""The page of one run: a single student."""

from kdray.report import plot_curves, plot_time, table_origin
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
from kdray.report.schema import RunResult
from kdray.report.svg import no_figure
from kdray.report.tables import Cell, Row, columns, facts, table
from kdray.report.words import Metric, duration, metric, milliseconds, parameters, setting


def run_page(result: RunResult) -> Html:
    """The whole document."""
    corpus = result["corpus"]
    named = corpus_title(corpus["name"], is_sample=corpus["is_sample"], note=corpus.get("note"))
    title = f"{named}: run {result['name']}"
    shown = _main_metric(result)
    sections = [
        section("Scores", _scores(result)),
        section("Training", figures(*_training(result, shown))),
        section("Time", figures(plot_time.phases(result.get("seconds")))),
        section("Student", _student(result)),
        section("Teachers", table_origin.teachers(result.get("teachers", []), shown or metric("score", None))),
        section("Pruning", table_origin.prune(result.get("prune"))),
        section("Stages", table_origin.stages(result.get("stages", []))),
        section("Settings and commands", *_origin(result)),
    ]
    return page(
        title,
        tag("header", tag("h1", title), provenance(result), banner(corpus)),
        tag("p", _headline(result, shown), class_="headline"),
        tag("p", "One seed: a difference to another run may be luck."),
        key_figures(_key_figures(result)),
        contents(sections),
        tag("main", [content for _, content in sections]),
    )


def _main_metric(result: RunResult) -> Metric | None:
    """The metric named in the result, otherwise the first measured on the report split."""
    rows = result["corpus"]["rows"].get("report")
    name = result.get("metric") or next(iter(result["metrics"].get("report", {})), None)
    higher = result.get("higher_is_better", True)
    return metric(name, rows, higher_is_better=higher) if name else None


def _headline(result: RunResult, shown: Metric | None) -> str:
    score = result["metrics"].get("report", {}).get(shown.name) if shown else None
    if shown is None or score is None:
        return "Not measured on the report split."
    return f"{shown.name} {shown.score(score)} on the report split."


def _key_figures(result: RunResult) -> list[tuple[str, str]]:
    student, seconds = result["student"], result.get("seconds")
    return [
        ("parameters", parameters(student.get("parameters"))),
        ("latency", milliseconds(student.get("latency_ms"))),
        ("epochs", f"{len(result['history'])}"),
        ("total time", duration(seconds["total"] if seconds else None)),
    ]


def _student(result: RunResult) -> Html:
    pairs = [(key, setting(value)) for key, value in table_origin.flat(result["student"])]
    return facts(pairs, is_short=True) if pairs else tag("p", "Student: not recorded.", class_="nothing")


def _scores(result: RunResult) -> Html:
    names = list(dict.fromkeys(name for scores in result["metrics"].values() for name in scores))
    if not names:
        return tag("p", "Scores: not measured.", class_="nothing")
    rows: list[Row] = []
    for split, scores in result["metrics"].items():
        number = result["corpus"]["rows"].get(split)
        rows.append(Row(cells=[split, *(Cell(metric(name, number).score(scores.get(name))) for name in names)]))
    return table(columns("split", *(f"#{name}" for name in names)), rows, caption="Scores of the student.")


def _training(result: RunResult, shown: Metric | None) -> list[Child]:
    nothing = no_figure("Learning curve", "Nothing to draw: the result names no metric.")
    return [
        plot_curves.run_score(result, shown) if shown else nothing,
        plot_curves.run_terms(result, of="terms"),
        plot_curves.run_terms(result, of="weighted"),
    ]


def _origin(result: RunResult) -> list[Child]:
    return [
        table_origin.commands(result["command"], result.get("commands"), None),
        corpus_facts(result["corpus"]),
        table_origin.settings(result),
    ]

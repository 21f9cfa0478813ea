"""Two results side by side: the difference and its p-value, what differs, and what cannot be compared."""

import json
from pathlib import Path
from typing import Any

import made_up
import pytest
from reading import read, texts

from kdray.api.reports import compare_reports
from kdray.cli import main
from kdray.errors import ConfigError
from kdray.report.pair import side_by_side
from kdray.report.render import html_page, markdown_page
from kdray.results import parse_result
from kdray.store import Store


def other(**changes: Any) -> dict[str, Any]:
    """The sweep with another winner, name and temperature."""
    result = made_up.sweep()
    winner = next(each for each in result["confirmation"] if each["label"].startswith("winner"))
    winner["test"] = {"mean": 0.60, "std": 0.01, "values": [0.59, 0.60, 0.61]}
    result["settings"]["method"]["temperature"] = 2.0
    return {**result, "name": "other", **changes}


def page(one: dict[str, Any], two: dict[str, Any]) -> str:
    return html_page(side_by_side(parse_result(one), parse_result(two)), "plotly.js")


def test_difference_is_tested_over_the_seeds() -> None:
    # Welch by hand: 0.62133 ± 0.01002 and 0.60 ± 0.01, three seeds each: t = 2.610, 4 degrees of freedom, p = 0.0594
    document = side_by_side(parse_result(made_up.sweep()), parse_result(other()))
    assert document.verdict.startswith(
        "accuracy 62.1 % (“winner (trial 1: dekd)” of made-up) against 60.0 % (“winner (trial 1: dekd)” of other) on "
        "the test split: +2.1 points, p\u00a0=\u00a00.059"
    )
    assert document.verdict.endswith("the difference may be due to chance.")
    assert document.findings == []


def test_a_comparison_is_represented_by_its_best_method_and_two_seeds_are_named() -> None:
    comparison = made_up.comparison()
    comparison["confirmation"][1]["test"] = {"mean": 0.63, "std": 0.0, "values": [0.63, 0.63]}
    comparison["confirmation"].append({**comparison["confirmation"][1], "label": "other", "test": {"mean": 0.5}})
    control = {"label": "student from teacher layers, no KD", "test": {"mean": 0.9, "values": [0.9, 0.9]}}
    comparison["confirmation"].append({**comparison["confirmation"][0], **control})
    two = made_up.sweep()
    winner = next(each for each in two["confirmation"] if each["label"].startswith("winner"))
    winner["test"] = {"mean": 0.6, "std": 0.001, "values": [0.599, 0.601]}
    document = side_by_side(parse_result(comparison), parse_result(two))
    assert document.verdict.startswith("accuracy 63.0 % (“vanilla KD” of made-up (first)) against 60.0 %")
    assert document.verdict.endswith("the difference is significant over the seeds (level 0.05).")
    assert document.findings == [
        "With two seeds p is rough: more seeds are needed to show a difference.",
        "A comparison is represented by its best method, so its score is too high on average.",
    ]


def test_only_settings_that_differ_are_listed() -> None:
    document = side_by_side(parse_result(made_up.sweep()), parse_result(other()))
    (differing,) = [section.blocks[0] for section in document.sections if section.title == "Settings that differ"]
    assert [[cell.text for cell in row.cells] for row in differing.rows] == [["method.temperature", "4", "2"]]  # type: ignore[union-attr]
    same = side_by_side(parse_result(made_up.sweep()), parse_result(made_up.sweep()))
    assert "Every setting is the same." in html_page(same, "plotly.js")
    assert "(first)" in same.title


@pytest.mark.parametrize("kind", ["comparison", "run", "pruning"])
def test_kinds_may_differ(kind: str) -> None:
    text = page(made_up.sweep(), {**getattr(made_up, kind)(), "name": "other"})
    elements = read(text)  # refuses tags that do not balance
    ids = [element.attributes["id"] for element in elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert len(texts(text, "h2")) >= 5


def test_other_rows_or_metrics_are_not_compared() -> None:
    rows = other()
    rows["corpus"] = {**rows["corpus"], "rows": {**rows["corpus"]["rows"], "test": 3}}
    document = side_by_side(parse_result(made_up.sweep()), parse_result(rows))
    assert document.verdict == "Their test scores cannot be compared."
    assert "different rows" in document.warnings[0]
    document = side_by_side(parse_result(made_up.sweep()), parse_result(other(metric="macro_f1")))
    assert "different metrics and cannot be compared: accuracy and macro_f1" in document.warnings[0]
    assert "different metrics" in markdown_page(document)


def test_names_are_shown_as_text() -> None:
    evil = "<script>alert(1)</script>"
    assert evil not in page(made_up.sweep(), other(name=evil))


def test_command_writes_the_page_and_refuses_unknown_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(str(tmp_path / "store"))
    for result in ({**made_up.sweep(), "name": "one"}, other()):
        store.write_bytes(f"sweeps/{result['name']}/result.json", json.dumps(result).encode())
    assert main(["report", store.uri, "one", "sweep-other"]) == 0
    written = Path(capsys.readouterr().out.removeprefix("open ").strip().removeprefix("file://"))
    assert "one and other" in written.read_text()
    assert written.with_suffix(".md").exists()
    with pytest.raises(ConfigError, match=r"holds no results named other2; did you mean other\?"):
        compare_reports(store.uri, "one", "other2")
    with pytest.raises(ConfigError, match=r"^one is named twice; give two results to compare\.$"):
        compare_reports(store.uri, "one", "one")
    assert main(["report", store.uri, "one"]) == 2
    assert "takes no name or two names, found 1; the names are" in capsys.readouterr().err

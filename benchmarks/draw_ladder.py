"""A picture of a sweep of `sweeps/ladder.py`: `python benchmarks/draw_ladder.py store NAME docs/ladder.png`.

Test score of each trial against the latency of its student's export, hard and soft labels in two colors, and the
teachers. Needs the extra figures.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from kdray.cli.show import table
from kdray.store import Store

COLORS = {"hard": "#8a8f98", "soft": "#0969b8", "teacher": "#b06000"}
NAMES = {"hard": "hard labels", "soft": "distilled", "teacher": "teacher"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store", help="folder or URI")
    parser.add_argument("sweep", help="its name")
    parser.add_argument("picture", type=Path, help="a new file that ends in .png, .svg or .pdf")
    arguments = parser.parse_args()
    result = Store(arguments.store).read_json(f"sweeps/{arguments.sweep}/result.json")
    assert result is not None, f"{arguments.store} has no finished sweep {arguments.sweep}"
    rows = rows_of(result)
    print(table(rows))
    print(result["latency"]["warning"] or "The machine was quiet.")
    draw(rows, result["metric"]).write_image(arguments.picture, scale=2)


def rows_of(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Students by latency, then the teachers."""
    trials = [
        {"student": trial["params"]["student"], "labels": trial["params"]["labels"]}
        | {key: trial[key] for key in ("test", "value", "parameters", "latency_ms")}
        for trial in result["trials"]
        if trial["state"] == "complete"
    ]
    teachers = [
        {"student": f"teacher {each['name']}", "labels": "teacher", "value": each["validation"]}
        | {key: each[key] for key in ("test", "parameters", "latency_ms")}
        for each in result["teachers"]
    ]
    return sorted(trials, key=lambda row: (row["latency_ms"], row["student"], row["labels"])) + teachers


def draw(rows: Sequence[Mapping[str, Any]], metric: str) -> go.Figure:
    figure, best = go.Figure(), dict[str, float]()
    for row in rows:
        best[row["student"]] = max(row["test"], best.get(row["student"], row["test"]))
    for labels, color in COLORS.items():
        found = [row for row in rows if row["labels"] == labels]
        figure.add_scatter(
            x=[row["latency_ms"] for row in found],
            y=[100 * row["test"] for row in found],
            mode="markers+text",
            name=NAMES[labels],
            marker={"color": color, "size": 13, "symbol": "square" if labels == "teacher" else "circle"},
            text=[row["student"] if row["test"] == best[row["student"]] else "" for row in found],
            textposition="top center",
            cliponaxis=False,
        )
    ticks = [each * 10.0**power for power in range(-2, 4) for each in (1, 2, 5)]
    figure.update_xaxes(type="log", title="latency of the export, one row, one thread (ms)", tickvals=ticks)
    figure.update_yaxes(title=f"{metric} on the test split (%)")
    figure.update_layout(
        width=1000,
        height=560,
        template="plotly_white",
        legend={"orientation": "h", "y": 1.08},
        margin={"t": 40, "r": 40},
    )
    return figure


if __name__ == "__main__":
    main()

"""Lists of the methods and the named corpora."""

from typing import Any

from kdray.cli.show import table
from kdray.corpora import TASKS, kdray_data
from kdray.methods import METHODS


def method_rows() -> list[dict[str, Any]]:
    """One row per method: name, title, needed signals, access, teachers, source, status."""
    rows: list[dict[str, Any]] = []
    for method in METHODS:
        defaults = method()  # pyright: ignore[reportCallIssue]
        needs = frozenset[str]().union(*(phase.method.needs for phase in defaults.phases(1)))
        most = "∞" if method.max_teachers is None else str(method.max_teachers)
        teachers = most if method.min_teachers == method.max_teachers else f"{method.min_teachers}–{most}"
        rows.append(
            {
                "method": defaults.name,
                "title": method.title,
                "needs": ", ".join(sorted(needs)) or "nothing",
                "assistant": "yes" if defaults.uses_assistant else "no",
                "access": method.access,
                "teachers": teachers,
                "source": method.source,
                "status": method.status,
            }
        )
    return rows


def show_methods(*, quiet: bool) -> Any:
    rows = method_rows()
    if not quiet:
        print(table(rows))
    return rows


def show_corpora(*, quiet: bool) -> Any:
    folder = kdray_data()
    rows = [
        {
            "corpus": name,
            "fields": " + ".join(f"{field.name} ({field.role})" for field in task.fields),
            "classes": len(task.labels),
            "metrics": ", ".join(task.metrics),
            "train rows": task.full_rows.get("train"),
            "here": "in the package" if task.hub is None else _here(folder is not None and (folder / name).is_dir()),
        }
        for name, task in TASKS.items()
    ]
    if not quiet:
        print(table(rows))
    return rows


def _here(is_there: bool) -> str:
    return "KDRAY_DATA" if is_there else "not yet; from the Hugging Face hub"

"""`kdray report STORE`: a page for every sweep and every student, and a list of them."""

import json
from pathlib import Path
from typing import Any

from kdray import report
from kdray.corpora import load_description
from kdray.errors import BadInput
from kdray.store import Artifact, Store

PAGES = "report"


def write_reports(store: str, *, quiet: bool) -> dict[str, Any]:
    """Write `STORE/report/*.html` and its `index.html`.

    Raises:
        BadInput: The store holds no sweep and no student.
    """
    opened = Store(store)
    pages = {f"sweep-{name}.html": _sweep(opened, name) for name in opened.children("sweeps")}
    pages |= {f"run-{a.folder.name}.html": _run(opened, a) for a in opened.artifacts("distil")}
    found = {href: document for href, document in pages.items() if document is not None}
    if not found:
        raise BadInput(f"store {store!r} holds no finished sweep and no student; make one with kdray run.")
    folder = opened.local_path(PAGES)
    for href, document in found.items():
        report.write(document, folder / href)
    index = folder / "index.html"
    report.write_index([report.index_entry(document, href) for href, document in found.items()], index)
    if not quiet:
        print(f"{len(found)} pages; open {index}")
    return {"index": str(index), "pages": sorted(found)}


def _sweep(store: Store, name: str) -> dict[str, Any] | None:
    return store.read_json(f"sweeps/{name}/result.json")


def _run(store: Store, artifact: Artifact) -> dict[str, Any]:
    result = json.loads(artifact.file("result.json").read_text())
    spec = result["spec"]
    info = _corpus(store, spec["corpus"])
    return {
        **result,
        "name": artifact.folder.name,
        "created": artifact.manifest["made"],
        "command": "kdray run RUN.yaml",
        "kdray": result["versions"]["kdray"],
        "corpus": {key: info[key] for key in ("name", "is_sample", "note", "origin", "rows")},
        "student": {"layers": result["cost"]["layers"], **result["cost"]},
        "history": [{**epoch, "select": epoch["score"]} for epoch in result["history"]],
        "settings": spec,
    }


def _corpus(store: Store, ref: dict[str, str]) -> dict[str, Any]:
    found = store.find(ref["stage"], ref["name"], ref["digest"])
    folder: Path | None = found.folder if found else None
    if folder is None:
        raise BadInput(f"store {store.uri!r} no longer holds the corpus {ref['name']} ({ref['digest'][:12]}).")
    return load_description(folder)["info"]

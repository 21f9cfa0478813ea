"""`kdray report STORE`: a page for every sweep, every student and every pruned corpus, and a list of them."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import kdray
from kdray import report
from kdray.corpora import load_description
from kdray.errors import BadInput, KdrayError
from kdray.store import Artifact, Store

log = logging.getLogger(__name__)

PAGES = "report"


def write_reports(store: str, *, quiet: bool) -> dict[str, Any]:
    """Write `STORE/report/*.html` and its `index.html`. What cannot be shown is named, and keeps no other page back.

    Raises:
        BadInput: The store holds nothing that could be shown.
    """
    opened = Store(store)
    pages: dict[str, Callable[[], dict[str, Any] | None]] = {}
    pages |= {f"sweep-{name}.html": partial(_sweep, opened, name) for name in opened.children("sweeps")}
    pages |= {f"run-{a.path.name}.html": partial(_run, opened, a) for a in opened.artifacts("distil")}
    pages |= {f"prune-{a.path.name}.html": partial(_prune, opened, a) for a in opened.artifacts("prune")}
    entries: list[Mapping[str, Any]] = []
    left_out: list[str] = []
    for href, read in pages.items():
        try:
            document = read()
            if document is not None:
                opened.write_bytes(f"{PAGES}/{href}", report.render(document).encode())
                entries.append(report.index_entry(document, href))
        except KdrayError as error:
            left_out.append(f"{href.removesuffix('.html')}: {error}")
    for sentence in left_out:
        log.warning("left out: %s", sentence)
    if not entries:
        what = "no finished sweep, student or pruned corpus"
        raise BadInput(f"store {store!r} holds {what} to show; make one with kdray run.")
    opened.write_bytes(f"{PAGES}/index.html", report.render_index(entries).encode())
    index = opened.uri_of(f"{PAGES}/index.html")
    if not quiet:
        print(f"{len(entries)} pages; open {index}")
    return {"index": index, "pages": sorted(entry["href"] for entry in entries), "left_out": left_out}


def _sweep(store: Store, name: str) -> dict[str, Any] | None:
    return store.read_json(f"sweeps/{name}/result.json")  # None: the sweep has not ended


def _run(store: Store, artifact: Artifact) -> dict[str, Any]:
    result = store.read_json(artifact.place("result.json"))
    spec = result["spec"]
    info = _corpus(store, spec["corpus"])
    return {
        **result,
        "name": artifact.path.name,
        "created": artifact.manifest["made"],
        "command": "kdray run RUN.yaml",
        "kdray": result["versions"]["kdray"],
        "corpus": {key: info[key] for key in ("name", "is_sample", "note", "origin", "rows")},
        "student": {"layers": result["cost"]["layers"], **result["cost"]},
        "history": [{**epoch, "select": epoch["score"]} for epoch in result["history"]],
        "settings": spec,
    }


def _prune(store: Store, artifact: Artifact) -> dict[str, Any]:
    from kdray.stages.prune import record

    info = load_description(artifact.folder)["info"]
    return {
        "kind": "prune",
        "name": artifact.path.name,
        "created": artifact.manifest["made"],
        "command": "kdray prune RUN.yaml",
        "kdray": artifact.manifest.get("kdray", kdray.__version__),
        "corpus": {key: info[key] for key in ("name", "is_sample", "note", "origin", "rows")},
        "prune": record(artifact),
        "seconds": {"total": artifact.manifest["seconds"]},
        "settings": artifact.manifest["settings"],
    }


def _corpus(store: Store, ref: dict[str, str]) -> dict[str, Any]:
    found = store.find(ref["stage"], ref["name"], ref["digest"])
    folder: Path | None = found.folder if found else None
    if folder is None:
        raise BadInput(f"store {store.uri!r} no longer holds the corpus {ref['name']} ({ref['digest'][:12]}).")
    return load_description(folder)["info"]

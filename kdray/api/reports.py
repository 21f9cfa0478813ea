"""A page for every sweep, every student and every pruned corpus of a store, and a list of them."""

import difflib
import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from kdray import report
from kdray.api.stores import existing_store
from kdray.corpora import load_description
from kdray.errors import ConfigError, KdrayError, RunError
from kdray.results import IndexEntry, parse_result
from kdray.store import NAME, Artifact, Store, shown

MOST_NAMES = 10  # in a message

log = logging.getLogger(__name__)

PAGES = report.FOLDER
LONGEST = 200  # characters of a name that is shown as it is
_Read: TypeAlias = Callable[[], "dict[str, Any] | None"]


def write_reports(store: str) -> dict[str, Any]:
    """Write `STORE/report/*.html` and its `index.html`. Failures are listed; the other pages are still written.

    Returns:
        The pages, what was left out, and under `failed` a sentence if anything was.

    Raises:
        ConfigError: The store does not exist, or holds nothing that could be shown.
    """
    opened = existing_store(store)
    entries: list[IndexEntry] = []
    left_out: list[str] = []
    for name, read in _pages(opened).items():
        try:
            if (entry := _written(opened, f"{name}.html", read)) is not None:
                entries.append(entry)
        except KdrayError as error:
            left_out.append(f"{_plain(name)}: {error}")
        except Exception as error:  # one bad document must not stop the others
            left_out.append(f"{_plain(name)}: it cannot be shown ({type(error).__name__}: {_plain(str(error))})")
    for sentence in left_out:
        log.warning("left out: %s", sentence)
    failed = f"{len(left_out)} of {len(left_out) + len(entries)} pages could not be written; they are named above."
    if not entries:
        what = "no finished sweep, student or pruned corpus"
        raise (
            RunError(failed)
            if left_out
            else ConfigError(f"store {store!r} holds {what} to show; make one with kdray run.")
        )
    opened.write_bytes(f"{PAGES}/index.html", report.render_index(entries).encode())
    index = opened.uri_of(f"{PAGES}/index.html")
    pages = sorted(entry.href for entry in entries)
    return {"index": index, "pages": pages, "left_out": left_out} | ({"failed": failed} if left_out else {})


def compare_reports(store: str, one: str, other: str) -> dict[str, Any]:
    """Write `STORE/report/ONE-and-OTHER.html`, two sweeps, comparisons, runs or pruned corpora side by side.

    Args:
        one: The name of a sweep, or of the folder of an artifact; with its kind (`sweep-NAME`) where names are equal.

    Raises:
        ConfigError: The store has nothing of that name.
    """
    if one == other:
        raise ConfigError(f"{one} is named twice; give two results to compare.")
    opened = existing_store(store)
    pages = _pages(opened)
    documents = [_found(pages, name, store) for name in (one, other)]
    where = f"{PAGES}/{one}-and-{other}.html"
    report.write_pair(opened, where, *documents)
    return {"page": opened.uri_of(where)}


def _found(pages: dict[str, _Read], name: str, store: str) -> dict[str, Any]:
    named = [page for page in pages if name in (page, page.partition("-")[2])]
    if len(named) != 1:
        known = [each.partition("-")[2] for each in pages]
        near = named or [each for each in known if each.startswith(name)] or difflib.get_close_matches(name, known, n=3)
        every = (
            f"there are {', '.join(sorted(known)[:MOST_NAMES]) or 'none'}{', ...' if len(known) > MOST_NAMES else '.'}"
        )
        hint = f"did you mean {' or '.join(near[:3])}?" if near else every
        raise ConfigError(f"store {store!r} holds {len(named) or 'no'} results named {_plain(name)}; {hint}")
    document = pages[named[0]]()
    if document is None:
        raise ConfigError(f"sweep {_plain(name)} has not ended, so it has no result yet; continue it with --resume.")
    return document


def _pages(store: Store) -> dict[str, _Read]:
    """How to read the document of every page, by the page's name."""
    pages: dict[str, _Read] = {f"sweep-{name}": partial(_sweep, store, name) for name in store.children("sweeps")}
    run = partial(_run, commands=_commands(store))
    for stage, kind, document in (("distill", "run", run), ("prune", "prune", _prune)):
        for where, found in store.survey(stage):
            pages[f"{kind}-{where.partition('/')[2]}"] = partial(_of_artifact, store, found, document)
    return pages


def _written(store: Store, href: str, read: _Read) -> IndexEntry | None:
    """Write one page; returns its entry of the index, or None if the sweep has not ended."""
    document = read()
    if document is None:
        return None
    entry = report.index_entry(document, href)
    report.render_index([entry])  # fails here, before the index of all pages is rendered
    report.write_page(store, f"{PAGES}/{href}", document)
    return entry


def _plain(text: str) -> str:
    """Text that is safe for one line of a terminal."""
    return text if NAME.fullmatch(text) and len(text) <= LONGEST else shown(text)[1:-1]


def _sweep(store: Store, name: str) -> dict[str, Any] | None:
    result = store.read_json(f"sweeps/{name}/result.json")  # None: the sweep has not ended
    if result is not None and not NAME.fullmatch(name):
        raise ConfigError("its folder cannot name a page: use letters, digits, '.', '_', '+' and '-' only.")
    return result


def _of_artifact(
    store: Store, found: Artifact | KdrayError, document: Callable[[Store, Artifact], dict[str, Any]]
) -> dict[str, Any]:
    if isinstance(found, KdrayError):
        raise found
    return document(store, found)


def _commands(store: Store) -> dict[str, str]:
    """By digest of a student, the command of a sweep or a comparison that trained it."""
    found: dict[str, str] = {}
    for name in store.children("sweeps"):
        try:
            result = parse_result(store.read_json(f"sweeps/{name}/result.json"))
        except (KdrayError, ValueError):  # named where its own page is written
            continue
        students = [digest for each in getattr(result, "confirmation", ()) for digest in each.runs]
        trials = [each.digest for each in getattr(result, "trials", ()) if each.digest]
        found |= dict.fromkeys([*students, *trials], result.command)
    return found


def _teacher(store: Store, plain: dict[str, Any], metric: str) -> dict[str, Any]:
    from kdray.distillation import TeacherRef
    from kdray.experiments.documents import teacher_record

    try:
        return teacher_record(TeacherRef.model_validate(plain), store, metric)
    except (KdrayError, ValueError):  # a student may outlive its teacher in the store
        return {"name": plain["info"]["name"]}


def _run(store: Store, artifact: Artifact, commands: dict[str, str]) -> dict[str, Any]:
    result = json.loads(store.read_file(artifact, "result.json"))
    spec, seconds, cost = result["spec"], dict(result["seconds"]), dict(result["cost"])
    lengths = {
        "tokens of the timed row": cost.pop("tokens", None),
        "max_length": spec.get("train", {}).get("max_length"),
    }
    info = _corpus(store, spec["corpus"])
    return {
        **result,
        "name": artifact.path.name,
        "created": artifact.manifest["made"],
        "command": commands.get(artifact.digest, "not recorded (such as kdray run RUN.yaml)"),
        "kdray": result["versions"]["kdray"],
        "corpus": {key: info[key] for key in ("name", "is_sample", "note", "origin", "rows")},
        "student": cost | {name: length for name, length in lengths.items() if length is not None},
        "teachers": [_teacher(store, each, result["metric"]) for each in spec.get("teachers", [])],
        "seconds": {"total": seconds.pop("total"), "by_phase": seconds},
        "history": [{**epoch, "validation": epoch["score"]} for epoch in result["history"]],
        "settings": spec,
    }


def _prune(store: Store, artifact: Artifact) -> dict[str, Any]:
    from kdray.stages.prune import record

    del store
    info = load_description(artifact.folder)["info"]
    return {
        "kind": "prune",
        "name": artifact.path.name,
        "created": artifact.manifest["made"],
        "command": "kdray prune RUN.yaml",
        "kdray": artifact.manifest["kdray"],
        "corpus": {key: info[key] for key in ("name", "is_sample", "note", "origin", "rows")},
        "prune": record(artifact),
        "seconds": {"total": artifact.manifest["seconds"]},
        "settings": artifact.manifest["settings"],
    }


def _corpus(store: Store, ref: dict[str, str]) -> dict[str, Any]:
    found = store.find(ref["stage"], ref["name"], ref["digest"])
    folder: Path | None = found.folder if found else None
    if folder is None:
        raise ConfigError(f"store {store.given!r} no longer holds the corpus {ref['name']} ({ref['digest'][:12]}).")
    return load_description(folder)["info"]

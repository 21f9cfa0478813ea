"""What a store holds, what in it is damaged, and what in it is left over from commands that have ended."""

import re
import time
from calendar import timegm
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from kdray.errors import KdrayError
from kdray.store.artifact import Artifact
from kdray.store.checksum import strip_checksum
from kdray.store.drafts import drafts_of, remove_if_dead
from kdray.store.manifest import MANIFEST, SHORT, damage
from kdray.store.paths import NAME, fault_of_path, shown
from kdray.store.store import MARK, OWN, Store

HOUR = 3600.0
AGE_HOURS, AGE_HOURS_OF_BUCKETS = 24.0, 168.0  # nothing locks a bucket, so there only age is evidence
_DIGEST = re.compile(r'"([0-9a-f]{64})"')
_OF_DIGEST = re.compile(rf".+-([0-9a-f]{{{SHORT}}})")
_OF_WORK = re.compile(f"[0-9a-f]{{{SHORT}}}")
_TEMPORARY = re.compile(r".+\.[0-9a-f]{8}\.tmp")
_OF_SWEEP = re.compile(r"(.+)-\d{9,}")
_OF_RAY = re.compile(r".+-([0-9a-f]{6}|\d{9,})")  # of a training, of a sweep


@dataclass(frozen=True)
class Listed:
    """One artifact; `used_by` names artifacts and sweeps that were made from it."""

    artifact: Artifact
    bytes: int
    age_hours: float
    used_by: tuple[str, ...]


@dataclass(frozen=True)
class Leftover:
    """Something that no command needs any more, with the reason."""

    where: str
    kind: str
    bytes: int
    reason: str


def listing(store: Store) -> tuple[list[Listed], list[str]]:
    """All artifacts by stage and name, and a sentence for every manifest that cannot be used."""
    found = [each for stage in store.stages() for _, each in store.survey(stage)]
    artifacts = [each for each in found if isinstance(each, Artifact)]
    users: dict[str, set[str]] = {}
    for artifact in artifacts:
        for value in artifact.manifest["inputs"].values():
            users.setdefault(value.partition("/")[0], set()).add(artifact.where)
    for sweep in store.children("sweeps"):
        for digest in _digests_of_sweep(store, sweep):
            users.setdefault(digest, set()).add(f"sweeps/{sweep}")
    now = time.time()
    rows = [
        Listed(
            artifact,
            sum(record["bytes"] for record in artifact.manifest["files"].values()),
            (now - timegm(time.strptime(artifact.manifest["made"], "%Y-%m-%dT%H:%M:%SZ"))) / HOUR,
            tuple(sorted(users.get(artifact.digest, ()))),
        )
        for artifact in artifacts
    ]
    return rows, [str(each) for each in found if isinstance(each, KdrayError)]


def usage(store: Store) -> dict[str, int]:
    """Bytes by folder of the store: its stages, drafts, work, Ray's logs, sweeps, and what lies elsewhere in it."""
    total: dict[str, int] = {}
    for entry in store.walk(""):
        top, below, _ = entry.where.partition("/")
        area = top if top == MARK or (below and (NAME.fullmatch(top) or top in OWN)) else "other"
        total[area] = total.get(area, 0) + entry.bytes
    return dict(sorted(total.items()))


def verify(store: Store) -> Iterator[str]:
    """A sentence for everything damaged: every file of every artifact and of the work in progress is hashed again."""
    for stage in store.stages():
        for where, found in store.survey(stage):
            if isinstance(found, KdrayError):
                yield str(found)
                continue
            ignored = frozenset[str]() if found.manifest.get("folder") else frozenset({MANIFEST})
            for name, why in damage(store, found.place(), found.manifest["files"], ignored=ignored):
                yield f"{store.uri_of(where)}: {shown(name)[1:-1]}: {why}; remove this folder to make it again."
    for name in store.children("work"):
        try:
            yield from _verify_work(store, name)
        except KdrayError as error:
            yield str(error)
    for sweep in store.children("sweeps"):
        try:
            store.read_json(f"sweeps/{sweep}/result.json")
        except KdrayError as error:
            yield str(error)


def _verify_work(store: Store, name: str) -> Iterator[str]:
    if not _OF_WORK.fullmatch(name):
        return
    work = store.work(name)
    yield from (f"{store.uri_of(folder)}: it is not what was written there." for folder in work.damaged())
    for entry in store.walk(work.where):
        file = entry.where.rpartition("/")[2]
        if file.endswith(".arrow") and (entry.is_odd or strip_checksum(file, store.read_bytes(entry.where)) is None):
            yield f"{store.uri_of(entry.where)}: it is not what was written there; it will be made again."


def collect(store: Store, *, older_than: float | None = None, delete: bool = False) -> list[Leftover]:
    """What is left over; with `delete` it is removed.

    Artifacts that have a manifest are never left over, nor is anything whose lock is held. Everything is checked and
    removed under the lock of its digest.

    Args:
        older_than: Hours without a change after which work, drafts of other machines, Ray's logs and, in a bucket,
            files without a manifest count as abandoned; by default a day, and a week in a bucket.
    """
    hours = older_than if older_than is not None else AGE_HOURS if store.is_local else AGE_HOURS_OF_BUCKETS
    found = [*_drafts(store, hours, delete)]
    for where, kind, reason, digest in [*_unpublished(store, hours), *_work(store, hours), *_logs(store, hours)]:
        found += _removed(store, where, kind, reason, digest, delete)
    found += [each for entry in _temporary(store, hours) for each in _removed(store, *entry, "none", delete)]
    return found


def _removed(store: Store, where: str, kind: str, reason: str, digest: str, delete: bool) -> Iterator[Leftover]:
    with store.idle(digest) as idle:
        published = kind == "unpublished" and store.is_local and store.exists(f"{where}/{MANIFEST}")
        if not idle or published:
            return
        size = sum(entry.bytes for entry in store.walk(where))
        if delete:
            store.remove(where)
        yield Leftover(where, kind, size, reason)


def _drafts(store: Store, hours: float, delete: bool) -> Iterator[Leftover]:
    for draft in drafts_of(store):
        size = sum(path.lstat().st_size for path in draft.place.rglob("*") if path.is_file() and not path.is_symlink())
        reason = remove_if_dead(store, draft, older_than=hours * HOUR, delete=delete)
        if reason:
            yield Leftover(f"drafts/{draft.place.name}", "draft", size, reason)


def _unpublished(store: Store, hours: float) -> Iterator[tuple[str, str, str, str]]:
    """Files of artifacts without a manifest: their command was killed while it published."""
    for stage in store.stages():
        for name in store.children(stage):
            where, of_digest = f"{stage}/{name}", _OF_DIGEST.fullmatch(name)
            if of_digest is None or not NAME.fullmatch(name) or _is_link(store, where):
                continue
            has_manifest = store.exists(f"{where}/{MANIFEST}")
            if store.is_local:
                if not has_manifest:
                    yield where, "unpublished", "it has no manifest, and no command makes it", of_digest[1]
                continue
            kept = _published_folder(store, where) if has_manifest else ""
            if kept is None:
                continue  # a manifest that cannot be used: `verify` names it, and nothing is removed
            for inner in store.children(where):
                if re.fullmatch("[0-9a-f]{8}", inner) and inner != kept and _age(store, f"{where}/{inner}") > hours:
                    yield f"{where}/{inner}", "unpublished", "no manifest names it", of_digest[1]


def _published_folder(store: Store, where: str) -> str | None:
    stage = where.partition("/")[0]
    for place, found in store.survey(stage):
        if place == where and isinstance(found, Artifact):
            return found.manifest.get("folder")
    return None


def _work(store: Store, hours: float) -> Iterator[tuple[str, str, str, str]]:
    """Checkpoints and partial results of what is finished, or was left alone for long."""
    finished = {found.digest[:SHORT] for stage in store.stages() for found in store.artifacts(stage)}
    for name in store.children("work"):
        where = f"work/{name}"
        if not _OF_WORK.fullmatch(name) or _is_link(store, where):
            continue
        if name in finished:
            yield where, "work", "its artifact is finished", name
        elif (age := _age(store, where)) > hours:
            yield where, "work", f"it was stopped {age:.0f} hours ago", name


def _logs(store: Store, hours: float) -> Iterator[tuple[str, str, str, str]]:
    """Ray's folders of runs that have ended. While any lock is held, none counts as ended."""
    with ExitStack() as stack:
        locks = [name.removesuffix(".lock") for name in store.children("locks")]
        if not all(stack.enter_context(store.idle(digest)) for digest in locks):
            return
    for name in store.children("ray"):
        where, of_sweep = f"ray/{name}", _OF_SWEEP.fullmatch(name)
        if not _OF_RAY.fullmatch(name) or fault_of_path(where) or _is_link(store, where):
            continue
        sweep = f"sweeps/{of_sweep[1]}" if of_sweep else ""
        if sweep and store.exists(sweep) and not store.exists(f"{sweep}/result.json"):
            continue  # of a sweep that may be resumed
        if (age := _age(store, where)) > hours:
            yield where, "ray", f"its run ended {age:.0f} hours ago", "none"


def _temporary(store: Store, hours: float) -> Iterator[tuple[str, str, str]]:
    now = time.time()
    for entry in store.walk(""):
        top, _, name = entry.where.partition("/")
        is_ours = top in OWN - {"ray", "drafts", "locks"} or (NAME.fullmatch(top) is not None and top not in OWN)
        if is_ours and _TEMPORARY.fullmatch(name) and (now - entry.changed) / HOUR > hours:
            yield entry.where, "temporary", "its write was killed"


def _is_link(store: Store, where: str) -> bool:
    return store.is_local and (store.local_path(where.rpartition("/")[0]) / where.rpartition("/")[2]).is_symlink()


def _age(store: Store, where: str) -> float:
    """Hours since the last change of a file below it; of an empty folder on a disk, since its own."""
    changes = [entry.changed for entry in store.walk(where)]
    if store.is_local:
        changes.append(store.local_path(where).stat().st_mtime)
    return (time.time() - max(changes)) / HOUR if changes else 0.0


def _digests_of_sweep(store: Store, sweep: str) -> set[str]:
    """Every digest that the result of a sweep or a comparison names."""
    try:
        return set(_DIGEST.findall(store.read_bytes(f"sweeps/{sweep}/result.json").decode(errors="replace")))
    except (OSError, KdrayError):
        return set()


def plain(listed: Listed) -> dict[str, Any]:
    """For a table or JSON."""
    artifact = listed.artifact
    return {
        "stage": artifact.stage,
        "name": artifact.name,
        "digest": artifact.digest,
        "bytes": listed.bytes,
        "age_hours": round(listed.age_hours, 2),
        "used_by": list(listed.used_by),
    }

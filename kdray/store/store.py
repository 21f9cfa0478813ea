"""A store is a `pyarrow.fs` URI: a folder by default, `s3://`, `gs://` or a mounted share on a cluster.

Layout: `<stage>/<name>-<digest12>/{files..., manifest.json}` for artifacts, `work/<digest12>/` for the checkpoints of
what is still being made, and `kdray-store.json`, which marks a store. `manifest.json` is written
last; without it the artifact does not exist. Nothing can lock a bucket, so there each process that makes an artifact
puts its files into a folder of its own, which the manifest names.
"""

import json
import logging
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import filelock

import kdray
from kdray.errors import ConfigError, KdrayError, RunError
from kdray.store.artifact import Artifact, Draft
from kdray.store.checksum import with_checksum
from kdray.store.digest import digest_of, file_sha256
from kdray.store.drafts import clear_dead, drafts_folder, new_draft
from kdray.store.files import Files, sync
from kdray.store.manifest import MANIFEST, SHORT, FileRecord, Manifest, checked_manifest
from kdray.store.paths import NAME
from kdray.store.work import WorkFolder

log = logging.getLogger(__name__)

LONGEST_NAME = 200  # characters; a folder's name has the digest too
MARK = "kdray-store.json"  # in every store, from the first artifact that is made in it
OWN = frozenset({MARK, "drafts", "locks", "ray", "report", "sweeps", "work"})  # of a store, and no stages


class Store(Files):
    """Artifacts by stage, name and digest. Safe for several processes at once; on a local disk each is made once."""

    def folder_name(self, stage: str, name: str, digest: str) -> str:
        for part in (stage, name):
            if not NAME.fullmatch(part) or len(part) > LONGEST_NAME:
                raise ConfigError(
                    f"{part!r} cannot name an artifact: use letters, digits, '.', '_', '+' and '-' only, "
                    f"at most {LONGEST_NAME} of them."
                )
        return f"{stage}/{name}-{digest[:SHORT]}"

    def find(self, stage: str, name: str, digest: str) -> Artifact | None:
        """The artifact if it is whole, else None.

        Raises:
            RunError: It has a manifest that cannot be used, or the manifest of another digest.
        """
        artifact = self._in_folder(self.folder_name(stage, name, digest))
        if artifact is not None and artifact.digest != digest:
            raise RunError(
                f"{self.uri_of(artifact.where)}: its manifest holds digest {artifact.digest}, expected {digest}."
            )
        return artifact

    def make(
        self,
        stage: str,
        name: str,
        *,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        build: Callable[[Draft], Mapping[str, Any]],
    ) -> tuple[Artifact, bool]:
        """The artifact of these settings and inputs, made by `build` if it is missing.

        `build` writes files into the draft and returns the summary for the manifest.

        Returns:
            The artifact, and whether it was there already.
        """
        digest = digest_of(stage, settings=settings, inputs=inputs)
        found = self.find(stage, name, digest)
        if found is not None:
            return found, True
        clear_dead(self)  # before the lock is taken, which the dead one of this artifact may have held
        with self.lock(digest):
            found = self.find(stage, name, digest)  # another process may have made it while we waited
            if found is not None:
                return found, True
            manifest = {"stage": stage, "name": name, "digest": digest, "settings": settings, "inputs": inputs}
            try:
                self._build(self.folder_name(stage, name, digest), manifest, build)
            except RunError:
                found = self.find(stage, name, digest)
                if found is None:
                    raise
                return found, True  # on an object store another process was sooner, and cleared the work of both
        made = self.find(stage, name, digest)
        assert made is not None
        return made, False

    def is_store(self) -> bool:
        """Whether an artifact was ever made in this folder; stores of earlier versions have no mark, but manifests."""
        if self.exists(MARK):
            return True
        with suppress(OSError):  # of folders that may not be read
            return any(isinstance(found, Artifact) for stage in self.stages() for _, found in self.survey(stage))
        return False

    def stages(self) -> list[str]:
        """The folders of a store that may hold artifacts."""
        return [name for name in self.children("") if NAME.fullmatch(name) and name not in OWN]

    def survey(self, stage: str) -> Generator[tuple[str, Artifact | KdrayError]]:
        """Every folder of a stage that has a manifest, with its artifact, or with the reason why it cannot be used."""
        for name in self.children(stage):
            where = f"{stage}/{name}"
            try:
                artifact = self._in_folder(where)
            except KdrayError as error:
                yield where, error
            else:
                if artifact is not None:
                    yield where, artifact

    def artifacts(self, stage: str) -> list[Artifact]:
        """All whole artifacts of a stage, by name. Manifests that cannot be used are named in warnings."""
        found: list[Artifact] = []
        for _, artifact in self.survey(stage):
            if isinstance(artifact, Artifact):
                found.append(artifact)
            else:
                log.warning("left out: %s", artifact)
        return found

    def read_file(self, artifact: Artifact, name: str) -> bytes:
        """One file of an artifact, compared with what was written, without the others.

        Raises:
            RunError: It is missing, or its contents have changed.
        """
        place, record = artifact.place(name), artifact.manifest["files"].get(name)
        try:
            content = self.read_bytes(place)
        except FileNotFoundError:
            content = None
        if content is None or record is None or sha256(content).hexdigest() != record["sha256"]:
            where = self.uri_of(artifact.where)
            raise RunError(f"{self.uri_of(place)} is not what was written there; remove {where} to make it again.")
        return content

    def work(self, digest: str) -> WorkFolder:
        """The folder for checkpoints of the artifact with this digest, until it is whole."""
        return WorkFolder(self, f"work/{digest[:SHORT]}")

    @contextmanager
    def lock(self, digest: str) -> Generator[None]:
        """Held by one process at a time on a local or shared disk; a no-op on object stores, where the first that
        publishes wins."""
        if not self.is_local:
            yield
            return
        self.make_folder("locks")
        with filelock.FileLock(self.local_path(f"locks/{digest[:SHORT]}.lock")):
            yield

    @contextmanager
    def idle(self, digest: str) -> Generator[bool]:
        """Whether no process holds the lock of this digest; meanwhile none can take it. In a bucket always true."""
        where = f"locks/{digest[:SHORT]}.lock"
        if not self.is_local or not self.exists(where):
            yield True
            return
        lock = filelock.FileLock(self.local_path(where))
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _in_folder(self, where: str) -> Artifact | None:
        found = self.read_json(f"{where}/{MANIFEST}")
        if found is None:
            return None
        try:
            manifest = checked_manifest(found, where)
        except RunError as fault:
            address = self.uri_of(f"{where}/{MANIFEST}")
            raise RunError(f"{address} cannot be used: {fault}; remove its folder to make it again.") from None
        path = Path(self._root) / where if self.is_local else self._mirror(where, manifest)
        fetch = partial(self._fetch, where, manifest, path)
        return Artifact(manifest["stage"], manifest["name"], manifest["digest"], path, where, manifest, fetch)

    def _build(self, where: str, manifest: dict[str, Any], build: Callable[[Draft], Mapping[str, Any]]) -> None:
        start = time.time()
        if not self.exists(MARK):
            self.write_json(MARK, {"layout": 1})
        draft = new_draft(drafts_folder(self), where, manifest["digest"])
        try:
            summary = build(Draft(draft.folder))
            manifest |= {
                "summary": dict(summary),
                "seconds": max(0.0, time.time() - start),
                "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "host": socket.gethostname(),
                "kdray": kdray.__version__,
                "files": _contents(draft.folder),
            }
            self._publish(draft.folder, where, manifest)
        except OSError as error:
            raise RunError(f"{self.uri_of(where)} could not be made: {error.strerror or error}.") from error
        finally:
            shutil.rmtree(draft.place, ignore_errors=True)

    def _publish(self, folder: Path, where: str, manifest: dict[str, Any]) -> None:
        if not self.is_local:
            manifest["folder"] = uuid.uuid4().hex[:8]
        try:
            # what could not be read again is not written: a summary with a NaN, files of odd names, or none at all
            whole = checked_manifest(json.loads(json.dumps(with_checksum(manifest))), where)
        except (ValueError, RunError) as error:
            raise RunError(
                f"{self.uri_of(where)} could not be made: its manifest cannot be written ({error})."
            ) from None
        if self.is_local:
            self.remove(where)  # left behind by a killed run: it has no manifest
            sync(folder)
            folder.rename(_with_parent(self.local_path(where)))
        else:
            if not self.exists(f"{where}/{MANIFEST}"):
                self.copy_in(folder, f"{where}/{manifest['folder']}")
            if self.exists(f"{where}/{MANIFEST}"):  # another process was sooner, and others may read what it published
                self.remove(f"{where}/{manifest['folder']}")
                return
        self.write_json(f"{where}/{MANIFEST}", whole)

    def _mirror(self, where: str, manifest: Manifest) -> Path:
        copies = Path(tempfile.gettempdir()) / "kdray-mirror" / sha256(self.uri.encode()).hexdigest()[:SHORT]
        return copies / manifest.get("folder", "") / where

    def _fetch(self, where: str, manifest: Manifest, mirror: Path) -> None:
        if self.is_local:
            return
        with filelock.FileLock(f"{_with_parent(mirror)}.lock"):
            if not (mirror / MANIFEST).exists():
                partial_copy = mirror.with_name(mirror.name + ".partial")
                shutil.rmtree(partial_copy, ignore_errors=True)
                partial_copy.mkdir(parents=True)
                self.copy_out(f"{where}/{manifest.get('folder', '')}".rstrip("/"), manifest["files"], partial_copy)
                (partial_copy / MANIFEST).write_text(json.dumps(manifest))
                partial_copy.rename(mirror)


def _with_parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _contents(folder: Path) -> dict[str, FileRecord]:
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: {"bytes": file.stat().st_size, "sha256": file_sha256(file)} for name, file in files.items()}

"""What may be wrong with a manifest, which is written with the right checksum: its content alone is wrong."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

from kdray.store import Artifact, Draft, Store, with_checksum

Change = Callable[[dict[str, Any]], Any]
OTHER = "0" * 64


def build(draft: Draft) -> dict[str, Any]:
    draft.file("data.txt").write_text("data")
    draft.file("inner").mkdir()
    draft.file("inner/more.txt").write_text("more")
    return {"rows": 7}


def made(store: Store) -> Artifact:
    return store.make("teach", "t", settings={"a": 1}, inputs={}, build=build)[0]


def _file(name: str) -> Change:
    """A further file of that name, as a manifest would record it."""
    return lambda manifest: manifest | {"files": manifest["files"] | {name: manifest["files"]["data.txt"]}}


def _keys(**changes: Any) -> Change:
    return lambda manifest: manifest | changes


# Every sentence names the manifest; this is what it says of it.
MANIFESTS: dict[str, tuple[Change, str]] = {
    "folder above": (_keys(folder="../.."), "folder: "),
    "folder absolute": (_keys(folder="/tmp"), "folder: "),
    "folder is a number": (_keys(folder=7), "folder: "),
    "file above": (_file("../../escaped"), "it holds '..'"),
    "file above in the middle": (_file("inner/../../../escaped"), "it holds '..'"),
    "file absolute": (_file("/tmp/escaped"), "it is absolute"),
    "file with backslashes": (_file("..\\..\\escaped"), "it holds a backslash"),
    "file with NUL": (_file("data\0.txt"), "it holds a control character"),
    "file with a line feed": (_file("data\n.txt"), "it holds a control character"),
    "file without a name": (_file(""), "it holds an empty name or '.'"),
    "file named .": (_file("inner/."), "it holds an empty name or '.'"),
    "file with a doubled slash": (_file("inner//more.txt"), "it holds an empty name or '.'"),
    "file of a long name": (_file("x" * 300), "it is longer than 255 bytes"),
    "file of a long path": (_file("/".join(["x" * 200] * 6)), "or 1024 in all"),
    "file that is no UTF-8": (_file("\ud800"), "files"),
    "file that is the manifest": (_file("manifest.json"), "it is the manifest itself"),
    "no files": (_keys(files={}), "files: "),
    "files are a list": (_keys(files=["data.txt"]), "files: "),
    "files without hashes": (_keys(files={"data.txt": 4}), "files.data.txt: "),
    "negative size": (_keys(files={"data.txt": {"bytes": -1, "sha256": OTHER}}), "files.data.txt.bytes: "),
    "files missing": (lambda m: {key: value for key, value in m.items() if key != "files"}, "files: "),
    "name above": (_keys(name="../../escaped"), "name: "),
    "stage above": (_keys(stage=".."), "stage: "),
    "another stage": (_keys(stage="distill"), "it describes distill/t-"),
    "another digest": (_keys(digest=OTHER), "it describes teach/t-000000000000"),
    "digest is a path": (_keys(digest="../../escaped"), "digest: "),
    "other settings": (_keys(settings={"a": 2}), "its digest is not that of its settings and inputs"),
    "other inputs": (_keys(inputs={"corpus": OTHER}), "its digest is not that of its settings and inputs"),
    "inputs are numbers": (_keys(inputs={"corpus": 1}), "inputs.corpus: "),
    "summary is a list": (_keys(summary=[1]), "summary: "),
    "seconds are negative": (_keys(seconds=-1.0), "seconds: "),
    "made at a script": (_keys(made="<script>alert(1)</script>"), "made: "),
    "a further key": (_keys(command="rm -rf /"), "command: "),
    "a list": (lambda m: [m], "dictionary"),
    "null": (lambda m: "null", "dictionary"),
}
TEXTS: dict[str, tuple[str, str]] = {
    "half": ('{"digest": ', "is not valid JSON"),
    "nothing": ("", "is not valid JSON"),
    "deep": ("[" * 200_000, "is not valid JSON"),
    "a long number": ('{"digest": ' + "9" * 5000 + "}", "is not valid JSON"),
    "no UTF-8": ("\udcff", "is not valid JSON"),
}


def write_manifest(store: Store, where: str, changed: Any) -> None:
    """As a hostile writer would, with the right checksum."""
    if isinstance(changed, dict):
        with contextlib.suppress(UnicodeEncodeError):  # what UTF-8 lacks has no checksum
            changed = with_checksum(changed)
    store.write_bytes(f"{where}/manifest.json", json.dumps(changed).encode())

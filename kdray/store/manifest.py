"""Manifests: what the `manifest.json` of an artifact holds, and checks of it."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NotRequired, cast

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

# Before Python 3.12 pydantic reads only this TypedDict; pydantic itself requires the package.
from typing_extensions import TypedDict

from kdray.errors import RunError
from kdray.store.checksum import has_right_checksum
from kdray.store.digest import digest_of
from kdray.store.files import Entry, Files
from kdray.store.paths import NAME, fault_of_path, shown

MANIFEST = "manifest.json"
SHORT = 12  # characters of the digest in a folder's name; the whole digest is in the manifest


def _below(path: str) -> str:
    fault = "it is the manifest itself" if path == MANIFEST else fault_of_path(path)
    if fault:
        raise ValueError(f"the file name {shown(path)} is refused: {fault}")
    return path


Name = Annotated[str, Field(pattern=rf"^{NAME.pattern}\z", max_length=200)]
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]


class FileRecord(TypedDict):
    """What one file of an artifact or a checkpoint must be."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # pyright: ignore[reportGeneralTypeIssues]

    bytes: Annotated[int, Field(ge=0)]
    sha256: Hex


FileRecords = Annotated[dict[Annotated[str, AfterValidator(_below)], FileRecord], Field(min_length=1)]


class Manifest(TypedDict):
    """`seal` is the checksum of all other keys; `folder` is set in a bucket, where each process has its own folder."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # pyright: ignore[reportGeneralTypeIssues]

    stage: Name
    name: Name
    digest: Hex
    settings: dict[str, Any]
    inputs: dict[str, str]
    summary: dict[str, Any]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    made: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z")]
    host: str
    kdray: str
    files: FileRecords
    folder: NotRequired[Annotated[str, Field(pattern=r"^[0-9a-f]{8}\z")]]
    seal: Hex


_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)
_RECORDS: TypeAdapter[dict[str, FileRecord]] = TypeAdapter(FileRecords)


def checked_manifest(found: object, folder: str) -> Manifest:
    """A manifest that was read, if it is whole and belongs into this folder.

    Args:
        folder: `<stage>/<name>-<digest12>`, where it was found.

    Raises:
        RunError: It is damaged, or of another form, or names files out of its folder; only the fault is named.
    """
    try:
        manifest = _MANIFEST.validate_python(found)
    except ValidationError as error:
        raise RunError(_first_fault(error)) from None
    if not has_right_checksum(manifest):
        raise RunError("its checksum does not match its contents, which were damaged or changed")
    belongs = f"{manifest['stage']}/{manifest['name']}-{manifest['digest'][:SHORT]}"
    if belongs != folder:
        raise RunError(f"it describes {belongs}")
    if digest_of(manifest["stage"], settings=manifest["settings"], inputs=manifest["inputs"]) != manifest["digest"]:
        raise RunError("its digest is not that of its settings and inputs")
    return manifest


def checked_records(found: object) -> dict[str, FileRecord] | None:
    """The records of files in a document with a checksum; None if it is damaged or of another form."""
    if not has_right_checksum(found):
        return None
    try:
        return _RECORDS.validate_python(cast("dict[str, Any]", found).get("files"))
    except ValidationError:
        return None


def damage(
    files: Files, where: str, records: Mapping[str, FileRecord], *, ignored: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """Every file below `where` that differs from its record, with the reason.

    Args:
        ignored: Names directly below `where` that may be there without a record.
    """
    start = len(where) + 1 if where else 0
    there: dict[str, Entry] = {entry.where[start:]: entry for entry in files.walk(where)}
    for name, record in records.items():
        entry = there.pop(name, None)
        if entry is None:
            yield name, "it is missing"
        elif entry.is_odd:
            yield name, "it is a link or a device"
        elif entry.bytes != record["bytes"] or files.sha256(entry.where) != record["sha256"]:
            yield name, "its contents have changed"
    yield from ((name, "it was not made with the others") for name in there if name not in ignored)


def _first_fault(error: ValidationError) -> str:
    """With its key, on one line of sane length."""
    first = error.errors()[0]
    keys = ".".join(shown(str(key)).strip("'") for key in first["loc"] if key != "[key]")
    return f"{keys}: {first['msg']}" if keys else first["msg"]

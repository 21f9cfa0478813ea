"""`kdray store ls|du|gc|verify`: list, measure, clean and verify a store."""

from dataclasses import asdict
from typing import Any

from kdray.cli.show import table
from kdray.errors import ConfigError
from kdray.store import Store
from kdray.store.collect import Leftover, collect, listing, plain, usage, verify
from kdray.store.manifest import SHORT
from kdray.store.store import MARK


def opened(uri: str) -> Store:
    """A store that is there.

    Raises:
        ConfigError: It is not, or the folder is no store.
    """
    store = Store(uri)
    if not store.exists(""):
        raise ConfigError(f"store {uri!r} does not exist; give the folder or URI that kdray run used.")
    if not store.is_store():
        raise ConfigError(
            f"{uri!r} is no store: it has neither {MARK} nor an artifact with a whole manifest; give the folder or URI "
            "that kdray run used."
        )
    return store


def show_listing(store: str, *, quiet: bool) -> dict[str, Any]:
    listed, faults = listing(opened(store))
    rows = [plain(each) for each in listed]
    if not quiet and rows:
        print(table([{**row, **_short(row)} for row in rows]))
    document: dict[str, Any] = {"artifacts": rows, "faults": faults}
    if faults:
        document["failed"] = " ".join(faults)
    return document


def show_usage(store: str, *, quiet: bool) -> dict[str, Any]:
    total = usage(opened(store))
    if not quiet:
        rows = [*total.items(), ("total", sum(total.values()))]
        print(table([{"folder": folder, "bytes": size} for folder, size in rows]))
    return {"bytes": total, "total": sum(total.values())}


def show_verification(store: str, *, quiet: bool) -> dict[str, Any]:
    damaged = list(verify(opened(store)))
    for sentence in () if quiet else damaged:
        print(sentence)
    if not damaged:
        if not quiet:
            print("all files match their digests")
        return {"damaged": []}
    return {
        "damaged": damaged,
        "failed": f"{len(damaged)} items in store {store!r} are damaged; they are listed above.",
    }


def show_leftovers(store: str, *, delete: bool, older_than: float | None, quiet: bool) -> dict[str, Any]:
    """List what is left over, or remove it.

    Raises:
        ConfigError: The age is negative or no number.
    """
    if older_than is not None and not 0 <= older_than < 1e6:
        raise ConfigError(f"--older-than {older_than:g}: give hours, 0 or more.")
    found = collect(opened(store), older_than=older_than, delete=delete)
    size = sum(each.bytes for each in found)
    if not quiet:
        if found:
            print(table([_row(each) for each in found]))
        done = "removed" if delete else "could be removed with --delete"
        print(f"{len(found)} leftovers, {size:,} bytes, {done}" if found else "nothing is left over")
    return {"leftovers": [asdict(each) for each in found], "bytes": size, "deleted": delete}


def _row(leftover: Leftover) -> dict[str, Any]:
    return {"kind": leftover.kind, "where": leftover.where, "bytes": leftover.bytes, "reason": leftover.reason}


def _short(row: dict[str, Any]) -> dict[str, Any]:
    users: list[str] = row["used_by"]
    more = f" and {len(users) - 2} more" if len(users) > 2 else ""
    return {"digest": row["digest"][:SHORT], "used_by": ", ".join(users[:2]) + more or "nothing"}

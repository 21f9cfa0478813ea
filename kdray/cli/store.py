"""`kdray store ls|du|gc|verify`: list, measure, clean and verify a store."""

from dataclasses import asdict
from typing import Any

from kdray.api.stores import clean_store, list_artifacts, measure_store, verify_store
from kdray.cli.show import table
from kdray.errors import listed
from kdray.store.collect import Leftover
from kdray.store.manifest import SHORT


def show_listing(store: str, *, quiet: bool) -> dict[str, Any]:
    document = list_artifacts(store)
    if not quiet and document["artifacts"]:
        print(table([_shown(row) for row in document["artifacts"]]))
    if document["faults"]:
        document["failed"] = " ".join(document["faults"])
    return document


def show_usage(store: str, *, quiet: bool) -> dict[str, Any]:
    total = measure_store(store)
    if not quiet:
        rows = [*total.items(), ("total", sum(total.values()))]
        print(table([{"folder": folder, "bytes": size} for folder, size in rows]))
    return {"bytes": total, "total": sum(total.values())}


def show_verification(store: str, *, quiet: bool) -> dict[str, Any]:
    damaged = list(verify_store(store))
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
    """List what is left over, or remove it."""
    found = clean_store(store, delete=delete, older_than=older_than)
    size = sum(each.bytes for each in found)
    if not quiet:
        if found:
            print(table([_row(each) for each in found]))
        done = "removed" if delete else "could be removed with --delete"
        print(f"{len(found)} leftovers, {size:,} bytes, {done}" if found else "nothing is left over")
    return {"leftovers": [asdict(each) for each in found], "bytes": size, "deleted": delete}


def _row(leftover: Leftover) -> dict[str, Any]:
    return {"kind": leftover.kind, "where": leftover.where, "bytes": leftover.bytes, "reason": leftover.reason}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    users: list[str] = row["used_by"]
    return {
        "stage": row["stage"],
        "name": row["name"],
        "digest": row["digest"][:SHORT],
        "size": f"{row['bytes'] / 1e6:,.1f} MB" if row["bytes"] >= 1e6 else f"{row['bytes'] / 1e3:.1f} kB",
        "age": f"{row['age_hours']:,.1f} h",
        "used by": listed(users[:2], len(users)) or "no artifact or result",
    }

"""`kdray export`: a bundle of a student that agrees with it."""

import json
from pathlib import Path
from typing import Any

from kdray.cli.show import table


def export_student(
    student: str, *, format: Any, out: Path, rows: Path | None, tolerance: float, reduce_range: bool, quiet: bool
) -> dict[str, Any]:
    """Write a bundle; prints what the comparison with the model gave unless `quiet`."""
    from kdray.api.models import Student

    reduced = True if reduce_range else None  # None: where this processor needs it
    folder = Student.load(student).export(out, format=format, data=rows, tolerance=tolerance, reduce_range=reduced)
    about = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    if not quiet:
        if about["int8"]:
            print(table([{**each, "fault": each["fault"] or "kept"} for each in about["int8"]["tried"]]), end="\n\n")
        print(table([{"format": about["format"], **about["proof"]}]))
        print(f"\nThe bundle is in {out}")
    return {"out": str(out), **about}

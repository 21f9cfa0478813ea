"""`kdray export`: a bundle of a student that agrees with it. `kdray bench`: how fast bundles and students are."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdray.cli.show import table
from kdray.errors import ConfigError


def export_student(
    student: str, *, out: Path, rows: Path | None, reduce_range: bool, quiet: bool, **options: Any
) -> dict[str, Any]:
    """Write a bundle; prints what the comparison with the model gave unless `quiet`.

    Args:
        options: The other ones of `Student.export`.
    """
    from kdray.api.models import Student

    reduced = True if reduce_range else None  # None: where this processor needs it
    folder = Student.load(student).export(out, data=rows, reduce_range=reduced, **options)
    about = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    if not quiet:
        if about["int8"]:
            print(table([{**each, "fault": each["fault"] or "kept"} for each in about["int8"]["tried"]]), end="\n\n")
        print(table([{"format": about["format"], **about["proof"]}]))
        print(f"\nThe bundle is in {out}")
        if about["prunable"]:
            print(_pruning(about))
    return {"out": str(out), **about}


def show_benchmark(
    models: Sequence[str],
    *,
    texts: Path | None,
    batches: str,
    threads: str | None,
    seconds: float,
    device: Any,
    quiet: bool,
) -> dict[str, Any]:
    """Measure and print two tables unless `quiet`; a warning where the machine was busy."""
    from kdray.api.bench import benchmark

    found = benchmark(
        models,
        texts=texts,
        batches=_numbers("--batches", batches),
        threads=None if threads is None else _numbers("--threads", threads),
        seconds=seconds,
        device=device,
    )
    if not quiet:
        machine = found.machine
        print(f"{machine['processor']}, {machine['cores']} cores, {', '.join(machine['instruction_set'])}\n")
        print(table(found.candidates), end="\n\n")
        print(table(found.shown))
        print("\nTimes include the tokenizer, except model_p50_ms; times_faster compares p50 with the first model.")
    if found.load.sentence:
        print(f"kdray: {found.load.sentence}", file=sys.stderr)
    return found.plain()


def _pruning(about: Mapping[str, Any]) -> str:
    """What a bundle of a student of pruned texts does with the texts, in one sentence."""
    fields = " and ".join(about["prunable"])
    if about["format"] == "hf":
        return f"The student reads pruned texts: shorten {fields} with kdray.pruning.Pruner, or use kdray.Student.load."
    return f"The bundle prunes {fields} before it predicts, as in the training of the student (pruner.json)."


def _numbers(flag: str, given: str) -> list[int]:
    try:
        found = [int(each) for each in given.split(",")]
    except ValueError:
        found = [0]
    if min(found) < 1:
        raise ConfigError(f"{flag} {given}: expected whole numbers of 1 or more, separated by commas.")
    return found

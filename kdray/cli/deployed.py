"""`kdray predict` and `kdray serve`: use a finished classifier."""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdray.cli.engine import add_engine_flags, check_engine_flags, engine_of
from kdray.cli.show import table
from kdray.errors import ConfigError, listed

LIMITS = {
    "batch_rows": (int, "texts that are scored at once at most (32)"),
    "wait_ms": (float, "milliseconds that a text waits for others to share its batch (2)"),
    "queue_rows": (int, "texts that may wait; further requests get status 503 (default 4096)"),
    "body_bytes": (int, "bytes of a request; a larger one is answered 413 (4000000)"),
    "texts": (int, "texts of a request; more are answered 413 (1024)"),
    "characters": (int, "characters of a text; a longer one is answered 413 (100000)"),
    "abstain_below": (float, "a prediction of lower confidence has no label"),
}
MODEL = "an ONNX bundle, a folder of Student.save, of a student in a store, or of transformers"


def share(text: str) -> float:
    """A number from 0 to 1 that a flag has.

    >>> share("0.5")
    0.5
    """
    with suppress(ValueError):
        if 0 <= (value := float(text)) <= 1:
            return value
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, found {text!r}")


def add_predict(commands: Any, common: argparse.ArgumentParser) -> None:
    predict = commands.add_parser("predict", parents=[common])
    predict.add_argument("model", help=MODEL)
    predict.add_argument("source", type=Path, help="a file .parquet, .csv or .jsonl, or a folder of such files")
    predict.add_argument("-o", "--out", type=Path, required=True, help="a new file, or a folder")
    predict.add_argument("--column", action="append", default=[], metavar="FIELD=COLUMN", help="e.g. text=review")
    predict.add_argument("--abstain-below", type=share, metavar="P", help="no prediction for rows of lower confidence")
    predict.add_argument("--suffix", choices=(".parquet", ".csv", ".jsonl"), help="of the files in the folder --out")
    predict.add_argument("--threads", type=int, default=0, help="threads for one prediction (default: all processors)")
    add_engine_flags(predict)
    predict.set_defaults(engine="local")


def add_serve(commands: Any, common: argparse.ArgumentParser) -> None:
    serve = commands.add_parser("serve", parents=[common])
    serve.add_argument("model", help=MODEL)
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default 127.0.0.1); on another one, callers must send a token",
    )
    serve.add_argument("--port", type=int, default=8000, help="port (default 8000)")
    serve.add_argument("--workers", type=int, default=1, help="number of processes (default 1)")
    serve.add_argument("--threads", type=int, default=0, help="threads for one prediction (default: all processors)")
    for name, (kind, meaning) in LIMITS.items():
        serve.add_argument("--" + name.replace("_", "-"), type=kind, metavar="N", help=meaning)


def predict_paths(arguments: argparse.Namespace) -> dict[str, Any]:
    """Predict and print the counts."""
    check_engine_flags(arguments)
    from kdray.api.deployed import predict_files
    from kdray.serve.files import REJECTED

    found = predict_files(
        arguments.model,
        arguments.source,
        arguments.out,
        columns=_columns(arguments.column),
        abstain_below=arguments.abstain_below,
        suffix=arguments.suffix,
        threads=arguments.threads,
        engine=engine_of(arguments),
    )
    rows = [
        {"file": name, **asdict(counts), "written": counts.rows - counts.rejected} for name, counts in found.items()
    ]
    if not arguments.json:
        print(table(rows) if rows else "every file has predictions already")
        folder = arguments.out if arguments.source.is_dir() else arguments.out.parent
        if sides := [str(folder / f"{name}{REJECTED}") for name, counts in found.items() if counts.rejected]:
            print(f"rejected rows and their reasons are in {listed(sides[:3], len(sides))}")
    return {"out": str(arguments.out), "files": rows}


def serve_model(arguments: argparse.Namespace) -> dict[str, Any]:
    """Serve until the process gets a signal to stop."""
    from pydantic import ValidationError

    from kdray.api.deployed import serve
    from kdray.records import plain_message
    from kdray.serve.settings import ServeSettings

    given = {name: getattr(arguments, name) for name in LIMITS if getattr(arguments, name) is not None}
    try:
        settings = ServeSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise ConfigError(f"{first['msg'].removeprefix('Value error, ')}.") from None
        flag = "--" + str(first["loc"][0]).replace("_", "-")
        raise ConfigError(f"{flag} {first['input']}: {plain_message(first)}.") from None
    where = {name: getattr(arguments, name) for name in ("host", "port", "workers", "threads")}
    serve(arguments.model, **where, settings=settings)
    return {}


def _columns(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in given:
        field, equals, column = each.partition("=")
        if not (field and equals and column):
            raise ConfigError(f"--column {each}: give FIELD=COLUMN, for example text=review.")
        if field in found:
            raise ConfigError(f"--column {each}: the column of {field} is given twice.")
        found[field] = column
    return found

"""Command lines: every one is refused with exit code 2, or the settings it gives are those that a stage would get."""

import contextlib
import io
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fuzzing
import pytest
import tiny
import yaml
from test_fuzz_settings import PLAIN, as_written

from kdray.api import experiments, reports, trials
from kdray.cli import runs, sweep
from kdray.cli.main import STAGES, main
from kdray.config import RunConfig

MAIN = sys.modules["kdray.cli.main"]  # kdray.cli.main is a function
pytestmark = pytest.mark.fuzz

KEYS = sorted({".".join(map(str, path)) for plain in PLAIN for path, _ in fuzzing.leaves(plain)})
ADDRESSES = [
    "auto",
    "",
    "nowhere",
    "127.0.0.1",
    "127.0.0.1:x",
    "127.0.0.1:99999",
    ":1",
    "[::1]:",
    "ray://",
]  # none connects
FLAGS = [
    *(
        "--json",
        "--debug",
        "--show",
        "--store",
        "--storage",
        "--export",
        "--help",
        "-h",
        "--",
        "-",
        "--=",
        "--jsn",
        "-x",
    ),
    *(
        "--trials",
        "--seed",
        "--objectives",
        "--depths",
        "--sampling",
        "--pruning",
        "--track",
        "--max-hours",
        "--resume",
    ),
    *("--max-gpu-hours", "--max-failures", "--retry-failed", "--corpus", "--epochs", "--seeds", "--name", "--smoke"),
    *("--cpus-per-trial", "--gpus-per-trial", "--address"),
]
VALUES = [
    "1",
    "2",
    "3",
    "0.5",
    "0",
    "-1",
    "tpe",
    "none",
    "asha",
    "metric",
    "1,2",
    "sample",
    "wandb",
    *fuzzing.ODD_TEXTS,
]


class Reached(Exception):
    """Everything that can be checked without work was checked."""


def reached(found: list[Any]) -> Callable[..., Any]:
    def stub(*given: Any, **more: Any) -> Any:
        found.append((given, more))
        raise Reached

    return stub


def override(draw: random.Random) -> str:
    key = draw.choice(KEYS)
    if draw.random() < 0.2:
        key = draw.choice(
            [key + "x", key.upper(), key.rpartition(".")[0], "." + key, key + ".0", "", "teachers.9.name"]
        )
    return draw.choice([f"{key}={draw.choice(VALUES)}"] * 9 + [key])


def words(draw: random.Random, commands: Sequence[str], files: Sequence[str]) -> list[str]:
    found = [draw.choice(commands), draw.choice(files)] if draw.random() < 0.95 else []
    for _ in range(draw.choice([0, 1, 1, 2, 4])):
        match draw.randrange(3):
            case 0:
                found.append(flag := draw.choice(FLAGS))
                if draw.random() < 0.8:
                    found.append(draw.choice(ADDRESSES if flag == "--address" else VALUES))
            case _:
                found.append(override(draw))
    return found


def outcome(call: Callable[[], int | None]) -> tuple[int, str]:
    """The exit code, and what was written to standard error."""
    with contextlib.redirect_stderr(io.StringIO()) as told, contextlib.redirect_stdout(io.StringIO()):
        try:
            code = call() or 0
        except SystemExit as end:
            code = int(end.code or 0)
    return code, told.getvalue()


def check(argv: list[str], code: int, told: str) -> None:
    assert "Traceback" not in told or "--debug" in argv, (argv, told)
    assert "--debug shows where" not in told or "Reached" in told, (argv, told)
    is_help = not argv or {"-h", "--help", "--version"} & set(argv)  # kdray alone lists the commands
    assert code == 2 or (code == 0 and is_help), (argv, code, told)
    assert told.strip() or code == 0, argv


def check_settings(argv: list[str], run: RunConfig) -> None:
    plain = run.model_dump(mode="json")
    words = [word for before, word in zip(["", *argv], argv) if before != "--address"]  # noqa: B905
    given = dict(word.split("=", 1) for word in words if "=" in word and not word.startswith("-"))
    for key, text in given.items():
        if any(key.startswith(f"{other}.") for other in given):  # which of the two counts depends on the order
            continue
        if (path := key.split("."))[-1] != "name" or len(path) == 1:
            found = fuzzing.at(plain, tuple(int(part) if part.isdecimal() else part for part in path))
            plainly = not isinstance(found, dict | list) or text in ("none", "lower_tail")
            assert not plainly or as_written(text, found), f"{argv}: {key} is {found!r}"


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KDRAY_DATA", raising=False)
    monkeypatch.setattr(MAIN, "configure", lambda level: None)
    for number, plain in enumerate(PLAIN):
        Path(f"{number}.yaml").write_text(yaml.safe_dump(plain))


def test_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr(runs, "with_corpus", reached(found))
    monkeypatch.setattr(reports, "write_reports", reached(found))
    for name in ("run_trial", "best_trial"):
        monkeypatch.setattr(trials, name, reached(found))
    monkeypatch.setattr(MAIN.os, "execv", reached(found))
    commands = [*STAGES, "report", "trial", "best", "sweep", "runs", ""]
    files = ["0.yaml", "1.yaml", "2.yaml", "0.yaml", "missing.yaml", ".", "x" * 300]

    def case(draw: random.Random) -> None:
        found.clear()
        argv = words(draw, commands, files)
        code, told = outcome(lambda: main(argv))
        if not found:
            check(argv, code, told)
        elif argv[0] in STAGES:
            (run, *_), _ = found[0]
            check_settings(argv, run)

    fuzzing.run_cases("stages", case)


def test_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr(experiments, "search_settings", reached(found))
    base = {key: value for key, value in tiny.run_settings(Path("encoder"), Path("folder")).items() if key != "corpus"}

    def one(argv: list[str]) -> int:
        sweep.sweep_main("rte", base=base, on_sample={}, space=lambda trial, run: {}, starts=lambda run: [], argv=argv)
        return 0

    def case(draw: random.Random) -> None:
        found.clear()
        argv = words(draw, ["train.epochs=2"], ["train.seed=1"])
        code, told = outcome(lambda: one(argv))
        if not found:
            check(argv, code, told)

    fuzzing.run_cases("sweeps", case)

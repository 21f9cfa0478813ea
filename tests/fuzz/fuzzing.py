"""Damaged and odd input, the same for every run: a case is named by its number, and none may take long or crash."""

import copy
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from kdray.errors import KdrayError

CASES = int(os.environ.get("KDRAY_FUZZ_CASES", "1000"))
HANGS_SECONDS = 120  # far more than a case takes on a busy machine
SHOWN = 5

ODD_BYTES = [
    *(bytes([number]) for number in (0, 9, 10, 13, 32, 34, 39, 44, 58, 91, 92, 93, 123, 125, 127, 128, 255)),
    *(b"\r\n", b'""', b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", "\u2028\u0085\u00a0é😀".encode()),
    *(b"null", b"NaN", b"1e999", b"-1", b"9" * 30, b"true", b"{}", b"[]", b"- ", b": ", b"&a ", b"*a", b"<<: ", b"!!"),
]
ODD_TEXTS = [
    *(
        "",
        " ",
        "\0",
        "\n",
        "~",
        "null",
        "no",
        "true",
        "none",
        "auto",
        "1",
        "-1",
        "0x10",
        "1_000",
        "1e300",
        ".inf",
        "nan",
    ),
    *("../x", "/", "a b", "a=b", "[]", "{}", "[1", "{a", "- a", "!!python/none", "&a", "*a", "#", "é", "😀", "\ud800"),
    *(
        "x" * 5000,
        "9" * 400,
        "1" * 5000,
        "٣",
        "²",
        "%s",
        "{0}",
        "kd",
        "sample",
        "folder",
        "s3://",
        "file:///x",
        "2024-01-01",
    ),
]
ODD_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 10**9, 10**30, 0.0, 0.5, 1.0, -0.0, 1e300, 1e-300, float("nan"), float("inf")),
    *([], {}, [[]], [None], [1, "a"], {"name": "kd"}, {"name": None}, {"a": {"b": 1}}, {"": 1}),
    *ODD_TEXTS,
]


def run_cases(name: str, case: Callable[[random.Random], None]) -> None:
    """Try `case` with `CASES` sources of chance. It may end well or with one of our errors.

    Raises:
        AssertionError: Some cases ended otherwise; the first of each kind is named.
    """
    faults: dict[tuple[str, str], str] = {}
    for number in range(CASES):
        previous = signal.signal(signal.SIGALRM, _hangs)
        signal.setitimer(signal.ITIMER_REAL, HANGS_SECONDS)
        try:
            case(random.Random(f"{name} {number}"))
        except KdrayError as error:
            if not str(error).strip() or "\n" in str(error).strip():
                faults.setdefault(("message", ""), f"case {number}: {error!r} is not one sentence")
        except Exception as error:
            faults.setdefault(_kind(error), f"case {number}: {type(error).__name__}: {error!s:.1500}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
    shown = [f"{text} (at {where})" for (_, where), text in list(faults.items())[:SHOWN]]
    assert not faults, f"{len(faults)} kinds of faults of {name}:\n" + "\n".join(shown)


def damaged(draw: random.Random, content: bytes) -> bytes:
    """One to four changes of bytes; now and then none."""
    found = bytearray(content)
    for _ in range(draw.choice([0, 1, 1, 1, 2, 2, 3, 4])):
        at = draw.randint(0, len(found))
        end = min(len(found), at + draw.choice([0, 1, 1, 2, 8, 40]))
        match draw.randrange(5):
            case 0:
                found[at:end] = b""
            case 1:
                found[at:end] = draw.choice(ODD_BYTES)
            case 2:
                found[at:at] = draw.choice(ODD_BYTES)
            case 3:
                found[at:at] = found[at:end]
            case _:
                found[at : at + 1] = bytes([draw.randrange(256)])
    return bytes(found[: draw.randint(0, len(found))] if draw.random() < 0.05 else found)


def changed(draw: random.Random, value: Any) -> Any:
    """A copy of a JSON value in which one to three places hold something else, are gone, or are new."""
    whole = {"": copy.deepcopy(value)}
    for _ in range(draw.choice([1, 1, 2, 3])):
        above, key = draw.choice(list(_places(whole)))
        if key not in above and isinstance(above, dict):
            continue
        match draw.randrange(6):
            case 0 if above is not whole:
                del above[key]
            case 1 if isinstance(above[key], dict) and above[key]:
                other = draw.choice(list(above[key]))
                above[key][draw.choice([other.upper(), other + "s", "", "name"])] = above[key].pop(other)
            case _:
                above[key] = copy.deepcopy(draw.choice(ODD_VALUES))
    return whole[""]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value that is no section and no list, with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from leaves(inner, (*path, number))
    else:
        yield path, value


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def _kind(error: Exception) -> tuple[str, str]:
    trace = error.__traceback__
    where = ""
    while trace is not None:  # the innermost line of ours
        file = Path(trace.tb_frame.f_code.co_filename)
        if "kdray" in file.parts or "fuzz" in file.parts:
            where = f"{file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return type(error).__name__, where


def _hangs(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"it takes more than {HANGS_SECONDS} s")

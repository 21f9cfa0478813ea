"""Pruning that is killed again and again: `python benchmarks/prune_kills.py --corpus sst2 --kills 10`.

Prunes the corpus with 1, 2 and 4 actors and blocks of 100 and 10,000 rows (a block holds at least one part of 1,024
rows), each into its own store; then once more, killed with SIGKILL again and again, each time at a random moment after
some part was done, and started again with another number of actors and another block size. Compares every file byte by
byte, and looks all the time for parts in the work folders: one that was written twice was done twice, and there must be
none. `--layers 1` cuts the encoder, which changes what is embedded but nothing of what is measured here.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prune import cut_encoder

from kdray.cli.main import guarded
from kdray.errors import RunError

RECIPE = Path(__file__).parent.parent / "recipes" / "prune.yaml"
WIDTHS = ((1, 100), (2, 10_000), (4, 100), (4, 10_000), (1, 10_000), (2, 100))  # actors, rows of a block


def main() -> None:
    arguments = _parser().parse_args()
    folder = Path(arguments.store)
    folder.mkdir(parents=True, exist_ok=True)
    encoder = str(cut_encoder(arguments.layers, folder)) if arguments.layers else "minilm"
    ways: list[dict[str, Any]] = []
    for actors, block in WIDTHS[: arguments.ways]:
        begun = time.monotonic()
        store = folder / f"{actors}-{block}"
        code = _start(arguments, encoder, store, actors, block, store.with_suffix(".log")).wait()
        row = {"actors": actors, "block rows": block, "exit": code, "seconds": round(time.monotonic() - begun)}
        ways.append(row | {"files": _files(store)})
        print(json.dumps(row), flush=True)
    killed = _killed(arguments, encoder, folder / "killed")
    wrong = killed.pop("wrong")
    wrong += [
        f"{way['actors']} actors, blocks of {way['block rows']}: exit {way['exit']}" for way in ways if way["exit"]
    ]
    expected = ways[0]["files"]
    for name, files in [(f"{w['actors']}-{w['block rows']}", w["files"]) for w in ways[1:]] + [
        ("killed", killed["files"])
    ]:
        other = sorted(file for file in expected.keys() | files.keys() if expected.get(file) != files.get(file))
        wrong += (
            [f"{name} differs from {ways[0]['actors']}-{ways[0]['block rows']} in {', '.join(other)}"] if other else []
        )
    document = {"command": sys.argv, "ways": ways, "killed": killed, "wrong": wrong}
    Path(arguments.out).write_text(json.dumps(document, indent=1) + "\n")
    shown = {"files compared": sorted(expected), **killed, "files": len(killed["files"]), "wrong": wrong}
    print(json.dumps(shown, indent=1))
    if wrong or not expected:
        raise RunError("; ".join(wrong) or "no file was made")


def _killed(arguments: argparse.Namespace, encoder: str, store: Path) -> dict[str, Any]:
    draw = random.Random(arguments.seed)
    wrong: list[str] = []
    tries: list[dict[str, Any]] = []
    seen: dict[str, set[int]] = {}  # each part that ever was, and when it was written
    code = -1
    while code and len(tries) < arguments.kills + 5:
        actors, block = WIDTHS[len(tries) % len(WIDTHS)]
        log = store.parent / f"killed-{len(tries)}.log"
        begun = time.monotonic()
        driver = _start(arguments, encoder, store, actors, block, log)
        kill, before = len(tries) < arguments.kills, len(seen)
        if kill:  # once it has done something, so that each try has its share
            _watch(driver, lambda before=before: len(seen) > before, store, seen)
            moment = time.monotonic() + draw.uniform(0, arguments.latest)
            _watch(driver, lambda moment=moment: time.monotonic() > moment, store, seen)
        else:
            _watch(driver, lambda: False, store, seen)
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
        code = driver.wait()
        _look(store, seen)
        row = {"second": round(time.monotonic() - begun), "exit": code, "parts so far": len(seen)}
        tries.append({"actors": actors, "block rows": block} | row)
        print(json.dumps(tries[-1]), flush=True)
        if code > 0:
            wrong.append(f"try {len(tries)} ended with {code}; look into {log}")
            break
    again = sum(len(when) > 1 for when in seen.values())
    wrong += [f"the last of {len(tries)} tries ended with {code}"] if code else []
    wrong += [f"{again} parts were made again"] if again else []
    kills = sum(one["exit"] == -signal.SIGKILL for one in tries)
    wrong += [f"{kills} kills instead of {arguments.kills}: the job was done before"] if kills < arguments.kills else []
    found = {"kills": kills, "parts": len(seen), "made again": again}
    return found | {"tries": tries, "files": _files(store), "wrong": wrong}


def _start(
    arguments: argparse.Namespace, encoder: str, store: Path, actors: int, block: int, log: Path
) -> subprocess.Popen[bytes]:
    settings = [
        *(f"store={store}", f"corpus.name={arguments.corpus}", f"prune.embedders={encoder}"),
        *(f"work.actors={actors}", f"work.block_rows={block}", *arguments.overrides),
    ]
    command = [sys.executable, "-m", "kdray.cli", "prune", str(RECIPE), *settings]
    with log.open("w") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)


def _watch(driver: subprocess.Popen[bytes], done: Callable[[], bool], store: Path, seen: dict[str, set[int]]) -> None:
    while driver.poll() is None and not done():
        _look(store, seen)
        time.sleep(0.2)


def _look(store: Path, seen: dict[str, set[int]]) -> None:
    """Adds every whole part in the work folders, and when it was written."""
    for path in store.glob("work/*/*/*.arrow"):
        with contextlib.suppress(FileNotFoundError):  # cleared since it was listed
            seen.setdefault(str(path.relative_to(store)), set()).add(path.stat().st_mtime_ns)


def _files(store: Path) -> dict[str, str]:
    """Digest of every file of the pruned corpus and of the embeddings, but for manifests: they hold the time."""
    found = [path for stage in ("prune", "embeddings") for path in store.glob(f"{stage}/*/*")]
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(found)
        if path.name != "manifest.json"
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of recipes/prune.yaml")
    parser.add_argument("--corpus", default="sst2")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--ways", type=int, default=3, help=f"how many of {WIDTHS} (actors, rows of a block)")
    parser.add_argument(
        "--latest", type=float, default=15.0, help="a kill comes up to so many seconds after a first part"
    )
    parser.add_argument("--layers", type=int, help="of the encoder (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--store", default="store/prune-kills")
    parser.add_argument("--out", default="prune_kills.json")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main, debug=False))

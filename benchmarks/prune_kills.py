"""Pruning that is killed again and again: `python benchmarks/prune_kills.py --corpus sst2 --kills 10`.

Prunes the corpus with 1, 2 and 4 actors and blocks of 100 and 10,000 rows, each into its own store; then once more,
killed with SIGKILL at random moments and started again with another number of actors and another block size. Compares
every file byte by byte, and counts the parts that a later try found and the parts that it made again (there must be
none). `--layers 1` cuts the encoder, which changes what is embedded but nothing of what is measured here.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from prune import cut_encoder

from kdray.cli.main import guarded
from kdray.errors import RunFailed

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
    print(json.dumps({"files compared": sorted(expected), "tries": killed["tries"], "wrong": wrong}, indent=1))
    if wrong or not expected:
        raise RunFailed("; ".join(wrong) or "no file was made")


def _killed(arguments: argparse.Namespace, encoder: str, store: Path) -> dict[str, Any]:
    draw = random.Random(arguments.seed)
    wrong: list[str] = []
    tries: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    again, code = 0, -1
    while code:
        actors, block = WIDTHS[len(tries) % len(WIDTHS)]
        log = store.parent / f"killed-{len(tries)}.log"
        begun = time.monotonic()
        driver = _start(arguments, encoder, store, actors, block, log)
        if len(tries) < arguments.kills:
            _wait(driver, draw.uniform(arguments.earliest, arguments.latest))
            if driver.poll() is None:
                os.killpg(driver.pid, signal.SIGKILL)
        code = driver.wait()
        parts = _parts(store)
        again += sum(parts.get(name, when) != when for name, when in seen.items())
        row = {"second": round(time.monotonic() - begun), "exit": code, "found": len(seen), "parts": len(parts)}
        tries.append({"actors": actors, "block rows": block} | row)
        print(json.dumps(tries[-1]), flush=True)
        seen = parts
        if code > 0:
            wrong.append(f"try {len(tries)} ended with {code}; look into {log}")
            break
    wrong += [f"{again} parts were made again"] if again else []
    kills = sum(one["exit"] == -signal.SIGKILL for one in tries)
    wrong += [f"{kills} kills instead of {arguments.kills}: the job was done before"] if kills < arguments.kills else []
    return {"tries": tries, "kills": kills, "made again": again, "files": _files(store), "wrong": wrong}


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


def _wait(driver: subprocess.Popen[bytes], seconds: float) -> None:
    until = time.monotonic() + seconds
    while driver.poll() is None and time.monotonic() < until:
        time.sleep(0.1)


def _parts(store: Path) -> dict[str, int]:
    """Every whole part in the work folders, and when it was written."""
    return {str(path.relative_to(store)): path.stat().st_mtime_ns for path in store.glob("work/*/*/*.arrow")}


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
    parser.add_argument("--earliest", type=float, default=10.0, help="a kill comes so many seconds after the start ...")
    parser.add_argument("--latest", type=float, default=40.0, help="... or up to so many")
    parser.add_argument("--layers", type=int, help="of the encoder (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--store", default="store/prune-kills")
    parser.add_argument("--out", default="prune_kills.json")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main, debug=False))

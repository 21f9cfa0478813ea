"""How long until a sweep trains: `python benchmarks/startup.py --corpus sst2 --turns 3`.

Starts the corpus's sweep of one trial on few rows, again and again in one store, where teachers and outputs lie from
the first time on. Printed for each later turn, in seconds from the start of the command: when it began to start Ray,
when Ray stood, when the trial began, and when its first step was done; and from Ray's start to that first step. The
times are written down by a `sitecustomize` that only the processes of this benchmark read.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.errors import RunError

SWEEPS = Path(__file__).parent.parent / "sweeps"
# Read by Python in every process that is started here: each function that is watched says when it was first called.
WATCH = """
import importlib.abc, importlib.util, os, sys, time
from pathlib import Path

MOMENTS = Path(os.environ["KDRAY_STARTUP_MOMENTS"])

def mark(name):
    try:
        with (MOMENTS / name).open("x") as file:
            file.write(repr(time.time()))
    except FileExistsError:
        pass

def watch_session(module):
    connect = module._connect
    def connected(address):
        mark("ray starts")
        connect(address)
        mark("ray stands")
    module._connect = connected

def watch_trial(module):
    distill_one = module.distill_one
    def begun(*given, **more):
        mark("trial begins")
        return distill_one(*given, **more)
    module.distill_one = begun

def watch_step(module):
    from torch.optim.optimizer import register_optimizer_step_post_hook
    def stepped(*given):
        if (MOMENTS / "trial begins").exists():
            mark("first step")
    register_optimizer_step_post_hook(stepped)

WATCHED = {
    "kdray.engines.ray.session": watch_session,
    "kdray.experiments.students": watch_trial,
    "kdray.distillation.job": watch_step,
}

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in WATCHED:
            return None
        watch = WATCHED.pop(name)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            watch(module)
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""
ORDER = ("ray starts", "ray stands", "trial begins", "first step")


def main() -> None:
    arguments = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="kdray-startup-") as where:
        folder = Path(where)
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(WATCH)
        rows = [_once(arguments, folder, turn) for turn in range(arguments.turns + 1)][1:]  # the first makes teachers
    Path(arguments.out).write_text(json.dumps({"command": sys.argv, "rows": rows}, indent=1) + "\n")
    print(table(rows))
    print(f"median of Ray's start to the first step: {statistics.median(row['waited'] for row in rows):.1f} s")


def _once(arguments: argparse.Namespace, folder: Path, turn: int) -> dict[str, Any]:
    moments = folder / f"turn-{turn}"
    moments.mkdir()
    paths = [str(folder / "site"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "KDRAY_STARTUP_MOMENTS": str(moments), "PYTHONPATH": os.pathsep.join(paths)}
    sweep = [sys.executable, str(SWEEPS / f"tune_{arguments.corpus}.py"), "--corpus", arguments.corpus]
    flags = ["--trials", "1", "--seeds", "1", "--store", str(folder / "store"), "--name", f"turn-{turn}"]
    settings = [f"corpus.limit={arguments.rows}", "train.epochs=1", "outputs.quality_check=false", f"train.seed={turn}"]
    begun = time.time()
    done = subprocess.run([*sweep, *flags, *settings], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(f"the sweep failed:\n{done.stderr[-2000:]}")
    at = {name: float((moments / name).read_text()) for name in ORDER}
    row = {"turn": turn} | {name: round(at[name] - begun, 1) for name in ORDER}
    row["waited"] = round(at["first step"] - at["ray starts"], 1)
    print(json.dumps(row), flush=True)
    return row


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="sst2")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", default="startup.json")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main, debug=True))

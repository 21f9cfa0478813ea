"""One Ray node of one processor against two: `python benchmarks/scale.py --rows 16000 --repeat 3`.

Both nodes are on this machine, with one processor each. Outputs, pruning and a search go through kdray's own commands,
in turn on one node and on two, every time from a fresh store that holds the teacher, trained on the search's few rows,
with its outputs for these, and no more. Efficiency is the median time on one node over twice the median on two;
the time of a stage is what its artifact's manifest says, workers' start included, that of the search is its own,
without the runs that confirm its winner. `--estimate` instead prints what MNLI would cost on GPUs, with its arithmetic:
no measurement.
"""

import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.errors import RunError
from kdray.store import Store

CORPUS = "sst2"
NODE = {"num_cpus": 1, "object_store_memory": 200_000_000}
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
TRAIN = {"epochs": 1, "learning_rate": 1e-4, "batch_size": 32, "max_length": 64}
WORKS = ("outputs", "prune", "sweep")
TEACHERS = [{"name": "minilm", "encoder": "minilm", "train": TRAIN}]


def main() -> None:
    parser = _parser()
    arguments = parser.parse_args()
    if not set(arguments.works.split(",")) <= set(WORKS):
        parser.error(f"--works {arguments.works}: of {', '.join(WORKS)}, with commas between")
    if arguments.estimate:
        print(table(_estimates(arguments)))
        return
    rows = _measured(arguments)
    document = {"command": sys.argv, "settings": vars(arguments), "rows": rows}
    Path(arguments.out).write_text(json.dumps(document, indent=1) + "\n")
    print(table([{key: value for key, value in row.items() if key != "seconds"} for row in rows]))


def _measured(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    os.environ.update(ENVIRONMENT)
    seconds: dict[str, dict[int, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="kdray-scale-") as scratch:
        folder = Path(scratch)
        file, few = folder / "run.yaml", folder / "trials.yaml"
        few.write_text(yaml.safe_dump(_run(arguments.trial_rows, TEACHERS)))
        with _cluster(1) as address:
            _kdray("outputs", few, folder / "taught", address)
            (teacher,) = Store(str(folder / "taught")).artifacts("teach")
            learnt = {"name": "learnt", "encoder": str(teacher.file("model")), "fine_tuned": True}
            file.write_text(yaml.safe_dump(_run(arguments.rows, [learnt])))
            _kdray("teach", file, folder / "taught", address)
        for turn in range(arguments.repeat):
            for nodes in (1, 2):
                store = folder / f"{turn}-{nodes}"
                shutil.copytree(folder / "taught", store)
                with _cluster(nodes) as address:
                    for work, took in _once(arguments, file, store, address, nodes):
                        seconds.setdefault(work, {1: [], 2: []})[nodes].append(took)
                        print(f"turn {turn}, {nodes} node(s): {work} {took:.1f} s", flush=True)
                shutil.rmtree(store)
    return [_row(work, found) for work, found in seconds.items()]


def _once(
    arguments: argparse.Namespace, file: Path, store: Path, address: str, nodes: int
) -> Iterator[tuple[str, float]]:
    many, works = f"work.actors={nodes}", arguments.works.split(",")
    for stage in [stage for stage in ("outputs", "prune") if stage in works]:
        told = _kdray(stage, file, store, address, many, "work.block_rows=1024")
        yield stage, sum(entry["seconds"] for entry in told["stages"] if entry["stage"] == stage)
    if "sweep" not in works:
        return
    flags = ["--corpus", CORPUS, "--trials", str(arguments.trials), "--seeds", "1", "--pruning", "none"]
    where = ["--store", str(store), "--name", "scale", "--address", address]
    base = [
        f"corpus.limit={arguments.trial_rows}",
        f"train={json.dumps(TRAIN)}",
        "outputs.quality_check=false",
        "prune.policy=none",
        f"teachers={json.dumps(TEACHERS)}",
    ]
    _called([sys.executable, str(Path(__file__).parent / "scale_sweep.py"), *flags, *where, *base])
    document = json.loads((store / "sweeps" / "scale" / "result.json").read_text())
    yield "sweep", document["seconds"]["by_phase"]["search"]


def _row(work: str, seconds: dict[int, list[float]]) -> dict[str, Any]:
    one, two = (statistics.median(seconds[nodes]) for nodes in (1, 2))
    return {"work": work, "one node s": one, "two nodes s": two, "efficiency": one / (2 * two), "seconds": seconds}


def _run(rows: int, teachers: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "corpus": {"name": CORPUS, "limit": rows},
        "teachers": teachers,
        "outputs": {"quality_check": False},
        "prune": {"policy": "lower_tail", "level": "sentence", "embedders": "minilm"},
        "train": TRAIN,
    }


@contextmanager
def _cluster(nodes: int) -> Iterator[str]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        for _ in range(nodes - 1):
            cluster.add_node(**NODE)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def _kdray(stage: str, file: Path, store: Path, address: str, *overrides: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "kdray.cli", stage, str(file), f"store={store}", *overrides]
    return json.loads(_called([*command, "--address", address, "--json"]).splitlines()[-1])


def _called(command: list[str]) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RunError(f"{' '.join(command)} failed:\n{ended.stderr[-2000:]}")
    return ended.stdout


def _estimates(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds of each kind of work on so many GPUs. A pass costs 2 floating-point operations a parameter and token, a
    training step three times that; no step is shorter than `--floor` milliseconds, which launches and copies take."""
    rate, tokens = arguments.tflops * 1e12, arguments.tokens
    steps = arguments.epochs * arguments.mnli_rows / arguments.batch

    def step(parameters: float, gpus: int) -> float:
        return max(arguments.floor / 1000, 6 * parameters * tokens * arguments.batch / rate / gpus)

    print(
        f"{arguments.mnli_rows:,} rows of {tokens} tokens, {arguments.epochs} epochs of {arguments.batch} rows a step: "
        f"{steps:,.0f} steps\n"
        f"one step: 6 x parameters x {tokens} tokens x {arguments.batch} rows / {arguments.tflops:g} TFLOP/s, no less "
        f"than {arguments.floor:g} ms; teachers split it over up to 8 GPUs\n"
        f"outputs: 2 x {arguments.teacher_parameters:.3g} parameters x {tokens} tokens x {arguments.mnli_rows:,} rows\n"
        f"{arguments.teachers} teachers, one after the other; {arguments.students} students, one a GPU, "
        f"{arguments.startup:g} s to start each\n"
    )
    predict_batched = arguments.mnli_rows * 2 * tokens * arguments.teacher_parameters / rate
    rows: list[dict[str, Any]] = []
    for gpus in (1, 8, 64):
        teach = arguments.teachers * steps * step(arguments.teacher_parameters, min(gpus, 8))
        student = steps * step(arguments.student_parameters, 1) + arguments.startup
        search = -(-arguments.students // gpus) * student
        outputs = arguments.teachers * predict_batched / gpus
        found = {"teachers s": teach, "outputs s": outputs, "students s": search}
        whole = sum(found.values())
        rows.append({"GPUs": gpus} | {key: round(value) for key, value in found.items()} | {"hours": whole / 3600})
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, default=16_000, help="parts have 1,024 rows each, so few rows cannot be shared evenly"
    )
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--trial-rows", type=int, default=2_000, help="that the search's students train on")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", default="scale.json")
    parser.add_argument("--estimate", action="store_true")
    parser.add_argument("--students", type=int, default=64, help="of the estimate")
    parser.add_argument("--mnli-rows", type=int, default=392_702)
    parser.add_argument("--tokens", type=int, default=40, help="of a row, on average (bucketed)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--teachers", type=int, default=2)
    parser.add_argument("--teacher-parameters", type=float, default=85.1e6, help="in the layers of BERT-base")
    parser.add_argument("--student-parameters", type=float, default=21.3e6, help="in three of them")
    parser.add_argument("--tflops", type=float, default=100.0, help="achieved by one GPU: assumed, not measured")
    parser.add_argument("--floor", type=float, default=12.0, help="milliseconds of the shortest step: assumed")
    parser.add_argument("--startup", type=float, default=20.0, help="seconds until a trial's first step")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main, debug=True))

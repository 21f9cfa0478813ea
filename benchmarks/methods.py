"""Every method on one corpus: `python benchmarks/methods.py --corpus emotion [--methods kd,dekd] [--limit 4000]`.

Two six-layer teachers, three-layer students, several seeds; with the no-KD baseline, the same with four times the
epochs, and a student that starts from the teacher's layers without any soft labels. Prints the table and saves it as
JSON. What is in the store is not made again, so a stopped run goes on by the same command.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from written import origin

from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.config import RunConfig, parse
from kdray.corpora import kdray_data
from kdray.engines.ray.session import session
from kdray.evaluate import against
from kdray.methods import METHODS, FineTune, parse_method
from kdray.signals import TOKEN_NEEDS
from kdray.stages import Context, no_kd_baseline, prepare
from kdray.stages.train_stage import result_of
from kdray.store import Store

BASELINE, LONGER, STARTED = "no-KD baseline", "no-KD baseline, 4 x the epochs", "teacher's layers, no KD"
TEACHER_TRAIN = {
    "emotion": {"epochs": 4, "learning_rate": 2e-4, "max_length": 64},
    "mrpc": {"epochs": 4, "learning_rate": 1e-4},
    "sst2": {"epochs": 1, "learning_rate": 1e-4, "max_length": 64},
    "rte": {"epochs": 1, "learning_rate": 5e-5},
    "sample": {"epochs": 2, "learning_rate": 1e-4, "batch_size": 16, "max_length": 64},
}


def main() -> None:
    arguments = _parser().parse_args()
    run = base(arguments)
    every = [str(kind.model_fields["name"].default) for kind in METHODS]
    chosen = arguments.methods.split(",") if arguments.methods else every
    with session(arguments.address):
        from kdray.engines.ray.engine import OnRay
        from kdray.experiments.confirm import Candidate, confirm
        from kdray.experiments.students import Shared

        context = Context(Store(run.store), OnRay(run.work), kdray_data())
        prepared = prepare(run, context, every_teacher=True)
        longer = run.train.model_copy(update={"epochs": 4 * run.train.epochs})
        candidates = [
            Candidate(BASELINE, no_kd_baseline(run)),
            Candidate(LONGER, no_kd_baseline(run.model_copy(update={"train": longer}))),
            Candidate(STARTED, run.model_copy(update={"method": FineTune()})),
        ]
        candidates += [Candidate(name, _with(run, name)) for name in chosen if name != "finetune"]
        found = confirm(candidates, range(arguments.seeds), Shared.of(prepared), context.engine, cpus=1, gpus=0.0)
        teachers = [result_of(ref.model.open(context.store)) for ref in prepared.teachers]
    rows = lines(found, max(_scores([teacher])[0] for teacher in teachers))
    document: dict[str, Any] = {
        **origin(),
        "settings": run.model_dump(mode="json", exclude={"store"}),
        "teachers": [{"name": teacher["title"], "test": _scores([teacher])[0]} for teacher in teachers],
        "rows": rows,
    }
    Path(arguments.out).write_text(json.dumps(document, indent=1) + "\n")
    print(table([{key: value for key, value in row.items() if key != "values"} for row in rows]))
    print("\n".join(f"{t['name']}: {t['test']:.4f}" for t in document["teachers"]))


def base(arguments: argparse.Namespace) -> RunConfig:
    """What all methods share; each method has its own defaults."""
    train = TEACHER_TRAIN[arguments.corpus]
    if arguments.teacher_epochs:
        train = train | {"epochs": arguments.teacher_epochs}
    names = {"minilm": 0, "minilm-b": 1}
    first = {"init_from": "mnli"} if arguments.corpus == "rte" else {}
    corpus: dict[str, Any] = {"name": arguments.corpus} | ({"limit": arguments.limit} if arguments.limit else {})
    length = train.get("max_length", 128)
    return parse(
        {
            "store": arguments.store,
            "corpus": corpus,
            "teachers": [{"name": n, "train": train | {"seed": seed}, **first} for n, seed in names.items()],
            "student": {"layers": 3, "init": "skip", "init_from": "teacher"},
            "assistant": {"train": {"epochs": arguments.epochs, "learning_rate": arguments.rate, "max_length": length}},
            "train": {"epochs": arguments.epochs, "learning_rate": arguments.rate, "max_length": length},
            "prune": {"policy": "none"},
        },
        source="benchmark",
    )


def lines(found: dict[str, list[dict[str, Any]]], teacher: float) -> list[dict[str, Any]]:
    """One row a method: report metric over seeds, what of the teacher it keeps, what it cost."""
    apart = _scores(found[BASELINE])
    rows: list[dict[str, Any]] = []
    for name, results in found.items():
        values = _scores(results)
        mine = against(values, alone=None if name == BASELINE else apart, teacher=teacher)
        rows.append(
            {
                "method": name,
                "mean": mine.scores.mean,
                "std": mine.scores.std,
                "vs no-KD": mine.difference,
                "p": mine.p_value,
                "retention": mine.retention,
                "distillation ratio": mine.distillation_ratio,
                "train s": sum(result["seconds"]["train"] for result in results) / len(results),
                "teacher passes": sum(map(passes, results)) // len(results),
                "values": values,
            }
        )
    return rows


def passes(result: dict[str, Any]) -> int:
    """Rows that teachers and the last assistant read for one student: once each for outputs that are cached, however
    many epochs and seeds use them, and in every step of a phase that runs them beside the student."""
    spec, rows = result["spec"], result["rows"]["train"]
    models = len(spec["teachers"]) + (spec["assistant"] is not None)
    method = parse_method(spec["method"])
    phases = method.phases(spec["train"]["epochs"])
    online = {phase.name: bool(phase.method.needs & TOKEN_NEEDS) for phase in phases}
    cached = any(phase.method.needs and not online[phase.name] for phase in phases)
    beside = sum(online[epoch["phase"]] for epoch in result["history"])
    return models * rows * ((1 + method.dropout_passes) * cached + beside)


def _scores(results: list[dict[str, Any]]) -> list[float]:
    return [result["metrics"]["test"][result["metric"]] for result in results]


def _with(run: RunConfig, name: str) -> RunConfig:
    return parse({**run.model_dump(mode="json"), "method": {"name": name}}, source="benchmark")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="emotion", choices=list(TEACHER_TRAIN))
    parser.add_argument("--methods", help="names, with commas between (default: all)")
    parser.add_argument("--limit", type=int, help="rows of train, for a quick look")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1e-4, help="learning rate of students")
    parser.add_argument("--teacher-epochs", type=int, help="more of them where --limit leaves few rows to learn from")
    parser.add_argument("--store", default="store")
    parser.add_argument("--out", default="methods.json")
    parser.add_argument("--address")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main, debug=True))

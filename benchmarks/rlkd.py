"""Does RL-KD find the right teacher? `python benchmarks/rlkd.py [--corpus sst2] [--limit 4000]`.

Three teachers of six MiniLM layers: a right one, a weak one (few steps at a low rate), and a bad one, which was trained
on rotated labels. Students of three layers on several seeds: by RL-KD with each reward, by the ensembles ens_u, ens_w,
ens_best and ens_rand, by plain kd with the right teacher alone, and the no-KD baseline. Prints the table and saves it
as JSON. What is in the store is not made again, so a stopped run goes on by the same command.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from written import origin

import kdray as kd
from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.methods import parse_method

METHODS: dict[str, dict[str, Any]] = {
    "RL-KD, reward 1": {"name": "rlkd", "reward_number": 1},
    "RL-KD, reward 2": {"name": "rlkd", "reward_number": 2},
    "RL-KD, reward 3": {"name": "rlkd", "reward_number": 3},
    "ens_u": {"name": "ens_u"},
    "ens_w": {"name": "ens_w"},
    "ens_best": {"name": "ens_best"},
    "ens_rand": {"name": "ens_rand"},
}


def main() -> None:
    arguments = _parser().parse_args()
    common = {"max_length": arguments.max_length, "precision": "fp32"}
    data = kd.Dataset.load(arguments.corpus, limit=arguments.limit)
    right = kd.Teacher("minilm", "right", common | {"epochs": 2, "learning_rate": 1e-4})
    weak = kd.Teacher("minilm", "weak", common | {"epochs": 1, "learning_rate": arguments.weak_rate, "seed": 1})
    fitted = kd.Teacher("minilm", "rotated", common | {"epochs": 2, "learning_rate": 1e-4, "seed": 2}).fit(
        rotated(data), store=arguments.store
    )
    assert fitted.fitted is not None
    bad = kd.Teacher(str(fitted.fitted.folder), "bad", {"max_length": arguments.max_length}, fine_tuned=True)
    shared: dict[str, Any] = {
        "seeds": arguments.seeds,
        "train": common | {"epochs": arguments.epochs, "learning_rate": 1e-4},
        "store": arguments.store,
        "outputs": {"quality_check": False},
    }
    alone = kd.compare(
        {"kd, the right teacher alone": parse_method({"name": "kd"})}, right, data, name="rlkd-one", **shared
    )
    several = {label: parse_method(settings) for label, settings in METHODS.items()}
    found = kd.compare(several, [right, weak, bad], data, name="rlkd", **shared)
    lines = [line(each) for result in (alone, found) for each in result.result["confirmation"]]
    lines = list({each["student"]: each for each in lines}.values())
    document: dict[str, Any] = {
        **origin(),
        "teachers": [{"name": each["name"], "test": each["test"]} for each in found.result["teachers"]],
        "rows": lines,
    }
    Path(arguments.out).write_text(json.dumps(document, indent=1) + "\n")
    print(table([{key: value for key, value in each.items() if key != "values"} for each in lines]))
    print("\n".join(f"teacher {each['name']}: {each['test']:.4f}" for each in document["teachers"]))


def rotated(data: kd.Dataset) -> kd.Dataset:
    """The same rows, each with the label after its own, so that a teacher of them is wrong where it is good."""
    frames = {split: data.to_pandas(split) for split in ("train", "test")}
    labels = sorted(set(frames["train"]["label"]))
    following = dict(zip(labels, labels[1:] + labels[:1], strict=True))
    for frame in frames.values():
        frame["label"] = frame["label"].map(following)
    texts = [name for name in frames["train"].columns if name not in ("id", "label", "idx")]
    return kd.Dataset.from_pandas(frames["train"], test=frames["test"], text=texts, labels=labels, name="rotated")


def line(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "student": row["label"],
        "accuracy": row["test"]["mean"],
        "±": row["test"]["std"],
        "p vs no-KD": (row["difference"] or {}).get("p_value"),
        "values": row["test"]["values"],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="sst2")
    parser.add_argument("--limit", type=int, default=4000, help="rows of train")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2, help="of the students")
    parser.add_argument("--weak-rate", type=float, default=1e-5, help="learning rate of the weak teacher")
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--store", default="store")
    parser.add_argument("--out", default="rlkd.json")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main, debug=True))

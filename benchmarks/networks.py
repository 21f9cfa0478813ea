"""TextCNN and BiLSTM students of a 12-layer teacher on every phrase of SST-2: `python benchmarks/networks.py`.

The teacher is fine-tuned on `--teacher-rows` rows of train, because all of them take hours without a GPU. Its outputs
are cached for all phrases. Students learn from all phrases, distilled and, in as many steps, with hard labels.
Word vectors begin as MiniLM's word table. Prints accuracy on the official dev set and the parameters without the word
table, over `--seeds` seeds. Everything is kept in `--store`: the same command continues a stopped run.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from written import origin

import kdray as kd
from kdray.cli.show import table
from kdray.config.load import checked
from kdray.distillation import StudentSettings
from kdray.methods import parse_method

STUDENTS = {
    "BiLSTM": {"name": "bilstm", "vectors": "encoder", "hidden": 150, "dense": 400},
    "BiLSTM of two layers": {"name": "bilstm", "vectors": "encoder", "hidden": 150, "layers": 2, "dense": 400},
    "TextCNN": {"name": "textcnn", "vectors": "encoder"},
}
WORD_TABLE = 30_522 * 384  # MiniLM's


def main() -> None:
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO)
    sst2 = kd.Dataset.load("sst2")
    teacher = _teacher(arguments)
    train = {"epochs": arguments.epochs, "batch_size": 128, "learning_rate": 1e-3}
    train |= {"max_length": 64, "precision": "fp32"}
    rows: list[dict[str, Any]] = []
    for title in arguments.students.split(","):
        settings = checked(StudentSettings, {"encoder": "minilm", "architecture": STUDENTS[title]})
        made = kd.compare(
            {"kd": parse_method({"name": "kd", "temperature": arguments.temperature, "alpha": arguments.alpha})},
            teacher,
            sst2,
            student=settings,
            seeds=arguments.seeds,
            train=train,
            outputs={"quality_check": False},
            store=str(arguments.store),
            name=title.replace(" ", "-").lower(),
        )
        parameters = {row["label"]: row["parameters"] - WORD_TABLE for row in made.result["confirmation"]}
        for row in made.to_pandas().to_dict("records"):
            rows.append({"architecture": title, **row, "word table aside": parameters[row["student"]]})
        arguments.out.write_text(json.dumps({**origin(), "rows": rows}, indent=1) + "\n")
    print(table(rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default="minilm", help="encoder of the teacher: a name or a folder of 12 x 768")
    parser.add_argument("--teacher-rows", type=int, default=20_000, help="of train, that the teacher learns; 0: all")
    parser.add_argument("--teacher-rate", type=float, default=3e-5)
    parser.add_argument("--students", default=",".join(STUDENTS), help="titles, comma-separated")
    parser.add_argument("--epochs", type=int, default=5, help="of the students")
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--alpha", type=float, default=0.9)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--store", type=Path, default=Path("networks-store"))
    parser.add_argument("--out", type=Path, default=Path("networks.json"))
    return parser


def _teacher(arguments: argparse.Namespace) -> kd.Teacher:
    """Fine-tuned on a part of train, and used as it is for the whole."""
    part = {"limit": arguments.teacher_rows} if arguments.teacher_rows else {}
    train = {"epochs": 1, "learning_rate": arguments.teacher_rate, "max_length": 64}
    learned = kd.Teacher(arguments.teacher, "teacher", train).fit(
        kd.Dataset.load("sst2", **part), store=str(arguments.store)
    )
    assert learned.fitted is not None
    return kd.Teacher(str(learned.fitted.folder), train={"max_length": 64}, fine_tuned=True)


if __name__ == "__main__":
    main()

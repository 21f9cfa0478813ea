"""Small students of a 12-layer teacher on every phrase of SST-2: `python benchmarks/networks.py`.

The teacher is fine-tuned on `--teacher-rows` rows of train, because all of them take hours without a GPU. Its outputs
are cached for all phrases. Students learn from all phrases, distilled and, in as many steps, with hard labels. With
`--reviews N`, their train rows include N sentences of IMDb's reviews as well, which have no label: only the teacher's
outputs teach them, and the baseline has no loss there.
Networks begin with MiniLM's word table, transformers (`--students "3 layers"`) with its layers. With `--glove FILE`
there are further students, of words that begin with the vectors of the file. Prints accuracy on the official dev set
and the parameters without the word table, over `--seeds` seeds. Everything is kept in `--store`: the same command
continues a stopped run.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from written import origin

import kdray as kd
from kdray.cli.show import table
from kdray.config.load import checked
from kdray.corpora import TASKS
from kdray.distillation import StudentSettings
from kdray.methods import parse_method
from kdray.models import Words
from kdray.pruning.sentences import sentence_spans

STUDENTS = {
    "BiLSTM": {"name": "bilstm", "vectors": "encoder", "hidden": 150, "dense": 400},
    "BiLSTM of two layers": {"name": "bilstm", "vectors": "encoder", "hidden": 150, "layers": 2, "dense": 400},
    "TextCNN": {"name": "textcnn", "vectors": "encoder"},
}
LAYERS = {"1 layer": 1, "3 layers": 3, "6 layers": 6}
MINILM_WIDTH = 384
REVIEW_WORDS = range(4, 41)  # of a sentence that is added
SEED = 0  # of the sentences that are drawn


def main() -> None:
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO)
    sst2 = _with_reviews(arguments.reviews) if arguments.reviews else kd.Dataset.load("sst2")
    teacher = _teacher(arguments)
    common = {"epochs": arguments.epochs, "max_length": 64}
    of_networks = {**common, "batch_size": 128, "learning_rate": 1e-3, "precision": "fp32"}
    of_layers = {**common, "batch_size": 32, "learning_rate": arguments.layers_rate}
    rows: list[dict[str, Any]] = []
    for title, settings in _students(arguments).items():
        made = kd.compare(
            {"kd": parse_method({"name": "kd", "temperature": arguments.temperature, "alpha": arguments.alpha})},
            teacher,
            sst2,
            student=settings,
            seeds=arguments.seeds,
            train=of_layers if title in LAYERS else of_networks,
            outputs={"quality_check": False},
            store=str(arguments.store),
            name=title.replace(" ", "-").lower(),
        )
        aside = None if title in LAYERS else _without_table(settings.architecture, arguments.glove)
        for row in made.to_pandas().to_dict("records"):
            rows.append({"architecture": title, **row, "word table aside": aside})
        arguments.out.write_text(json.dumps({**origin(), "rows": rows}, indent=1) + "\n")
    print(table(rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default="minilm", help="encoder of the teacher: a name or a folder of 12 x 768")
    parser.add_argument("--teacher-rows", type=int, default=20_000, help="of train, that the teacher learns; 0: all")
    parser.add_argument("--teacher-rate", type=float, default=3e-5)
    titles = ",".join([*STUDENTS, *LAYERS])
    parser.add_argument("--students", default=",".join(STUDENTS), help=f"some of {titles}; comma-separated")
    parser.add_argument("--glove", type=Path, help="a text file of word vectors: each student once more, of words")
    parser.add_argument("--reviews", type=int, default=0, help="sentences of IMDb's reviews that are added to train")
    parser.add_argument("--epochs", type=int, default=5, help="of the students")
    parser.add_argument("--layers-rate", type=float, default=1e-4, help="learning rate of the transformers")
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--alpha", type=float, default=0.9)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--store", type=Path, default=Path("networks-store"))
    parser.add_argument("--out", type=Path, default=Path("networks.json"))
    return parser


def _with_reviews(count: int) -> kd.Dataset:
    """SST-2 with sentences of IMDb's training reviews, drawn without their labels; none is a text of the dev split."""
    sst2 = kd.Dataset.load("sst2")
    frames = {split: sst2.to_pandas(split)[["sentence", "label"]] for split in ("train", "validation", "test")}
    seen = {" ".join(text.lower().split()) for frame in frames.values() for text in frame["sentence"]}
    found: dict[str, str] = {}
    for review in kd.Dataset.load("imdb").to_pandas("train")["text"]:
        review = review.replace("<br />", " ")
        for start, end in sentence_spans(review):
            sentence = review[start:end].strip()
            key = " ".join(sentence.lower().split())
            if len(key.split()) in REVIEW_WORDS and key not in seen:
                found.setdefault(key, sentence)
    drawn = np.random.default_rng(SEED).choice(sorted(found), size=count, replace=False)
    more = pd.DataFrame({"sentence": [found[key] for key in drawn], "label": None})
    return kd.Dataset.from_pandas(
        pd.concat([frames["train"], more]),
        validation=frames["validation"],
        test=frames["test"],
        text="sentence",
        labels=TASKS["sst2"].labels,
        name=f"sst2-reviews-{count}",
    )


def _students(arguments: argparse.Namespace) -> dict[str, StudentSettings]:
    titles = arguments.students.split(",")
    networks = [title for title in titles if title not in LAYERS]
    found: dict[str, dict[str, Any]] = {
        title: {"encoder": "minilm", "architecture": STUDENTS[title]} for title in networks
    }
    found |= {
        title: {"encoder": "minilm", "layers": LAYERS[title], "init": "skip"} for title in titles if title in LAYERS
    }
    for title in networks if arguments.glove else ():
        vectors = str(arguments.glove.resolve())
        found[f"{title} of words"] = {"architecture": {**STUDENTS[title], "units": "words", "vectors": vectors}}
    return {title: checked(StudentSettings, each) for title, each in found.items()}


def _without_table(architecture: Any, glove: Path | None) -> int:
    """Parameters of the network but those of the word table."""
    width = MINILM_WIDTH
    if glove is not None and architecture.units == "words":
        with glove.open(encoding="utf-8") as lines:
            width = next(lines).count(" ")
    network = architecture.network(Words(2, 0, torch.zeros(2, width)), 2)
    return sum(each.numel() for each in network.parameters()) - 2 * width


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

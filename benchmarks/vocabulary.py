"""What `vocabulary: trim` and `embedding_rank` leave of a student: `python benchmarks/vocabulary.py sst2 rte emotion`.

For each named corpus: tokens and parameters of the lowest layers of an encoder, whole, trimmed, and trimmed with a
factorized word table; how many rows of the validation and test splits get other tokens; and the mean cosine of what the
first layer reads of validation texts, with the factorized table and without.

With `--epochs 3` the same student is trained with the whole, the trimmed, and the trimmed and factorized word table, on
`--rows` rows and `--seeds` seeds, and scored on all test rows; otherwise nothing is trained.
"""

import argparse
import sys
import tempfile
from statistics import fmean
from typing import Any

import torch

import kdray as kd
from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.corpora import CorpusSettings, kdray_data, load_corpus
from kdray.distillation import StudentSettings
from kdray.distillation.build import COUNTED_TEXTS
from kdray.models import (
    TRANSFORMER,
    Narrow,
    changed_rows,
    forward,
    keep_layers,
    load_tokenizer,
    model_info,
    narrowed,
    resolve_encoder,
    token_counts,
    trim_vocabulary,
)
from kdray.stages import Context, InProcess, read
from kdray.store import Store

COMPARED = 256  # texts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=0, help="0 trains nothing")
    parser.add_argument("--rows", type=int, help="of train that are trained on (default: all)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the trainings")
    parser.add_argument("--store", default="vocabulary-store", help="keeps what was trained")
    arguments = parser.parse_args()
    shape = (arguments.encoder, arguments.layers, arguments.rank)
    print(table([_row(name, *shape) for name in arguments.corpora]))
    if arguments.epochs:
        print("\n" + table([_scores(name, arguments) for name in arguments.corpora]))


def _row(name: str, encoder: str, layers: int, rank: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="kdray-vocabulary-") as store:
        context = Context(Store(store), InProcess(), kdray_data())
        corpus = load_corpus(read(CorpusSettings(name=name), context).folder)
        tables = {split: corpus.table(split) for split in ("train", "validation", "test")}
    texts = {s: [t[field.name].to_pylist() for field in corpus.task.fields] for s, t in tables.items()}
    folder = resolve_encoder(encoder).folder
    model = TRANSFORMER.build(folder, labels=corpus.task.labels, seed=0)
    keep_layers(model, range(layers))
    tokenizer, whole = load_tokenizer(folder, model), model_info(model, name)
    tokens = int(model.config.vocab_size)
    training = [text for row in zip(*texts["train"], strict=True) for text in row]
    trimmed = trim_vocabulary(model, tokenizer, training)
    found = {"corpus": name, "train rows": len(tables["train"]), "tokens": tokens, "kept": model.config.vocab_size}
    found |= {"parameters": whole.parameters(), "left": model_info(model, name).parameters()}
    cut = narrowed(model, Narrow(embedding_rank=rank), seed=0, counts=token_counts(trimmed, training[:COUNTED_TEXTS]))
    found[f"left, rank {rank}"] = model_info(cut, name).parameters()
    found["cosine"] = round(_cosine(model, cut, trimmed, texts["validation"][0][:COMPARED]), 3)
    for split in ("validation", "test"):
        found[f"{split} rows"] = len(tables[split])
        found[f"{split} changed"] = changed_rows(tokenizer, trimmed, texts[split])
    return found


def _scores(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The mean test score of each kind of word table, and what it loses against the whole one in points."""
    whole: dict[str, Any] = {"encoder": arguments.encoder, "layers": arguments.layers}
    trimmed = {**whole, "vocabulary": "trim"}
    tables = {"whole": whole, "trimmed": trimmed}
    tables[f"trimmed, rank {arguments.rank}"] = {**trimmed, "embedding_rank": arguments.rank}
    data = kd.Dataset.load(name, **({} if arguments.rows is None else {"limit": arguments.rows}))
    train = {"epochs": arguments.epochs, "learning_rate": arguments.learning_rate, "precision": arguments.precision}
    found: dict[str, Any] = {"corpus": name, "seeds": arguments.seeds}
    for shown, settings in tables.items():
        scores: list[float] = []
        for seed in range(arguments.seeds):
            student = kd.distill(
                None,
                data,
                student=StudentSettings.model_validate(settings),
                train={**train, "seed": seed},
                store=arguments.store,
            )
            found["train rows"], found["metric"] = _train_rows(student), student.reading.metrics[0]
            scores.append(student.result["metrics"]["test"][student.reading.metrics[0]])
        found[shown] = fmean(scores)
        if shown != "whole":
            found[f"{shown}: points"] = round(100 * (found[shown] - found["whole"]), 2)
    return found


def _train_rows(student: kd.Student) -> int:
    assert student.corpus is not None
    return len(load_corpus(student.corpus).table("train"))


def _cosine(model: Any, cut: Any, tokenizer: Any, texts: list[str]) -> float:
    """The mean one of what the first layer reads of each token."""
    batch = dict(tokenizer(texts, padding=True, truncation=True, return_tensors="pt"))
    batch = {key: value for key, value in batch.items() if key != "token_type_ids"}
    with torch.inference_mode():
        embedded: list[Any] = [forward(each, batch, frozenset({"hidden"})).hidden for each in (model, cut)]
    cosines = torch.cosine_similarity(embedded[0][:, 0], embedded[1][:, 0], dim=-1)
    return float(cosines[batch["attention_mask"].bool()].mean())


if __name__ == "__main__":
    sys.exit(guarded(main, debug=False))

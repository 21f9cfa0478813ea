"""What `vocabulary: trim` and `embedding_rank` leave of a student: `python benchmarks/vocabulary.py sst2 rte emotion`.

For each named corpus: tokens and parameters of the lowest layers of an encoder, whole, trimmed, and trimmed with a
factorized word table; how many rows of the validation and test splits get other tokens; and the mean cosine of what the
first layer reads of validation texts, with the factorized table and without. Nothing is trained.
"""

import argparse
import sys
import tempfile
from typing import Any

import torch

from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.corpora import CorpusSettings, kdray_data, load_corpus
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
    arguments = parser.parse_args()
    shape = (arguments.encoder, arguments.layers, arguments.rank)
    print(table([_row(name, *shape) for name in arguments.corpora]))


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

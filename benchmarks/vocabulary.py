"""What `student.vocabulary: trim` leaves: `python benchmarks/vocabulary.py sst2 rte emotion`.

For each named corpus: tokens and parameters of the lowest layers of an encoder, before and after, and how many rows of
the validation and test splits get other tokens. Nothing is trained.
"""

import argparse
import sys
import tempfile
from typing import Any

from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.corpora import CorpusSettings, kdray_data, load_corpus
from kdray.models import (
    TRANSFORMER,
    changed_rows,
    keep_layers,
    load_tokenizer,
    model_info,
    resolve_encoder,
    trim_vocabulary,
)
from kdray.stages import Context, InProcess, read
from kdray.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--layers", type=int, default=3)
    arguments = parser.parse_args()
    print(table([_row(name, arguments.encoder, arguments.layers) for name in arguments.corpora]))


def _row(name: str, encoder: str, layers: int) -> dict[str, Any]:
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
    trimmed = trim_vocabulary(model, tokenizer, [text for column in texts["train"] for text in column])
    found = {"corpus": name, "train rows": len(tables["train"]), "tokens": tokens, "kept": model.config.vocab_size}
    found |= {"parameters": whole.parameters(), "left": model_info(model, name).parameters()}
    for split in ("validation", "test"):
        found[f"{split} rows"] = len(tables[split])
        found[f"{split} changed"] = changed_rows(tokenizer, trimmed, texts[split])
    return found


if __name__ == "__main__":
    sys.exit(guarded(main, debug=False))

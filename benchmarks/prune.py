"""Pruning by kdray and by what people write otherwise: `python benchmarks/prune.py --rows 10000 40000`.

Whole texts of SST-2's training split, each made different by a word of noise where there are not enough; policy
`lower_tail` with the strongest neighbors protected, so that all runners decide the same (above 20,000 rows kdray's
graph is cut into parts, and decisions differ: see the last column). Each runner is a process of its own: kdray's stage
`prune`, on Ray above 16,384 texts and in threads below; sentence-transformers with scikit-learn and all cosines at
once; plain Ray Data with batches of 32 as they come, then the same. Printed: processor and wall seconds with everything
that was started, private memory of the largest process, texts per second, and the share of decisions that agree with
kdray's.
Install the peer, in a folder that no environment knows, with
`pip install --no-deps --target .peers/st sentence-transformers`.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from family import measured

from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.corpora import CorpusSettings, kdray_data, read_corpus
from kdray.models import resolve_encoder

HERE = Path(__file__).parent
RUNNERS = ("kdray", "sentence-transformers", "ray-data")


def main() -> None:
    arguments = _parser().parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="kdray-prune-") as where:
        encoder = cut_encoder(arguments.layers, Path(where)) if arguments.layers else resolve_encoder("minilm").folder
        for turn in range(arguments.turns):
            for number in arguments.rows:
                corpus = _corpus(number, Path(where) / f"rows-{number}")
                decided: dict[str, np.ndarray] = {}
                for name in arguments.runners.split(","):
                    out = Path(where) / f"{name}-{number}-{turn}.npy"
                    decided[name], row = _timed(name, corpus, encoder, out)
                    first = next(iter(decided.values()))
                    agrees = float((decided[name] == first).mean())
                    rows.append({"runner": name, "rows": number, "turn": turn, **row, "agrees": agrees})
                    print(json.dumps(rows[-1]), flush=True)
    Path(arguments.out).write_text(json.dumps({"command": sys.argv, "rows": rows}, indent=1) + "\n")
    print(table(rows))


def _corpus(number: int, folder: Path) -> Path:
    """A folder of so many different texts, and the least that a corpus needs besides."""
    if folder.exists():
        return folder
    folder.mkdir()
    train = read_corpus(CorpusSettings.model_validate({"name": "sst2"}), data_dir=kdray_data()).splits["train"]
    draw = np.random.default_rng(0)
    texts = np.array(train["sentence"].to_pylist(), dtype=object)
    words = np.array(sorted({word for text in texts for word in text.split()}), dtype=object)
    again = np.resize(texts, number)
    noisy = [f"{text} {word}" for text, word in zip(again, draw.choice(words, number), strict=True)]
    labels = np.resize(np.array(train["label"].to_pylist()), number)
    pq.write_table(pa.table({"text": noisy, "label": labels}), folder / "train.parquet")
    for split in ("validation", "test"):
        pq.write_table(pa.table({"text": noisy[:20], "label": labels[:20]}), folder / f"{split}.parquet")
    return folder


def _timed(name: str, corpus: Path, encoder: Path, out: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Which rows were kept, and what it cost."""
    store = out.with_suffix(".store")
    paths = [str(HERE.parent), *([str(HERE.parent / ".peers" / "st")] if name == "sentence-transformers" else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, str(HERE / "prune_runners.py"), name, str(corpus), str(encoder), str(store), str(out)]
    used = measured(command, out.with_suffix(".log"), environment)
    kept = np.load(out)
    return kept, {
        "cpu s": used.cpu,
        "wall s": used.wall,
        "texts/s": len(kept) / used.wall,
        "driver MiB": used.driver,
        "worker MiB": used.worker,
        "pruned": 1 - float(kept.mean()),
    }


def cut_encoder(layers: int, folder: Path) -> Path:
    """MiniLM's first layers as an encoder of their own."""
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    source, target = resolve_encoder("minilm").folder, folder / f"minilm-{layers}"
    model: Any = AutoModel.from_pretrained(source, trust_remote_code=False, num_hidden_layers=layers)
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source, trust_remote_code=False).save_pretrained(target)
    return target


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000])
    parser.add_argument("--turns", type=int, default=1, help="how often every runner has its turn")
    parser.add_argument("--runners", default=",".join(RUNNERS))
    parser.add_argument("--layers", type=int, help="of the encoder (default: all)")
    parser.add_argument("--out", default="prune.json")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main, debug=True))

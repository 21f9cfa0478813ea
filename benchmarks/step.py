"""What logit KD from cached outputs costs beside plain fine-tuning, step by step on the same batches.

    python benchmarks/step.py [--layers 3] [--rows 256] [--batch-size 32] [--repeats 5]

Both run the project's own loop over the same student weights, rows and order, interleaved, one epoch a turn; printed
are the medians of seconds a step and their ratio. Target: KD at most 1.10 times plain.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from kdray.corpora import CorpusSettings, encode, read_corpus
from kdray.methods import KD, FineTune, Method
from kdray.models import keep_layers, load_classifier, load_tokenizer, resolve_encoder, resolve_precision
from kdray.signals import OutputsWriter
from kdray.train import CachedTeacher, Checkpoint, Hooks, Rows, SingleRank, Teacher, TrainingData, TrainSettings, fit


class NoCheckpoints:
    """Nothing is saved, so that the time is that of the training alone."""

    def save(self, checkpoint: Checkpoint) -> None: ...

    def load(self) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    folder = resolve_encoder("minilm").folder
    rows = _rows(folder, arguments.rows)
    settings = TrainSettings(
        epochs=1, batch_size=arguments.batch_size, max_length=64, precision=resolve_precision("auto"), keep="last"
    )
    with tempfile.TemporaryDirectory() as place:
        teacher = _teacher(Path(place), rows)
        turns: dict[str, list[float]] = {"plain": [], "kd": []}
        for turn in range(arguments.repeats + 1):  # the first turn warms up
            for name, method, teachers in (("plain", FineTune(), []), ("kd", KD(), [teacher])):
                seconds = _epoch(folder, arguments.layers, rows, method, teachers, settings)
                if turn:
                    turns[name].append(seconds)
    steps = -(-len(rows) // settings.batch_size)
    medians = {name: 1000 * statistics.median(values) / steps for name, values in turns.items()}
    for name, values in turns.items():
        low, high = 1000 * min(values) / steps, 1000 * max(values) / steps
        print(f"{name:6} {medians[name]:8.1f} ms a step (from {low:.1f} to {high:.1f})")
    print(f"ratio  {medians['kd'] / medians['plain']:8.3f}")


def _rows(folder: Path, number: int) -> Rows:
    corpus = read_corpus(CorpusSettings(name="sample", limit=number), data_dir=None)
    table = corpus.splits["train"]
    tokenizer = load_tokenizer(folder)
    texts = [table[field.name].to_pylist() for field in corpus.task.fields]
    labels = torch.tensor(table["label"].to_pylist())
    return Rows(table["id"].to_pylist(), encode(tokenizer, texts, max_length=64), labels, tokenizer.pad_token_id)


def _teacher(folder: Path, rows: Rows) -> Teacher:
    writer = OutputsWriter(folder, "train", rows.ids, {"logits": (2,)})
    writer.write(rows.ids, {"logits": np.random.default_rng(0).normal(size=(len(rows), 2)).astype(np.float32)})
    writer.finish()
    return CachedTeacher(folder, "train", rows.ids)


def _epoch(
    folder: Path, layers: int, rows: Rows, method: Method, teachers: list[Teacher], settings: TrainSettings
) -> float:
    student = load_classifier(folder, labels=("a", "b"), seed=0, head="fresh")
    keep_layers(student, list(range(layers)))
    hooks = Hooks(score=lambda model: 0.0, report=lambda epoch: None, checkpoints=NoCheckpoints(), title=method.name)
    start = time.perf_counter()
    fit(
        student,
        method=method,
        adapters=torch.nn.ModuleDict(),
        data=TrainingData(rows, teachers),
        settings=settings,
        hooks=hooks,
        ranks=SingleRank(),
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

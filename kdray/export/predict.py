"""Labels for texts by the ONNX model in a bundle. It needs onnxruntime, tokenizers and numpy, and nothing else.

    python predict.py "a very good film"
    python predict.py < rows.jsonl

A line of standard input is a JSON text, a list of texts, or an object with the columns of the corpus; a line of output
is a JSON object. From Python: `import predict; predict.load(".").predict(["a very good film"])`.
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

BATCH_ROWS = 32
Prune = Callable[[Sequence[str]], list[str]]


class Bundle:
    """A classifier: texts to token ids, the ONNX graph, logits to labels.

    Args:
        folder: It has `bundle.json`, `tokenizer.json` and `model.onnx`.
        threads: Of one prediction; 0 takes all cores.
        prune: Shortens texts before they are read; `load` gives the one of the bundle.
        graph: Another file than `model.onnx`.
    """

    def __init__(
        self, folder: Path, *, threads: int = 0, prune: Prune | None = None, graph: Path | None = None
    ) -> None:
        import onnxruntime  # kdray reads this file without it

        self.about: dict[str, Any] = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        self.tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads take no time from others
        self.session: Any = onnxruntime.InferenceSession(
            str(graph or folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [each.name for each in self.session.get_inputs()]
        self.prune = prune

    def encode(self, rows: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
        """Token ids of rows of one or two texts, padded to the longest: int64 [rows, tokens] by input."""
        columns = [list(column) for column in zip(*rows, strict=True)]
        if self.prune is not None:
            names = zip(self.about["fields"], columns, strict=True)
            columns = [self.prune(column) if name in self.about["prunable"] else column for name, column in names]
        texts = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
        found = self.tokenizer.encode_batch(texts)
        every = {
            "input_ids": [each.ids for each in found],
            "attention_mask": [each.attention_mask for each in found],
            "token_type_ids": [each.type_ids for each in found],
        }
        return {name: np.asarray(every[name], dtype=np.int64) for name in self.inputs}

    def forward(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Logits of a batch, float32 [rows, outputs]."""
        return self.session.run(None, batch)[0]

    def logits(self, texts: Sequence[Any], *, batch_rows: int = BATCH_ROWS) -> np.ndarray:
        """Logits of texts, or of pairs, in their order, float32 [rows, outputs]; rows of like length share a batch."""
        rows = [(each,) if isinstance(each, str) else tuple(each) for each in texts]
        for number, row in enumerate(rows):
            if len(row) != len(self.about["fields"]) or not all(isinstance(each, str) for each in row):
                wanted = ", ".join(self.about["fields"])
                raise ValueError(f"row {number} is {texts[number]!r}; expected one text for each of: {wanted}.")
        order = sorted(range(len(rows)), key=lambda row: sum(map(len, rows[row])))
        found: list[Any] = [None] * len(rows)
        for start in range(0, len(rows), batch_rows):
            batch = order[start : start + batch_rows]
            for row, values in zip(batch, self.forward(self.encode([rows[row] for row in batch])), strict=True):
                found[row] = values
        return np.stack(found) if found else np.zeros((0, len(self.about["labels"])), np.float32)

    def predict(self, texts: Sequence[Any]) -> list[dict[str, Any]]:
        """One record a row: its label (labels, or value) and the probabilities of all labels."""
        logits, labels = self.logits(texts).astype(np.float64), self.about["labels"]
        if self.about["task"] == "regression":
            return [{"value": float(row[0])} for row in logits]
        if self.about["task"] == "multi_label":
            scores = 1 / (1 + np.exp(-logits))
            chosen = [[label for label, p in zip(labels, row, strict=True) if p >= 0.5] for row in scores]
            return [{"labels": a, "probabilities": _named(labels, b)} for a, b in zip(chosen, scores, strict=True)]
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        return [{"label": labels[int(row.argmax())], "probabilities": _named(labels, row)} for row in scores]


def load(
    folder: str | Path, *, threads: int = 0, graph: Path | None = None, code: Path = Path(__file__).parent
) -> Bundle:
    """The bundle in a folder, with its pruner if it has one; `code` has the pruner's two modules."""
    place = Path(folder)
    prune = own_pruner(place, code) if (place / "pruner.json").is_file() else None
    return Bundle(place, threads=threads, prune=prune, graph=graph)


def own_pruner(folder: Path, code: Path) -> Prune:
    """Pruning by `pruner.json` of a bundle, with kdray's `sentences.py` and `importance.py` in the folder `code`."""
    saved = json.loads((folder / "pruner.json").read_text(encoding="utf-8"))
    sentences, importance = _module(code / "sentences.py"), _module(code / "importance.py")
    scale = importance.Scale(saved["lo"], saved["hi"])
    terms = importance.TermStatistics(saved["num_units"], saved["idf"])
    settings = saved["settings"]

    def shortened(text: str) -> str:
        units = [text[start:end] for start, end in sentences.sentence_spans(text)]
        found = scale.importance(importance.score(units, terms, settings["score"]))
        kept = found >= saved["threshold"]
        for unit in sorted(range(len(units)), key=lambda unit: -found[unit]):  # of equals the earliest
            if kept.sum() >= settings["min_keep"]:
                break
            kept[unit] = True
        return "".join(unit for unit, is_kept in zip(units, kept, strict=True) if is_kept)

    return lambda texts: [shortened(text) for text in texts]


def processor_flags() -> frozenset[str]:
    """What the processor can do, as Linux lists it; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def has_vnni(flags: frozenset[str]) -> bool:
    """Whether int8 products are summed without saturation."""
    return bool(flags & {"avx512_vnni", "avx_vnni"})


def _module(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _named(labels: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return {label: round(float(value), 6) for label, value in zip(labels, values, strict=True)}


def _lines(fields: Sequence[str]) -> Iterator[Any]:
    for number, line in enumerate(sys.stdin, start=1):
        if line.strip():
            try:
                found = json.loads(line)
                yield [found[name] for name in fields] if isinstance(found, dict) else found
            except (ValueError, KeyError) as error:
                raise ValueError(f"line {number} of standard input: {type(error).__name__}: {error}.") from error


def _main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("texts", nargs="*", help="one text, or the texts of a pair; without it standard input is read")
    parser.add_argument("--threads", type=int, default=0, help="of one prediction (default: all cores)")
    parser.add_argument("--bundle", type=Path, default=Path(__file__).parent, help="folder (default: this script's)")
    arguments = parser.parse_args()
    bundle = load(arguments.bundle, threads=arguments.threads)
    int8, flags = bundle.about.get("int8"), processor_flags()
    if int8 and not int8["reduce_range"] and flags and not has_vnni(flags):
        print("predict.py: this processor has no VNNI, so int8 may be less accurate than measured.", file=sys.stderr)
    try:
        rows = [arguments.texts] if arguments.texts else list(_lines(bundle.about["fields"]))
        for record in bundle.predict(rows):
            print(json.dumps(record, ensure_ascii=False))
    except ValueError as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main())

"""Labels for texts by the ONNX model in a bundle. It needs onnxruntime, tokenizers and numpy, and nothing else.

    python predict.py "a very good film"
    python predict.py < rows.jsonl

A line of standard input is a JSON text, a list of texts (of tokens, where these have tags), or an object with the
columns of the corpus; a line of output is a JSON object. From Python:
`import predict; predict.load(".").predict(["a very good film"])`.
"""

import argparse
import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

BATCH_ROWS = 32
MOST_TOKENS = 1_000_000  # of a row
FORMATS = ("onnx", "onnx-int8")
TAGS = "token_classification"  # a tag for each word of a row
TASKS = ("single_label", "multi_label", "regression", TAGS)
WORD = re.compile(r"\w+(?:[^\w\s]\w+)*|[^\w\s]")  # letters and digits with single signs inside, or one other sign
GRAPH, TOKENIZER, PRUNER = "model.onnx", "tokenizer.json", "pruner.json"
FILES, PRUNER_FILES = {GRAPH, TOKENIZER, "predict.py"}, {PRUNER, "sentences.py", "importance.py"}
INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
Prune = Callable[[Sequence[str]], list[str]]


class Bundle:
    """A classifier: texts to token ids, the ONNX graph, logits to labels.

    Args:
        folder: It has `tokenizer.json` and `model.onnx`.
        about: What `read_about` gives for the folder.
        threads: Of one prediction; 0 takes all cores.
        prune: Shortens texts before they are read; `load` gives the one of the bundle.
        graph: Another file than `model.onnx`.

    Raises:
        ValueError: The tokenizer or the graph cannot be used, or the graph has not one output a label.
    """

    def __init__(
        self,
        folder: Path,
        about: dict[str, Any],
        *,
        threads: int = 0,
        prune: Prune | None = None,
        graph: Path | None = None,
    ) -> None:
        self.about, self.prune, file = about, prune, graph or folder / GRAPH
        try:
            self.tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # tokenizers raises no other class
            raise _refused(folder / TOKENIZER, "is no tokenizer", error) from error
        try:
            self._start(file, threads)
            found = self.forward(self.encode([[["a"]] if self.has_tags else ["a"] * len(about["fields"])])).shape
        except ImportError:
            raise
        except Exception as error:  # onnxruntime raises many kinds
            raise _refused(file, "is no graph that can be run", error) from error
        if (found[0], *found[1 + self.has_tags :]) != (1, len(about["labels"])):
            raise _refused(file, f"gives logits of shape {list(found)} for one row and {len(about['labels'])} labels")

    def _start(self, graph: Path, threads: int) -> None:
        import onnxruntime  # kdray reads this file without it

        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads take no time from others
        self.session: Any = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.inputs = [each.name for each in self.session.get_inputs()]
        if other := set(self.inputs) - INPUTS:
            raise ValueError(f"it has the input {min(other)}")

    @property
    def has_tags(self) -> bool:
        """Whether a row is a list of words, each of which gets a tag."""
        return self.about["task"] == TAGS

    def shortened(self, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The texts as the graph reads them: pruned, where it was trained on pruned texts."""
        columns = [list(column) for column in zip(*rows, strict=True)]
        if self.prune is not None:
            names = zip(self.about["fields"], columns, strict=True)
            columns = [self.prune(column) if name in self.about["prunable"] else column for name, column in names]
        return list(zip(*columns, strict=True))

    def encode(self, rows: Sequence[Sequence[Any]]) -> dict[str, np.ndarray]:
        """Token ids of rows of one or two texts (or one list of words), padded: int64 [rows, tokens] by input."""
        return self._inputs(self._tokenized(rows))

    def _tokenized(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        texts = [each[0] if len(each) == 1 else each for each in self.shortened(rows)]
        return self.tokenizer.encode_batch(texts, is_pretokenized=self.has_tags)

    def _inputs(self, found: Sequence[Any]) -> dict[str, np.ndarray]:
        every = {
            "input_ids": [each.ids for each in found],
            "attention_mask": [each.attention_mask for each in found],
            "token_type_ids": [each.type_ids for each in found],
        }
        return {name: np.asarray(every[name], dtype=np.int64) for name in self.inputs}

    def forward(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Logits of a batch, float32 [rows, outputs]; of tags [rows, tokens, outputs]."""
        return self.session.run(None, batch)[0]

    def _scored(self, rows: Sequence[Sequence[Any]]) -> Any:
        """Logits of each row, [outputs]; of tags [words, outputs], those of a word's first token."""
        found = self._tokenized(rows)
        logits = self.forward(self._inputs(found))
        if not self.has_tags:
            return logits
        scored = zip(logits, found, rows, strict=True)
        return [_at_words(tokens, each.word_ids, len(row[0])) for tokens, each, row in scored]

    def logits(self, texts: Sequence[Any], *, batch_rows: int = BATCH_ROWS) -> np.ndarray:
        """Logits of texts, or of pairs, in their order, float32 [rows, outputs]; rows of like length share a batch.

        Of texts or lists of words with tags [rows, words, outputs]; NaN where a row has no word, or it is not read.
        """
        rows = [self.row(f"texts[{number}]", each) for number, each in enumerate(texts)]
        order = sorted(range(len(rows)), key=lambda row: sum(map(len, rows[row])))
        found: list[Any] = [None] * len(rows)
        for start in range(0, len(rows), batch_rows):
            batch = order[start : start + batch_rows]
            for row, values in zip(batch, self._scored([rows[row] for row in batch]), strict=True):
                found[row] = values
        if self.has_tags:
            width = max(map(len, found), default=0)
            found = [np.pad(each, ((0, width - len(each)), (0, 0)), constant_values=np.nan) for each in found]
        shape = (0, 0) if self.has_tags else (0,)
        return np.stack(found) if found else np.zeros((*shape, len(self.about["labels"])), np.float32)

    def row(self, where: str, given: Any) -> tuple[Any, ...]:
        """One row as the graph reads it.

        Args:
            where: How errors name it.

        Raises:
            ValueError: It is something else.
        """
        if self.has_tags:
            words = _words(given)
            if isinstance(words, list | tuple) and all(isinstance(each, str) and each for each in words):
                return (list(words),)
            raise ValueError(f"{where} is {given!r}; expected a text, or a list of tokens that are not empty.")
        row = tuple(given) if isinstance(given, list | tuple) else (given,)
        if len(row) != len(self.about["fields"]) or not all(isinstance(each, str) for each in row):
            wanted = ", ".join(self.about["fields"])
            raise ValueError(f"{where} is {given!r}; expected one text for each of: {wanted}.")
        return row

    def predict(self, texts: Sequence[Any]) -> list[dict[str, Any]]:
        """One record a row: its label (labels, or value) and the probabilities of all labels. With tags as `tagged`."""
        logits, labels = self.logits(texts).astype(np.float64), self.about["labels"]
        if self.about["task"] == "regression":
            return [{"value": float(row[0])} for row in logits]
        logits /= self.about.get("temperature") or 1.0
        if self.about["task"] == "multi_label":
            scores = 1 / (1 + np.exp(-logits))
            chosen = [[label for label, p in zip(labels, row, strict=True) if p >= 0.5] for row in scores]
            return [{"labels": a, "probabilities": _named(labels, b)} for a, b in zip(chosen, scores, strict=True)]
        scores = np.exp(logits - logits.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        if self.has_tags:
            return [tagged(row, labels, _only(given)) for row, given in zip(scores, texts, strict=True)]
        least = self.about.get("abstain_below") or 0.0
        chosen = [labels[int(row.argmax())] if row.max() >= least else None for row in scores]
        return [{"label": a, "probabilities": _named(labels, b)} for a, b in zip(chosen, scores, strict=True)]


def words_of(text: str) -> list[tuple[str, int, int]]:
    """The words of a text, each with its first character and the one behind it.

    >>> [word for word, _, _ in words_of("(Ada's U.N. speech)")]
    ['(', "Ada's", 'U.N', '.', 'speech', ')']
    """
    return [(found.group(), *found.span()) for found in WORD.finditer(text)]


def tagged(scores: np.ndarray, labels: Sequence[str], row: str | Sequence[str]) -> dict[str, Any]:
    """The tags of a row's words, and its entities.

    Args:
        scores: Probabilities, [words, tags]; NaN for words that were not read, which are `O`. More are left out.
        row: A list of words, or a text, whose words are those of `words_of`.

    Returns:
        `tags`, one a word; and `entities`, each with its type, its first word and the one behind it, these `tokens`,
        and as confidence the mean probability of its tags. Of a text, `start` and `end` are characters and an entity
        has its `text`; `tokens` are the words of the text.

    >>> tagged(np.array([[0.1, 0.9, 0.0], [0.2, 0.1, 0.7], [1.0, 0.0, 0.0]]), ["O", "B-PER", "I-PER"], "Ada King!")
    ... # doctest: +NORMALIZE_WHITESPACE
    {'tokens': ['Ada', 'King', '!'], 'tags': ['B-PER', 'I-PER', 'O'],
     'entities': [{'type': 'PER', 'start': 0, 'end': 8, 'text': 'Ada King', 'confidence': 0.8}]}
    """
    words = words_of(row) if isinstance(row, str) else [(word, at, at + 1) for at, word in enumerate(row)]
    scores = scores[: len(words)]
    tags = ["O" if np.isnan(each[0]) else labels[int(each.argmax())] for each in scores]
    found: list[tuple[str, int, int]] = []
    before = ""
    for at, tag in enumerate(tags):
        kind = tag[2:]
        if kind and kind == before and not tag.startswith("B-"):
            found[-1] = (kind, found[-1][1], at + 1)
        elif kind:
            found.append((kind, at, at + 1))
        before = kind
    entities: list[dict[str, Any]] = []
    for kind, first, behind in found:
        start, end = words[first][1], words[behind - 1][2]
        own = {"text": row[start:end]} if isinstance(row, str) else {"tokens": list(row[start:end])}
        confidence = round(float(scores[first:behind].max(axis=1).mean()), 6)
        entities.append({"type": kind, "start": start, "end": end, **own, "confidence": confidence})
    tokens = {"tokens": [word for word, _, _ in words]} if isinstance(row, str) else {}
    return {**tokens, "tags": tags, "entities": entities}


def load(
    folder: str | Path, *, threads: int = 0, graph: Path | None = None, code: Path = Path(__file__).parent
) -> Bundle:
    """The bundle in a folder, with its pruner if it has one; `code` has the pruner's two modules.

    Raises:
        ValueError: A file of the bundle is not as it was exported, or cannot be used.
    """
    place = Path(folder)
    about = read_about(place, unread={GRAPH} if graph else set())
    prune = None
    if PRUNER in about["files"]:
        try:
            prune = own_pruner(place, code)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise _refused(place / PRUNER, "is no pruner", error) from error
    return Bundle(place, about, threads=threads, prune=prune, graph=graph)


def read_about(folder: Path, *, unread: Set[str] = frozenset()) -> dict[str, Any]:
    """What `bundle.json` holds, if it and all files of the bundle are as they were exported.

    Args:
        unread: Files that will not be used, so that they are not compared.

    Raises:
        ValueError: They are not, or a value is not allowed.
    """
    file = folder / "bundle.json"
    try:
        about: Any = json.loads(file.read_text(encoding="utf-8"))
        whole = isinstance(about, dict) and about.get("digest") == digest_of(about)
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(file, "cannot be read", error) from error
    if not whole:
        raise _refused(file, "is damaged, was changed, or is of an earlier version (its digest does not fit)")
    if fault := _fault_of(about):
        raise _refused(file, f"has {fault}")
    for name in sorted(about["files"].keys() - unread):
        try:
            same = sha256_of(folder / name) == about["files"][name]
        except OSError as error:
            raise _refused(folder / name, "cannot be read", error) from error
        if not same:
            raise _refused(folder / name, f"is not the file that was exported (its sha256 is not that of {file.name})")
    return about


def digest_of(about: Mapping[str, Any]) -> str:
    """The sha256 (hex) of everything that `bundle.json` holds but the digest itself."""
    plain = {key: value for key, value in about.items() if key != "digest"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sha256_of(file: Path) -> str:
    """The sha256 (hex) of a regular file.

    Raises:
        OSError: It is missing, or a folder, a device or a pipe.
    """
    if file.exists() and not file.is_file():
        raise OSError("it is no regular file")
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


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


def _refused(file: Path, what: str, error: Exception | None = None) -> ValueError:
    why = f" ({type(error).__name__}: {' '.join(str(error).split())[:200]})" if error else ""
    return ValueError(f"{file} {what}{why}; export the bundle again.")


def _fault_of(about: dict[str, Any]) -> str | None:
    """The first value that is not allowed, or None."""
    files: Any = about.get("files")
    fields: Any = about.get("fields")
    int8: Any = about.get("int8")
    if about.get("format") not in FORMATS or about.get("task") not in TASKS:
        given = f"the format {about.get('format')!r} and the task {about.get('task')!r}"
        return f"{given}; allowed are {', '.join(FORMATS)} and {', '.join(TASKS)}"
    if not isinstance(files, dict) or set(files) not in (FILES, FILES | PRUNER_FILES):
        return f"other files than {', '.join(sorted(FILES))} and, with a pruner, {', '.join(sorted(PRUNER_FILES))}"
    if not _are_names(about.get("labels"), 10**6):
        return "labels that are not distinct texts"
    if not _are_names(fields, 2) or "" in fields:
        return "fields that are not one or two distinct texts"
    prunable: Any = about.get("prunable")
    if prunable != [] and not (_are_names(prunable, 2) and set(prunable) <= set(fields) and PRUNER in files):
        return f"prunable = {prunable!r}; allowed are its fields, and none without {PRUNER}"
    tokens: Any = about.get("max_length")
    if type(tokens) is not int or not 1 <= tokens <= MOST_TOKENS:
        return f"max_length = {tokens!r}; allowed are whole numbers from 1 to {MOST_TOKENS:,}"
    if fault := _fault_of_scores(about):
        return fault
    if int8 is not None and not (isinstance(int8, dict) and isinstance(int8.get("reduce_range"), bool)):
        return "int8 without reduce_range"
    return None


def _fault_of_scores(about: dict[str, Any]) -> str | None:
    temperature: Any = about.get("temperature")
    least: Any = about.get("abstain_below")
    if temperature is not None and not (type(temperature) is float and 0.01 <= temperature <= 100):
        return f"temperature = {temperature!r}; allowed are 0.01 to 100"
    if least is not None and not (type(least) is float and 0 <= least <= 1):
        return f"abstain_below = {least!r}; allowed are 0 to 1"
    return None


def _are_names(found: Any, most: int) -> bool:
    return (
        isinstance(found, list)
        and 1 <= len(found) <= most
        and all(isinstance(each, str) for each in found)
        and len(set(found)) == len(found)
    )


def _module(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _only(row: Any) -> Any:
    """What a row of one column holds."""
    return row[0] if isinstance(row, tuple) and len(row) == 1 else row


def _words(given: Any) -> Any:
    row = _only(given)
    return [word for word, _, _ in words_of(row)] if isinstance(row, str) else row


def _at_words(tokens: np.ndarray, word_ids: Sequence[int | None], number: int) -> np.ndarray:
    """Logits of the first token of each of a row's words, [words, outputs]; NaN where a word has none."""
    found = np.full((number, tokens.shape[1]), np.nan, np.float32)
    for place in range(len(word_ids) - 1, -1, -1):
        if (word := word_ids[place]) is not None:
            found[word] = tokens[place]
    return found


def _named(labels: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return {label: round(float(value), 6) for label, value in zip(labels, values, strict=True)}


def _lines(bundle: Bundle) -> Iterator[Any]:
    fields, example = bundle.about["fields"], _example(bundle)
    if sys.stdin.isatty():
        print(
            f"predict.py: reads lines from the terminal, such as {example}; Ctrl-D ends them. Texts may also be "
            "arguments; --help lists them.",
            file=sys.stderr,
        )
    for number, line in enumerate(sys.stdin, start=1):
        where = f"line {number} of standard input"
        if line.strip():
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                why = getattr(error, "msg", error)  # of JSON without its own count of lines
                raise ValueError(f"{where} is no JSON ({why}); a line is such as {example}.") from error
            if isinstance(found, dict) and (missing := [name for name in fields if name not in found]):
                raise ValueError(f"{where} has no key {missing[0]!r}; a line is such as {example}.")
            row = tuple(found[name] for name in fields) if isinstance(found, dict) else found
            bundle.row(where, row)
            yield row


def _example(bundle: Bundle) -> str:
    """A line of standard input."""
    if bundle.has_tags:
        return '["Ada", "lived"]'
    fields = bundle.about["fields"]
    return '"a text"' if len(fields) == 1 else json.dumps(dict.fromkeys(fields, "..."))


def _main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("texts", nargs="*", help="texts, or the two texts of a pair; without them, standard input")
    parser.add_argument("--threads", type=int, default=0, help="of one prediction (default: all cores)")
    parser.add_argument("--bundle", type=Path, default=Path(__file__).parent, help="folder (default: this script's)")
    arguments = parser.parse_args()
    try:
        bundle = load(arguments.bundle, threads=arguments.threads)
        int8, flags = bundle.about["int8"], processor_flags()
        if int8 and not int8["reduce_range"] and flags and not has_vnni(flags):
            print(
                "predict.py: this processor has no VNNI, so int8 may be less accurate than measured.", file=sys.stderr
            )
        rows: list[Any] = arguments.texts or list(_lines(bundle))
        if arguments.texts and len(bundle.about["fields"]) == 2:
            rows = [bundle.row("the list of arguments", rows)]
        for record in bundle.predict(rows):
            print(json.dumps(record, ensure_ascii=False))
    except ValueError as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main())

"""A smaller word table: only the tokens that a task's texts use, and what every other text can be spelled with.

Kept are the tokens of the given texts, the special tokens, and all single characters (and bytes) with their
continuations. A text of kept tokens is tokenized as before and gets the same logits, bit for bit; any other text is
spelled with shorter tokens.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from kdray.errors import ConfigError
from kdray.models.encoders import load_tokenizer

CHUNK_TEXTS = 8192
CONTINUATION = "##"  # of WordPiece
WORD_START = "▁"  # of Unigram


def trim_vocabulary(model: Any, tokenizer: Any, texts: Iterable[str]) -> Any:
    """Cut the model's word table, in place, to the tokens that are kept; returns the tokenizer for it.

    Args:
        model: A transformer.
        tokenizer: Its tokenizer, which stays as it is.
        texts: All that the model will be trained on.

    Raises:
        ConfigError: The tokenizer is of a kind that cannot be trimmed.
    """
    texts = list(texts)
    plain: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = plain["model"]["type"]
    if kind not in _KEPT:
        raise ConfigError(
            f"student.vocabulary = trim: the tokenizer is of the kind {kind}; allowed are {', '.join(_KEPT)}; set "
            "student.vocabulary=full."
        )
    special = {entry["id"] for entry in plain["added_tokens"]}
    wanted = _KEPT[kind](plain["model"], _used(tokenizer, texts) | special) | special
    kept = sorted(wanted)
    numbers = {old: new for new, old in enumerate(kept)}
    _renumber(plain, numbers)
    with tempfile.TemporaryDirectory(prefix="kdray-vocabulary-") as folder:
        tokenizer.save_pretrained(folder)
        (Path(folder) / "tokenizer.json").write_text(json.dumps(plain, ensure_ascii=False), encoding="utf-8")
        (Path(folder) / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")
        trimmed = load_tokenizer(Path(folder), model)
    _check_same(tokenizer, trimmed, texts, numbers)
    _cut(model, kept, numbers)
    return trimmed


def changed_rows(before: Any, after: Any, columns: Iterable[Sequence[str]]) -> int:
    """How many rows get other tokens from the second tokenizer than from the first."""
    found: set[int] = set()
    for texts in columns:
        for start in range(0, len(texts), CHUNK_TEXTS):
            part = texts[start : start + CHUNK_TEXTS]
            pairs = zip(_encoded(before, part), _encoded(after, part), strict=True)
            found |= {start + row for row, (one, other) in enumerate(pairs) if one.tokens != other.tokens}
    return len(found)


def token_counts(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """How often each token occurs in the texts, with the special tokens of each text."""
    found = Counter[int]()
    for start in range(0, len(texts), CHUNK_TEXTS):
        for each in _encoded(tokenizer, texts[start : start + CHUNK_TEXTS], special=True):
            found.update(each.ids)
    return [found[number] for number in range(len(tokenizer))]


def _used(tokenizer: Any, texts: list[str]) -> set[int]:
    used: set[int] = set()
    for start in range(0, len(texts), CHUNK_TEXTS):
        for each in _encoded(tokenizer, texts[start : start + CHUNK_TEXTS]):
            used.update(each.ids)
    return used


def _encoded(tokenizer: Any, texts: Sequence[str], *, special: bool = False) -> list[Any]:
    whole: Any = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    whole.no_truncation()
    whole.no_padding()
    return whole.encode_batch(list(texts), add_special_tokens=special)


def _kept_pieces(model: Mapping[str, Any], used: set[int]) -> set[int]:
    """WordPiece takes the longest token that fits, so shorter ones may go."""
    return (
        used
        | {number for token, number in model["vocab"].items() if len(token.removeprefix(CONTINUATION)) == 1}
        | {model["vocab"][model["unk_token"]]}
    )


def _kept_unigrams(model: Mapping[str, Any], used: set[int]) -> set[int]:
    """Unigram takes the most likely cut, which stays so without other tokens."""
    one = {number for number, (token, _) in enumerate(model["vocab"]) if len(token.removeprefix(WORD_START)) <= 1}
    bytes_ = {number for number, (token, _) in enumerate(model["vocab"]) if token.startswith("<0x")}
    return used | one | bytes_ | {model["unk_id"]}


def _kept_merges(model: Mapping[str, Any], used: set[int]) -> set[int]:
    """BPE builds a token by merges, so the parts of each are kept too."""
    vocab: dict[str, int] = model["vocab"]
    parts: dict[str, list[tuple[str, str]]] = {}
    for merge in model["merges"]:
        left, right = merge if isinstance(merge, list) else merge.split(" ")
        parts.setdefault(left + right, []).append((left, right))
    names = {number: token for token, number in vocab.items()}
    found = {token for token in vocab if token not in parts}
    waiting = [names[number] for number in used if number in names]
    while waiting:
        token = waiting.pop()
        if token not in found:
            found.add(token)
            waiting += [part for pair in parts[token] for part in pair]
    return used | {vocab[token] for token in found}


_KEPT = {"WordPiece": _kept_pieces, "Unigram": _kept_unigrams, "BPE": _kept_merges}


def _renumber(plain: dict[str, Any], numbers: Mapping[int, int]) -> None:
    """The definition of a tokenizer with the kept tokens alone, under their new numbers."""
    model = plain["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [model["vocab"][old] for old in numbers if old < len(model["vocab"])]
        model["unk_id"] = numbers[model["unk_id"]]
    else:
        model["vocab"] = {token: numbers[old] for token, old in model["vocab"].items() if old in numbers}
    if model["type"] == "BPE":
        pairs = [merge if isinstance(merge, list) else merge.split(" ") for merge in model["merges"]]
        vocab = model["vocab"]
        model["merges"] = [[a, b] for a, b in pairs if a in vocab and b in vocab and a + b in vocab]
    for entry in plain["added_tokens"]:
        entry["id"] = numbers[entry["id"]]
    if plain["padding"]:
        plain["padding"]["pad_id"] = numbers[plain["padding"]["pad_id"]]
    processor = plain["post_processor"] or {}
    for each in processor.get("processors", [processor]):
        for name in ("sep", "cls"):  # of BERT's and RoBERTa's kinds
            if name in each:
                each[name][1] = numbers[each[name][1]]
        for token in each.get("special_tokens", {}).values():  # of templates
            token["ids"] = [numbers[old] for old in token["ids"]]


def _check_same(before: Any, after: Any, texts: list[str], numbers: Mapping[int, int]) -> None:
    for start in range(0, len(texts), CHUNK_TEXTS):
        part = texts[start : start + CHUNK_TEXTS]
        for text, one, other in zip(part, _encoded(before, part), _encoded(after, part), strict=True):
            if [numbers[old] for old in one.ids] != other.ids:
                raise ConfigError(
                    f"student.vocabulary = trim: without the tokens that no text has, {text[:60]!r} gets other tokens; "
                    "set student.vocabulary=full."
                )


def _cut(model: Any, kept: list[int], numbers: Mapping[int, int]) -> None:
    """The rows of the word table that are kept; numbers of special tokens in the configuration follow."""
    table: Any = model.get_input_embeddings()
    padding = table.padding_idx
    if padding is not None and numbers[padding] != padding and _counts_from_padding(model):
        raise ConfigError(
            "student.vocabulary = trim: the positions of this model are counted from its padding token, which would "
            "get another number; set student.vocabulary=full."
        )
    cut = nn.Embedding(len(kept), table.embedding_dim, None if padding is None else numbers[padding])
    with torch.no_grad():
        cut.weight.copy_(table.weight[kept])
    model.set_input_embeddings(cut.to(table.weight.dtype))
    model.config.vocab_size = len(kept)
    for name, value in list(vars(model.config).items()):
        if name.endswith("_token_id") and isinstance(value, int):
            setattr(model.config, name, numbers.get(value))


def _counts_from_padding(model: Any) -> bool:
    return any(
        name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
        for name, module in model.named_modules()
    )

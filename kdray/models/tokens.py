"""Transformers with a head on every token, for tags of words: ordinary Hugging Face folders, too."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import transformers
from jaxtyping import Float, Int
from torch import Tensor

from kdray.models.architecture import Head
from kdray.models.encoders import load_tokenizer, load_transformer
from kdray.models.info import ModelInfo
from kdray.models.transformer import Transformer
from kdray.signals import Need, Signals

USAGE = """```python
from transformers import pipeline
tag = pipeline("token-classification", "PATH/TO/THIS/FOLDER", aggregation_strategy="simple")
```"""
SUFFIX = "ForTokenClassification"  # of the classes of transformers


class TokenTransformer(Transformer):
    """Layers of a pretrained encoder, with a classifier on the first token of each word."""

    gives: ClassVar[frozenset[Need]] = frozenset({"logits", "hidden", "attn", "qkv", "qkv_last"})
    usage: ClassVar[str] = USAGE
    pipeline: ClassVar[str] = "token-classification"

    name: Literal["token_transformer"] = "token_transformer"  # pyright: ignore[reportIncompatibleVariableOverride]

    def build(self, folder: Path, *, labels: Sequence[str], seed: int, head: Head = "fresh") -> Any:
        return load_transformer(folder, labels=labels, seed=seed, head=head, of_tokens=True)

    def load(self, folder: Path, *, labels: Sequence[str], seed: int, head: Head = "own") -> Any:
        return load_transformer(folder, labels=labels, seed=seed, head=head, of_tokens=True)

    def forward(self, model: Any, batch: Mapping[str, Tensor], needs: frozenset[str]) -> Signals:
        """Logits of words where the batch says where these begin (`word_starts`), else of tokens."""
        signals = super().forward(model, {key: each for key, each in batch.items() if key != "word_starts"}, needs)
        if "word_starts" not in batch:
            return signals
        return replace(signals, logits=at_words(signals.logits, batch["word_starts"]))

    def info(self, model: Any, name: str, tokenizer: Any = None) -> ModelInfo:
        return replace(super().info(model, name, tokenizer), gives=tuple(sorted(self.gives)))

    def expected(self, folder: Path, name: str = "") -> ModelInfo:
        return replace(super().expected(folder, name), gives=tuple(sorted(self.gives)))

    def scores(self, folder: Path, rows: Sequence[Sequence[Any]]) -> Float[Tensor, "rows words tags"]:
        """By transformers alone, of rows of words; NaN for words that the model does not read.

        Raises:
            ValueError: `transformers.pipeline` finds other entities in a row than the logits of its tokens give.
        """
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model: Any = transformers.AutoModelForTokenClassification.from_pretrained(folder, trust_remote_code=False)
        words = [list(row[0]) for row in rows]
        _check_pipeline(folder, self.load(folder, labels=list(model.config.id2label.values()), seed=0), words)
        batch = tokenizer(words, is_split_into_words=True, truncation=True, padding=True, return_tensors="pt")
        starts = torch.full((len(words), max(map(len, words))), -1)
        for row in range(len(words)):
            ids: list[int | None] = batch.word_ids(row)
            for word in {each for each in ids if each is not None}:
                starts[row, word] = ids.index(word)
        with torch.no_grad():
            return at_words(model(**batch).logits, starts).softmax(-1)


def at_words(
    logits: Float[Tensor, "rows tokens tags"], starts: Int[Tensor, "rows words"]
) -> Float[Tensor, "rows words tags"]:
    """The logits of the first token of each word; NaN where a word has none (-1)."""
    at = starts.clamp(min=0).unsqueeze(-1).expand(-1, -1, logits.shape[-1])
    return torch.where(starts.unsqueeze(-1) >= 0, logits.gather(1, at), torch.nan)


def grouped(tags: Sequence[str], spans: Sequence[tuple[int, int]]) -> list[tuple[str, int, int]]:
    """Entities of tokens (type, first and last character), as `aggregation_strategy="simple"` groups them.

    >>> grouped(["B-PER", "I-PER", "O", "I-LOC"], [(0, 3), (3, 5), (6, 8), (9, 12)])
    [('PER', 0, 5), ('LOC', 9, 12)]
    """
    found: list[tuple[str, int, int]] = []
    before = "O"
    for tag, (start, end) in zip(tags, spans, strict=True):
        kind = tag[2:] if tag[:2] in ("B-", "I-") else tag
        if kind != "O":
            if kind == before and not tag.startswith("B-"):
                found[-1] = (kind, found[-1][1], end)
            else:
                found.append((kind, start, end))
        before = kind
    return found


def _check_pipeline(folder: Path, model: Any, rows: Sequence[Sequence[str]]) -> None:
    """Texts, which are the rows' words with spaces between them, give the same entities in the saved folder's pipeline
    as the argmax of each token's logits."""
    find: Any = transformers.pipeline(
        "token-classification", str(folder), device=-1, aggregation_strategy="simple", trust_remote_code=False
    )
    tokenizer: Any = load_tokenizer(folder, model)
    limit = int(find.tokenizer.model_max_length)
    for words in rows:
        text = " ".join(words)
        batch = tokenizer(
            [text], truncation=True, max_length=limit, return_offsets_mapping=True, return_special_tokens_mask=True,
            return_tensors="pt",
        )  # fmt: skip
        spans, special = batch.pop("offset_mapping")[0].tolist(), batch.pop("special_tokens_mask")[0].tolist()
        with torch.no_grad():
            best: list[int] = model(**batch).logits[0].argmax(-1).tolist()
        kept = [place for place, is_special in enumerate(special) if not is_special]
        own = grouped([model.config.id2label[best[place]] for place in kept], [spans[place] for place in kept])
        theirs = [(each["entity_group"], each["start"], each["end"]) for each in find(text)]
        if own != theirs:
            raise ValueError(f"the pipeline finds {theirs} in {text!r}, the model {own}")

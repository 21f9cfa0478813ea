"""Fast tokenizers whose tokens are the words or the characters of some texts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

Units = Literal["words", "characters", "words and marks"]
SPECIAL = PAD, UNKNOWN, BEGIN, BETWEEN = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
LONGEST = 32_768  # tokens of a row, as `train.max_length` allows
CUT = {
    "words": r"\b\w\w+\b",  # scikit-learn's
    # punctuation marks one by one; English contractions as in GloVe's corpora: do n't, it 's
    "words and marks": r"\w+(?=n['’]t\b)|n['’]t\b|['’](?:s|re|ve|d|ll|m)\b|\w+|[^\w\s]",
}


def unit_tokenizer(units: Units, texts: Iterable[str], *, min_rows: int = 1) -> Any:
    """A tokenizer of lower-case words of two characters or more, of characters (white space is one space), or of
    lower-case words and punctuation marks.

    Args:
        min_rows: Units in fewer of the texts are unknown tokens.

    >>> unit_tokenizer("words", ["A very good film."])("good film!")["input_ids"]
    [2, 5, 4]
    """
    rows = rows_of_units(units, texts)
    return tokenizer_of_units(units, sorted(unit for unit, number in rows.items() if number >= min_rows))


def rows_of_units(units: Units, texts: Iterable[str]) -> Counter[str]:
    """In how many of the texts each unit occurs.

    >>> rows_of_units("words and marks", ["It isn't.", "It is?"])["is"]
    2
    """
    reader, rows = _reader(units), Counter[str]()
    for text in texts:
        cut = reader.pre_tokenizer.pre_tokenize_str(reader.normalizer.normalize_str(text))
        rows.update({unit for unit, _ in cut})
    return rows


def tokenizer_of_units(units: Units, known: Sequence[str]) -> Any:
    """A tokenizer whose tokens are the special ones and `known`, in this order; every other unit is unknown."""
    reader, words = _reader(units), [unit for unit in known if unit not in SPECIAL]
    reader.model = WordLevel({unit: place for place, unit in enumerate((*SPECIAL, *words))}, unk_token=UNKNOWN)
    ends = [(each, SPECIAL.index(each)) for each in (BEGIN, BETWEEN)]
    reader.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BETWEEN} $B", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=reader,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=BEGIN,
        sep_token=BETWEEN,
        model_max_length=LONGEST,
        model_input_names=["input_ids", "attention_mask"],
    )


def _reader(units: Units) -> Any:
    """How a text becomes units, without a vocabulary."""
    reader: Any = Tokenizer(WordLevel({}, unk_token=UNKNOWN))
    if units == "characters":
        reader.normalizer = normalizers.Sequence([normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
        reader.pre_tokenizer = pre_tokenizers.Split(Regex("(?m)."), "isolated")
    else:
        reader.normalizer = normalizers.Lowercase()
        reader.pre_tokenizer = pre_tokenizers.Split(Regex(CUT[units]), "removed", invert=True)
    return reader

"""Fast tokenizers whose tokens are the words or the characters of some texts."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

Units = Literal["words", "characters"]
SPECIAL = PAD, UNKNOWN, BEGIN, BETWEEN = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
LONGEST = 32_768  # tokens of a row, as `train.max_length` allows
WORD = r"\b\w\w+\b"  # scikit-learn's


def unit_tokenizer(units: Units, texts: Iterable[str], *, min_rows: int = 1) -> Any:
    """A tokenizer of lower-case words of two characters or more, or of characters (white space is one space).

    Args:
        min_rows: Units in fewer of the texts are unknown tokens.

    >>> unit_tokenizer("words", ["A very good film."])("good film!")["input_ids"]
    [2, 5, 4]
    """
    reader: Any = Tokenizer(WordLevel({}, unk_token=UNKNOWN))
    if units == "words":
        reader.normalizer = normalizers.Lowercase()
        reader.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)
    else:
        reader.normalizer = normalizers.Sequence([normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
        reader.pre_tokenizer = pre_tokenizers.Split(Regex("(?m)."), "isolated")
    rows = Counter[str]()
    for text in texts:
        cut = reader.pre_tokenizer.pre_tokenize_str(reader.normalizer.normalize_str(text))
        rows.update({unit for unit, _ in cut})
    known = sorted(unit for unit, number in rows.items() if number >= min_rows and unit not in SPECIAL)
    reader.model = WordLevel({unit: place for place, unit in enumerate((*SPECIAL, *known))}, unk_token=UNKNOWN)
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

"""Phrases of one sentence, found by their words."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


def phrase_groups(texts: Sequence[str]) -> NDArray[np.int64]:
    """The number of each text's group: a text goes with the longest text of which it is a run of words.

    Case and white space do not count. A text that is part of no other is a group with its own parts; of equally long
    ones that contain a part, the first in alphabetical order has it.

    Args:
        texts: [rows].

    Returns:
        Group numbers from 0 to the number of groups − 1, [rows].

    >>> phrase_groups(["a very good film", "good film", "a bad film", "Very  good", "film"]).tolist()
    [0, 0, 1, 0, 0]
    """
    plain = [" ".join(text.casefold().split()) for text in texts]
    words = {text: text.count(" ") + 1 for text in plain}
    lengths = sorted(set(words.values()))
    whole: dict[str, str] = {}
    for text in sorted(words, key=lambda each: (-words[each], each)):
        if text not in whole:
            for part in _runs(text, lengths):
                if part in words:
                    whole.setdefault(part, text)
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(whole[text], len(numbers)) for text in plain], np.int64)


def _runs(text: str, lengths: Sequence[int]) -> Iterator[str]:
    """Every run of words of a text that has one of these lengths, in words."""
    edges = [-1, *(place for place, sign in enumerate(text) if sign == " "), len(text)]
    count = len(edges) - 1
    for length in lengths:
        for first in range(count - length + 1):
            yield text[edges[first] + 1 : edges[first + length]]

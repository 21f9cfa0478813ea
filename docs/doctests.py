"""An extension of griffe, which reads the docstrings: paragraphs of `>>>` lines are shown as examples."""

import textwrap
from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Every paragraph that begins with `>>>` becomes a section `Examples:`, which the reference shows as code."""

    def on_object(self, *, obj: griffe.Object, **more: Any) -> None:
        if obj.docstring is not None:
            paragraphs = obj.docstring.value.split("\n\n")
            obj.docstring.value = "\n\n".join(map(_as_examples, paragraphs))


def _as_examples(paragraph: str) -> str:
    code = textwrap.dedent(paragraph)
    return f"Examples:\n{textwrap.indent(code, '    ')}" if code.startswith(">>>") else paragraph

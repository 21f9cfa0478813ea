"""The base of every settings record: frozen, no unknown keys, numbers that are numbers."""

import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError


def _visible(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("it must hold a character that can be seen, and no control character")
    return text


Name = Annotated[str, AfterValidator(_visible)]  # of a folder, a model, a store


class Settings(BaseModel):
    """A frozen record. A number given as a boolean or a text is refused, and a boolean given as anything else."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _as_typed(cls, given: Any) -> Any:
        for name in set(given) & set(cls.model_fields) if isinstance(given, dict) else ():
            if wanted := wrong_kind(given[name], options(cls.model_fields[name].annotation)):
                problem = PydanticCustomError("kind", "expected {wanted}", {"wanted": wanted})
                line = InitErrorDetails(type=problem, loc=(name,), input=given[name])
                raise ValidationError.from_exception_data(cls.__name__, [line])
        return given


def options(hint: Any) -> list[Any]:
    """The alternatives of a type: the members of a union, without annotations."""
    if get_origin(hint) is Annotated:
        return options(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return [option for inner in get_args(hint) for option in options(inner)]
    return [hint]


def wrong_kind(value: Any, kinds: list[Any]) -> str | None:
    """What is expected in place of a value that pydantic would convert without a word; None where it fits."""
    if isinstance(value, list | tuple):
        inner = [option for kind in kinds if get_origin(kind) is tuple for option in options(get_args(kind)[0])]
        found = (wrong_kind(each, inner) for each in value)
        return next((f"{each} in each place of the list" for each in found if each), None)
    if any(_is_text(kind) for kind in kinds) or value is None:
        return None
    if bool in kinds:
        return None if isinstance(value, bool) else "true or false"
    if not (any(_is_number(kind) for kind in kinds) and isinstance(value, bool | str)):
        return None
    return "a number, or a list in [ ]" if any(get_origin(kind) is tuple for kind in kinds) else "a number"


def bounds(hint: Any) -> tuple[str, str]:
    """The bounds of a number as a sentence has them, such as ("above 0", "1,000"); empty where there is none."""
    low = high = ""
    for each in _constraints(hint):
        for name, word in (("ge", ""), ("gt", "above ")):
            low = f"{word}{getattr(each, name):,}" if getattr(each, name, None) is not None else low
        for name, word in (("le", ""), ("lt", "below ")):
            high = f"{word}{getattr(each, name):,}" if getattr(each, name, None) is not None else high
    return low, high


def at_least(low: str) -> str:
    """The lower bound of `bounds` alone.

    >>> at_least("1"), at_least("above 0")
    ('1 or more', 'above 0')
    """
    return low if low.startswith("above") else f"{low} or more"


def in_range(low: str, high: str) -> str:
    """The words behind "a number", of one bound or both.

    >>> in_range("1", ""), in_range("above 0", ""), in_range("", "9"), in_range("0", "9")
    ('of 1 or more', 'above 0', 'up to 9', 'from 0 to 9')
    """
    if low and high:
        return f"from {low} to {high}"
    if not low:
        return f"up to {high}"
    return at_least(low) if low.startswith("above") else f"of {at_least(low)}"


def plain_message(problem: Mapping[str, Any]) -> str:
    """One of pydantic's problems in a user's words, without key, value and full stop."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        return f"allowed are {', '.join(known)}"
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    message = str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    return next((sentence for begin, sentence in _PLAIN.items() if kind.startswith(begin)), message)


def sentence_of(error: ValidationError) -> str:
    """The first of pydantic's problems with its key and value, without full stop."""
    problem = error.errors()[0]
    key, message = ".".join(map(str, problem["loc"])), plain_message(problem)
    return f"{key} = {problem['input']!r}: {message}" if key else message


_BOUNDS = {
    "greater_than": "expected a number above {gt:g}",
    "greater_than_equal": "expected {ge:g} or more",
    "less_than": "expected a number below {lt:g}",
    "less_than_equal": "expected {le:g} or less",
}
_PLAIN = {  # by the begin of pydantic's type of a problem
    "extra_forbidden": "unknown setting",
    "missing": "it is missing",
    "int_": "expected a whole number",
    "float_": "expected a number",
    "finite_number": "expected a finite number",
    "string_type": "expected a text",
    "tuple_type": "expected a list, such as [a, b]",
    "list_type": "expected a list, such as [a, b]",
}


def _constraints(hint: Any) -> list[Any]:
    if isinstance(hint, FieldInfo):
        return [*hint.metadata, *_constraints(hint.annotation)]
    if get_origin(hint) is Annotated:
        inner, *more = get_args(hint)
        flat = [each for one in more for each in (one.metadata if isinstance(one, FieldInfo) else [one])]
        return [*flat, *_constraints(inner)]
    return [each for inner in get_args(hint) for each in _constraints(inner)]


def _is_text(kind: Any) -> bool:
    return kind is str or (get_origin(kind) is Literal and isinstance(get_args(kind)[0], str))


def _is_number(kind: Any) -> bool:
    return kind in (int, float) or (get_origin(kind) is Literal and isinstance(get_args(kind)[0], int))

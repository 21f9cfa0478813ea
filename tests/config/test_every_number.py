"""Every number in every settings record has bounds, and is refused as a boolean, a text, an infinity or nan."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from kdray.config import RunConfig, apply_overrides, parse
from kdray.errors import ConfigError
from kdray.methods import METHODS, JointFineTuning
from kdray.records import Settings, bounds, options


def records_in(hint: Any) -> Iterator[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
        for field in hint.model_fields.values():
            yield from records_in(field.annotation)
    for inner in get_args(hint):
        yield from records_in(inner)


RECORDS = sorted({*records_in(RunConfig), *METHODS, JointFineTuning}, key=lambda record: record.__name__)


def kinds_of(hint: Any) -> list[Any]:
    every = options(hint)
    return [*every, *(kind for each in every if get_origin(each) is tuple for kind in options(get_args(each)[0]))]


NUMBERS = [
    pytest.param(record, name, id=f"{record.__name__}.{name}")
    for record in RECORDS
    for name, field in record.model_fields.items()
    if {int, float} & {kind for kind in kinds_of(field.annotation) if isinstance(kind, type)}
]
SWITCHES = [
    pytest.param(record, name, id=f"{record.__name__}.{name}")
    for record in RECORDS
    for name, field in record.model_fields.items()
    if bool in options(field.annotation)
]


def errors_of(record: type[BaseModel], name: str, value: Any) -> list[str]:
    """What is wrong with this field; other fields may be missing."""
    try:
        record.model_validate({name: value})
    except ValidationError as error:
        return [each["msg"] for each in error.errors() if each["loc"] and each["loc"][0] == name]
    return []


def test_all_records_are_seen() -> None:
    assert len(RECORDS) > 40
    assert len(NUMBERS) > 100
    assert len(SWITCHES) > 20
    assert all(issubclass(record, Settings) for record in RECORDS)


@pytest.mark.parametrize(("record", "name"), NUMBERS)
def test_a_number_has_bounds_and_is_a_number(record: type[BaseModel], name: str) -> None:
    field = record.model_fields[name]
    low, high = bounds(field)
    assert low, "no lower bound"
    assert high, "no upper bound"
    is_list = any(get_origin(option) is tuple for option in options(field.annotation))
    beyond = 1e300 if float in kinds_of(field.annotation) else 10**15
    for value in (True, False, "1", "many", float("inf"), float("nan"), -beyond, beyond):
        assert errors_of(record, name, [value] if is_list else value), value


@pytest.mark.parametrize(("record", "name"), SWITCHES)
def test_a_switch_is_true_or_false(record: type[BaseModel], name: str) -> None:
    for value in (0, 1, "true", "no", 1.0):
        assert errors_of(record, name, value) == ["expected true or false"]
    assert not errors_of(record, name, record.model_fields[name].default)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.learning_rate=1e300", "train.learning_rate = 1e+300: allowed is a number from above 0 to 1."),
        ("train.learning_rate=-1e-5", "train.learning_rate = -1e-05: allowed is a number from above 0 to 1."),
        ("train.epochs=1000000000", "train.epochs = 1000000000: allowed is a number from 1 to 1,000."),
        ("train.warmup=1", "train.warmup = 1: allowed is a number from 0 to below 1."),
        ("student.layers=1000000000", "student.layers = 1000000000: allowed is a number from 1 to 1,000."),
        ("corpus.limit=0", "corpus.limit = 0: allowed is a number from 1 to 1,000,000,000."),
        ("teachers.0.train.seed=-1", "teachers.0.train.seed = -1: allowed is a number from 0 to 4,294,967,295."),
        ("prune.policy.deviations=99", "prune.policy.deviations = 99: allowed is a number from 0 to 10."),
        ("method.temperature=1e9", "method.temperature = 1000000000.0: allowed is a number from above 0 to 1,000."),
        ("train.epochs=true", "train.epochs: expected a number (found True)."),
        ('train.epochs="3"', "train.epochs: expected a number (found '3')."),
        ("outputs.quality_check=1", "outputs.quality_check: expected true or false (found 1)."),
        ("store=", "store: it must hold a character that can be seen, and no control character (found '')."),
        ("store=a\0b", "store: it must hold a character that can be seen, and no control character (found 'a\\x00b')."),
        (
            "train={batch_size: 4, accumulate: 8}",
            "train: accumulate = 8 is above batch_size = 4: a batch of as many rows cannot be split into more "
            "micro-batches.",
        ),
    ],
)
def test_the_sentence_names_what_is_allowed(override: str, sentence: str) -> None:
    base = {"teachers": [{"name": "t"}]}
    with pytest.raises(ConfigError) as caught:
        parse(apply_overrides(base, [override]), source="run.yaml")
    assert str(caught.value) == f"run.yaml: {sentence}"

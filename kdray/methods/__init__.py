"""Distillation methods: one paper, one file. The union below is the whole registry."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from kdray.methods.contract import (
    Answers,
    Evidence,
    Facts,
    Method,
    Pair,
    Phase,
    Prepared,
    Probe,
    Ranks,
    Reward,
    Step,
    Term,
    Terms,
)
from kdray.methods.dekd import DeKD
from kdray.methods.ens_u import UniformEnsemble
from kdray.methods.finetune import FineTune
from kdray.methods.kd import VanillaKD

AnyMethod = Annotated[FineTune | VanillaKD | UniformEnsemble | DeKD, Field(discriminator="name")]

METHODS: tuple[type[Method], ...] = (FineTune, VanillaKD, UniformEnsemble, DeKD)

_parser: TypeAdapter[Method] = TypeAdapter(AnyMethod)


def parse_method(settings: dict[str, object]) -> Method:
    """The method record of plain settings (`{"name": "kd", "temperature": 4}`); pydantic's error if they do not fit."""
    return _parser.validate_python(settings)


__all__ = [
    "METHODS",
    "Answers",
    "AnyMethod",
    "DeKD",
    "Evidence",
    "Facts",
    "FineTune",
    "Method",
    "Pair",
    "Phase",
    "Prepared",
    "Probe",
    "Ranks",
    "Reward",
    "Step",
    "Term",
    "Terms",
    "UniformEnsemble",
    "VanillaKD",
    "parse_method",
]

"""Distillation methods: one paper, one file. The union below is the whole registry."""

from typing import Annotated, get_args

from pydantic import Field, TypeAdapter

from kdray.methods.cfl import CFL
from kdray.methods.ckdsp import PrunedEnsemble
from kdray.methods.contract import (
    Answers,
    Evidence,
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
from kdray.methods.dfa import DFA
from kdray.methods.distilbert import DistilBERT
from kdray.methods.ens_best import BestSingle
from kdray.methods.ens_lr_dev import FittedOnSelect
from kdray.methods.ens_lr_train import FittedOnTrain
from kdray.methods.ens_rand import RandomSingle
from kdray.methods.ens_u import UniformEnsemble
from kdray.methods.ens_w import WeightedEnsemble
from kdray.methods.finetune import FineTune
from kdray.methods.joint import JointFineTuning
from kdray.methods.kd import VanillaKD
from kdray.methods.ksm import KSM
from kdray.methods.minilm import MiniLM
from kdray.methods.minilmv2 import MiniLMv2
from kdray.methods.mtbert import MTBERT
from kdray.methods.muki import MUKI
from kdray.methods.pd import PreTrainedDistillation
from kdray.methods.pkd import PatientKD
from kdray.methods.rlkd import ReinforcedSelection
from kdray.methods.takd import AssistantChain
from kdray.methods.tinybert import TinyBERT
from kdray.methods.tmkd import TMKD
from kdray.methods.uhc import UHC

AnyMethod = Annotated[
    FineTune
    | VanillaKD
    | UniformEnsemble
    | DeKD
    | WeightedEnsemble
    | RandomSingle
    | BestSingle
    | FittedOnTrain
    | FittedOnSelect
    | AssistantChain
    | PreTrainedDistillation
    | ReinforcedSelection
    | PrunedEnsemble
    | DistilBERT
    | MiniLM
    | MiniLMv2
    | MTBERT
    | PatientKD
    | TinyBERT
    | UHC
    | MUKI
    | DFA
    | CFL
    | KSM
    | TMKD,
    Field(discriminator="name"),
]

METHODS: tuple[type[Method], ...] = get_args(get_args(AnyMethod)[0])

# A training is also told how teachers are made together, which no student learns by.
_parser: TypeAdapter[Method] = TypeAdapter(Annotated[AnyMethod | JointFineTuning, Field(discriminator="name")])


def parse_method(settings: dict[str, object]) -> Method:
    """The method record of plain settings (`{"name": "kd", "temperature": 4}`); pydantic's error if they do not fit."""
    return _parser.validate_python(settings)


__all__ = [
    "CFL",
    "DFA",
    "KSM",
    "METHODS",
    "MTBERT",
    "MUKI",
    "TMKD",
    "UHC",
    "Answers",
    "AnyMethod",
    "AssistantChain",
    "BestSingle",
    "DeKD",
    "DistilBERT",
    "Evidence",
    "FineTune",
    "FittedOnSelect",
    "FittedOnTrain",
    "JointFineTuning",
    "Method",
    "MiniLM",
    "MiniLMv2",
    "Pair",
    "PatientKD",
    "Phase",
    "PreTrainedDistillation",
    "Prepared",
    "Probe",
    "PrunedEnsemble",
    "RandomSingle",
    "Ranks",
    "ReinforcedSelection",
    "Reward",
    "Step",
    "Term",
    "Terms",
    "TinyBERT",
    "UniformEnsemble",
    "VanillaKD",
    "WeightedEnsemble",
    "parse_method",
]

"""Distillation methods: one paper, one file. `registry.py` lists them, and finds those of others."""

from typing import TYPE_CHECKING, Any

from kdray.errors import did_you_mean
from kdray.methods.aekd import AEKD
from kdray.methods.cfl import CFL
from kdray.methods.ckdsp import CKDSP
from kdray.methods.contract import (
    Batch,
    LossTerm,
    Method,
    MethodOutput,
    MethodState,
    Phase,
    PriorOutputs,
    Probe,
    Ranks,
    Reward,
    TeacherLogits,
    TeacherStudent,
)
from kdray.methods.cos_adaptive import CosAdaptive
from kdray.methods.dekd import DeKD
from kdray.methods.dfa import DFA
from kdray.methods.distilbert import DistilBERT
from kdray.methods.ens_best import EnsBest
from kdray.methods.ens_lr_dev import EnsLRDev
from kdray.methods.ens_lr_train import EnsLRTrain
from kdray.methods.ens_rand import EnsRand
from kdray.methods.ens_u import EnsU
from kdray.methods.ens_w import EnsW
from kdray.methods.finetune import FineTune
from kdray.methods.joint import JointFineTuning
from kdray.methods.kd import KD
from kdray.methods.ksm import KSM
from kdray.methods.label_smoothing import LabelSmoothing
from kdray.methods.minilm import MiniLM
from kdray.methods.minilmv2 import MiniLMv2
from kdray.methods.mtbert import MTBERT
from kdray.methods.muki import MUKI
from kdray.methods.pd import PD
from kdray.methods.pkd import PKD
from kdray.methods.rail import RAIL
from kdray.methods.registry import METHODS, AnyMethod, TrainedMethod, method_named, parse_method, sources_of
from kdray.methods.rlkd import RLKD
from kdray.methods.soft_classic import SoftClassic
from kdray.methods.takd import TAKD
from kdray.methods.tinybert import TinyBERT
from kdray.methods.tmkd import TMKD
from kdray.methods.uhc import UHC

__all__ = [
    "AEKD",
    "CFL",
    "CKDSP",
    "DFA",
    "KD",
    "KSM",
    "METHODS",
    "MTBERT",
    "MUKI",
    "PD",
    "PKD",
    "RAIL",
    "RLKD",
    "TAKD",
    "TMKD",
    "UHC",
    "AnyMethod",
    "Batch",
    "CosAdaptive",
    "DeKD",
    "DistilBERT",
    "EnsBest",
    "EnsLRDev",
    "EnsLRTrain",
    "EnsRand",
    "EnsU",
    "EnsW",
    "FineTune",
    "JointFineTuning",
    "LabelSmoothing",
    "LossTerm",
    "Method",
    "MethodOutput",
    "MethodState",
    "MiniLM",
    "MiniLMv2",
    "Phase",
    "PriorOutputs",
    "Probe",
    "Ranks",
    "Reward",
    "SoftClassic",
    "TeacherLogits",
    "TeacherStudent",
    "TinyBERT",
    "TrainedMethod",
    "method_named",
    "parse_method",
    "sources_of",
]


if not TYPE_CHECKING:  # which finds unknown names by itself

    def __getattr__(name: str) -> Any:
        hint = did_you_mean(name, __all__, otherwise="")
        raise AttributeError(f"module 'kdray.methods' has no attribute {name!r}{hint and f'; {hint}'}")

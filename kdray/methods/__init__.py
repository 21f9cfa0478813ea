"""Distillation methods: one paper, one file. `registry.py` lists them, and finds those of others."""

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
from kdray.methods.origin import MethodSource
from kdray.methods.pd import PreTrainedDistillation
from kdray.methods.pkd import PatientKD
from kdray.methods.registry import METHODS, AnyMethod, TrainedMethod, define, method_class, parse_method, sources_of
from kdray.methods.rlkd import ReinforcedSelection
from kdray.methods.takd import AssistantChain
from kdray.methods.tinybert import TinyBERT
from kdray.methods.tmkd import TMKD
from kdray.methods.uhc import UHC

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
    "MethodSource",
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
    "TrainedMethod",
    "UniformEnsemble",
    "VanillaKD",
    "WeightedEnsemble",
    "define",
    "method_class",
    "parse_method",
    "sources_of",
]

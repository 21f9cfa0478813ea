"""Every method that can be named: kdray's own by their tags, others by the module or file of their class."""

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import Field, TypeAdapter

from kdray import origin
from kdray.methods.aekd import AEKD
from kdray.methods.cfl import CFL
from kdray.methods.ckdsp import CKDSP
from kdray.methods.contract import Method
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
from kdray.methods.ner_dyn import NERDyn
from kdray.methods.ner_mtckd import NERMTCKD
from kdray.methods.pd import PD
from kdray.methods.pkd import PKD
from kdray.methods.rail import RAIL
from kdray.methods.rlkd import RLKD
from kdray.methods.soft_classic import SoftClassic
from kdray.methods.takd import TAKD
from kdray.methods.tinybert import TinyBERT
from kdray.methods.tmkd import TMKD
from kdray.methods.uhc import UHC
from kdray.origin import Source, opened

AnyMethod = Annotated[
    FineTune
    | KD
    | CosAdaptive
    | SoftClassic
    | LabelSmoothing
    | AEKD
    | RAIL
    | EnsU
    | DeKD
    | EnsW
    | EnsRand
    | EnsBest
    | EnsLRTrain
    | EnsLRDev
    | TAKD
    | PD
    | RLKD
    | CKDSP
    | DistilBERT
    | MiniLM
    | MiniLMv2
    | MTBERT
    | PKD
    | TinyBERT
    | UHC
    | MUKI
    | DFA
    | CFL
    | KSM
    | TMKD
    | NERMTCKD
    | NERDyn,
    Field(discriminator="name"),
    *opened(Method, "method.name"),
]
"""A method of a run: a record, or plain settings."""

METHODS: tuple[type[Method], ...] = get_args(get_args(AnyMethod)[0])

TrainedMethod = Annotated[AnyMethod | JointFineTuning, Field(discriminator="name"), *opened(Method, "method.name")]
"""Also how teachers are made together, which no student learns by."""

_parser: TypeAdapter[Method] = TypeAdapter(TrainedMethod)


def parse_method(settings: Mapping[str, object]) -> Method:
    """The method record of plain settings (`{"name": "kd", "temperature": 4}`); pydantic's error if they do not fit."""
    return _parser.validate_python(settings)


def method_named(name: str) -> type[Method]:
    """The class of a method's name: `kd`, or `my_file.py:MyKD` from outside.

    Raises:
        ConfigError: There is none.
    """
    return origin.class_named(Method, name, "method.name")


def sources_of(*methods: Method) -> list[Source]:
    """The sources of these methods and of those of their phases, for `kdray.origin.define` in other processes.

    Raises:
        ConfigError: A class has no file of its own, or its file has changed.
    """
    return origin.sources_of([*methods, *(phase.method for method in methods for phase in method.phases(1))])

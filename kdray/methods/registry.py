"""Every method that can be named: kdray's own by their tags, others by the module or file of their class."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, cast, get_args

from pydantic import Field, SerializationInfo, TypeAdapter, ValidatorFunctionWrapHandler, WrapSerializer, WrapValidator

from kdray.errors import ConfigError
from kdray.methods.cfl import CFL
from kdray.methods.ckdsp import CKDSP
from kdray.methods.contract import Method
from kdray.methods.dekd import DeKD
from kdray.methods.dfa import DFA
from kdray.methods.distilbert import DistilBERT
from kdray.methods.ens_best import EnsBest
from kdray.methods.ens_lr_dev import FittedOnValidation
from kdray.methods.ens_lr_train import EnsLRTrain
from kdray.methods.ens_rand import EnsRand
from kdray.methods.ens_u import EnsU
from kdray.methods.ens_w import EnsW
from kdray.methods.finetune import FineTune
from kdray.methods.joint import JointFineTuning
from kdray.methods.kd import KD
from kdray.methods.ksm import KSM
from kdray.methods.minilm import MiniLM
from kdray.methods.minilmv2 import MiniLMv2
from kdray.methods.mtbert import MTBERT
from kdray.methods.muki import MUKI
from kdray.methods.origin import MethodSource, is_shipped, module_of, run_text, source_of
from kdray.methods.pd import PD
from kdray.methods.pkd import PKD
from kdray.methods.rlkd import RLKD
from kdray.methods.takd import TAKD
from kdray.methods.tinybert import TinyBERT
from kdray.methods.tmkd import TMKD
from kdray.methods.uhc import UHC


def _open(given: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """A record as it is, the settings of a class from outside by that class, all others by the union."""
    if isinstance(given, Method) and not is_shipped(type(given)):
        return given
    settings = cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else {}
    name = settings.get("name")
    if not isinstance(name, str) or ":" not in name:
        return handler(given)
    kind = method_class(name)
    return kind.model_validate({**settings, "name": _name(kind)})


def _plain(method: Method, handler: Any, info: SerializationInfo) -> dict[str, Any]:
    del handler  # it would write the fields of a class of the union
    return method.model_dump(mode=info.mode)


AnyMethod = Annotated[
    FineTune
    | KD
    | EnsU
    | DeKD
    | EnsW
    | EnsRand
    | EnsBest
    | EnsLRTrain
    | FittedOnValidation
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
    | TMKD,
    Field(discriminator="name"),
    WrapValidator(_open),
    WrapSerializer(_plain),
]
"""A method of a run: a record, or plain settings."""

METHODS: tuple[type[Method], ...] = get_args(get_args(AnyMethod)[0])

TrainedMethod = Annotated[
    AnyMethod | JointFineTuning, Field(discriminator="name"), WrapValidator(_open), WrapSerializer(_plain)
]
"""Also how teachers are made together, which no student learns by."""

_parser: TypeAdapter[Method] = TypeAdapter(TrainedMethod)


def parse_method(settings: Mapping[str, object]) -> Method:
    """The method record of plain settings (`{"name": "kd", "temperature": 4}`); pydantic's error if they do not fit."""
    return _parser.validate_python(settings)


def method_class(name: str) -> type[Method]:
    """The class of `module:Class` or `file.py:Class`; with `@HASH`, of exactly that source.

    Raises:
        ConfigError: There is no such class, it is not a method, or its source is another one.
    """
    for known in _subclasses(Method):
        if _name(known) == name:
            return known
    place, _, wanted = name.partition("@")
    reference, _, qualified = place.rpartition(":")
    if not reference or not qualified:
        raise ConfigError(f"method.name = {name!r}: expected module:Class or file.py:Class.")
    found: Any = module_of(reference)
    for part in qualified.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Method)):
        what = "this class does not exist" if found is None else "it is not a subclass of kdray.methods.Method"
        raise ConfigError(f"method.name = {name!r}: {what} in {reference}.")
    if is_shipped(found):
        raise ConfigError(
            f"method.name = {name!r} is kdray's own method; use its name, {found.model_fields['name'].default}."
        )
    if wanted and not _name(found).endswith(f"@{wanted}"):
        raise ConfigError(
            f"method.name = {name!r}: the source of {reference} is another one now; restore it, or use the new one by "
            f"{place}."
        )
    return found


def sources_of(*methods: Method) -> list[MethodSource]:
    """What other processes must `define` before they can parse these methods; nothing for kdray's own.

    Raises:
        ConfigError: A class has no file of its own, or its file has changed.
    """
    every = {type(phase.method) for method in methods for phase in method.phases(1)} | {type(each) for each in methods}
    outside = sorted((kind for kind in every if not is_shipped(kind)), key=lambda kind: kind.__qualname__)
    return [source_of(kind, _name(kind)) for kind in outside]


def define(sources: Iterable[MethodSource]) -> None:
    """Define the classes of `sources_of` in this process: import their modules, or run their text.

    Only for what another process of the same program sent; never for what a store holds.

    Raises:
        ConfigError: A source cannot be run here.
    """
    for source in sources:
        reference = source.name.partition("@")[0].rpartition(":")[0]
        if not reference.endswith(".py") and "." in reference:
            method_class(source.name)  # a package is imported as a whole
        elif not any(_name(known) == source.name for known in _subclasses(Method)):
            run_text(reference, source.text)


def _subclasses(kind: type[Method]) -> Iterator[type[Method]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def _name(kind: type[Method]) -> str:
    return str(kind.model_fields["name"].default)

"""A sweep or a comparison as a file: the run that it starts from, what is searched or compared, and how."""

import itertools
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from kdray.config.load import checked, load_yaml, parse
from kdray.config.overrides import merge
from kdray.config.run import RunConfig
from kdray.errors import ConfigError, did_you_mean
from kdray.methods import method_named
from kdray.records import Settings


class Range(Settings):
    """Numbers from `low` to `high`, both included; whole ones where the setting takes no others.

    Attributes:
        log: Small numbers are tried as often as large ones; `low` must be above 0.
    """

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> "Range":
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError(f"low = {self.low}, high = {self.high}: low must be below high, and above 0 with log")
        return self


Choices = tuple[str | bool | int | float | None, ...]
NO_FLAGS = {"task", "run", "on_sample", "space", "variants"}


class Several(Settings):
    """What the files of sweeps and of comparisons share; each setting but `NO_FLAGS` is a flag of the command too.

    Attributes:
        task: The corpus that `--corpus auto` stands for.
        run: What all students have in common; of a sweep the run of trial 0.
        on_sample: Sections that replace those of `run` when the corpus is the bundled sample.
        corpus: A name, folder, or auto (that of the task, or sample without it).
        epochs: Epochs of a student.
        seeds: Number of seeds on which the students of the table are trained (default 3, with --smoke 2).
        store: Folder or URI (default store).
        name: Name in the store (default: from the corpus and the time).
        engine: Local: in this process, without Ray.
        cpus_per_trial: Processors of a student (default 1).
        gpus_per_trial: GPUs of a student, may be a fraction (default 0).
    """

    task: str = "rte"
    run: RunConfig = RunConfig()
    on_sample: dict[str, Any] = Field(default_factory=dict[str, Any])
    corpus: str | None = None
    epochs: int | None = Field(default=None, ge=1)
    seeds: int | None = Field(default=None, ge=1)
    store: str | None = None
    name: str | None = None
    engine: Literal["ray", "local"] = "ray"
    cpus_per_trial: int = Field(default=1, ge=1)
    gpus_per_trial: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _one_corpus(self) -> Self:
        if self.corpus is not None and self.run.corpus.name not in ("auto", self.corpus):
            raise ValueError(f"corpus = {self.corpus}, but run.corpus.name = {self.run.corpus.name}; leave one out")
        return self

    def flags(self) -> dict[str, Any]:
        """What the file sets, in place of the defaults of flags."""
        given = {name: getattr(self, name) for name in self.model_fields_set - NO_FLAGS}
        return {"corpus": self.run.corpus.name} | given

    def base(self) -> dict[str, Any]:
        """The settings that the file gives under `run`."""
        return self.run.model_dump(mode="json", exclude_unset=True)


T = TypeVar("T", bound=Several)


class ComparisonConfig(Several):
    """A comparison file.

    Attributes:
        variants: Label to the settings, dotted or in sections, that a student has instead of those of `run`.
    """

    variants: dict[str, dict[str, Any]] = Field(min_length=1)


class SweepConfig(Several):
    """A sweep file.

    Attributes:
        space: Setting to a range or a list of values. `method.*` counts for the methods that have it.
        trials: Number of trials, with those before --resume.
        seed: Seed of the sampler (default 0).
        storage: URL of the study's database, for several drivers (default: a SQLite file).
        objectives: Metric, and with commas latency, parameters (default metric).
        depths: Layers of students to search over, with commas (default: the base's).
        under: Only students whose export answers within this time, such as 2ms; the sweep ends with a bundle.
        formats: Exports that are timed, in the order of preference (default onnx,onnx-int8).
        bundle: End with an exported bundle of the winner, or of the next candidate where its export is refused.
        candidates: Best trials that are trained again at the end (default 3).
        folds: Compare the best trials and the defaults on this number of folds of train and validation; auto: 3 on
            small corpora (default 0: on the validation split).
        sampling: How settings are chosen (default tpe).
        pruning: How trials stop early (default asha); early stops repeat only with one trial at a time.
        track: Follow trials in tensorboard, mlflow or wandb; with commas for several.
        max_hours: End the search after this wall time; --resume continues it.
        max_gpu_hours: End the search after this GPU time of all trials.
        max_failures: End the search after this number of failed trials.
    """

    space: dict[str, Range | Choices]
    trials: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    storage: str | None = None
    objectives: str = "metric"
    depths: str | None = None
    under: str | None = None
    formats: str = "onnx,onnx-int8"
    bundle: bool = False
    candidates: int = Field(default=3, ge=1)
    folds: Literal["auto"] | Annotated[int, Field(ge=0, le=100)] = 0
    sampling: Literal["tpe", "random"] = "tpe"
    pruning: Literal["asha", "median", "none"] | None = None
    track: str | None = None
    max_hours: float | None = Field(default=None, gt=0)
    max_gpu_hours: float | None = Field(default=None, gt=0)
    max_failures: int | None = Field(default=None, ge=1)

    def suggest(self, trial: Any, run: RunConfig) -> dict[str, Any]:
        """One trial's dotted settings, by Optuna's `trial`."""
        chosen = dict[str, Any]()
        for key in sorted(self.space, key=lambda key: key != "method.name"):
            method = chosen.get("method.name", run.method.name)
            if key in self._keys_of(method):
                is_whole = _is_whole(key, self.space[key], run, method)
                chosen[key] = _suggested(trial, key, self.space[key], is_whole=is_whole)
        return chosen

    def shapes(self) -> list[dict[str, Any]]:
        """Every combination of the space's choices of `student.*`, as dotted settings; an empty one without any.

        Raises:
            ConfigError: A range has no whole numbers.
        """
        shape = {key: choices for key, choices in self.space.items() if key.startswith("student.")}
        whole = {key: _is_whole(key, choices, self.run, self.run.method.name) for key, choices in shape.items()}
        values = {key: _every(key, choices, is_whole=whole[key]) for key, choices in shape.items()}
        return [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]

    def without_student(self) -> "SweepConfig":
        """The same without the space's choices of `student.*`."""
        space = {key: choices for key, choices in self.space.items() if not key.startswith("student.")}
        return self.model_copy(update={"space": space})

    def starts(self, run: RunConfig) -> list[dict[str, Any]]:
        """Trial 0: the run as it stands.

        Raises:
            ConfigError: The space does not hold the run's own value, or holds a value that is not allowed.
        """
        plain, params = run.model_dump(mode="json"), dict[str, Any]()
        for key in self._keys_of(run.method.name):
            value: Any = plain
            for part in key.split("."):
                value = value[int(part)] if isinstance(value, list) else value.get(part)
            if key == "method.name":
                value = self._as_listed(value)
            if not _holds(self.space[key], value):
                raise ConfigError(
                    f"space: {key} of the run is {value!r}, which is {_shown_outside(self.space[key])}; trial 0 is the "
                    f"run with its defaults, so widen the space, or give {key} a value inside it."
                )
            params[key] = value
        return [{"label": "defaults", "params": params}]

    def check(self, run: RunConfig) -> None:
        """
        Raises:
            ConfigError: A key is no setting, or an end of a range or a choice is not allowed for it.
        """
        methods = self.space.get("method.name", (run.method.name,))
        names = [str(name) for name in methods] if isinstance(methods, tuple) else []
        for name in names:
            parse(merge(run.model_dump(mode="json"), {"method.name": name}), source="space")
        for key, choices in self.space.items():
            fitting = [name for name in names if key in self._keys_of(name)]
            if not fitting:
                known = [f"method.{field}" for name in names for field in method_named(name).model_fields]
                near = did_you_mean(key, known, otherwise="kdray settings lists them.")
                raise ConfigError(f"space: unknown setting {key} of {', '.join(names)}; {near}")
            fitting.sort(key=lambda name: key.partition(".")[0] not in method_named(name).model_fields)  # for the error
            for value in (choices.low, choices.high) if isinstance(choices, Range) else choices:
                other = {} if key == "method.name" else {"method.name": fitting[0]}
                parse(merge(run.model_dump(mode="json"), other | {key: value}), source="space")

    def of_outside(self, run: RunConfig) -> list[RunConfig]:
        """The run by each method of the space that comes from outside, whose losses can be tried beforehand."""
        choices = self.space.get("method.name", ())
        names = [str(each) for each in choices if ":" in str(each)] if isinstance(choices, tuple) else []
        return [parse(merge(run.model_dump(mode="json"), {"method.name": name}), source="space") for name in names]

    def _keys_of(self, method: str) -> list[str]:
        """The keys of the space that count for a method."""
        fields = method_named(method).model_fields
        return [key for key in self.space if not key.startswith("method.") or key.removeprefix("method.") in fields]

    def _as_listed(self, method: str) -> str:
        """The choice that names the same method: of a class from outside, the space has no hash of its source."""
        choices = self.space["method.name"]
        names = [str(each) for each in choices] if isinstance(choices, tuple) else []
        return next((each for each in names if method_named(each) is method_named(method)), method)


def load_sweep(path: Path) -> SweepConfig:
    """Read a sweep file.

    Raises:
        ConfigError: It cannot be read, or a key or value is not allowed.
    """
    return _loaded(path, SweepConfig)


def load_comparison(path: Path) -> ComparisonConfig:
    """Read a comparison file.

    Raises:
        ConfigError: As `load_sweep`.
    """
    return _loaded(path, ComparisonConfig)


def _loaded(path: Path, kind: type[T]) -> T:
    plain = load_yaml(path, kind)
    for key, command in (("space", "sweep"), ("variants", "compare")):
        if key in plain and key not in kind.model_fields:
            raise ConfigError(f"{path}: {key} is a key of another kind of file; start it by kdray {command} {path}.")
    of_runs = RunConfig.model_fields.keys() - kind.model_fields.keys()
    if found := sorted(of_runs & plain.keys()):
        raise ConfigError(
            f"{path}: {found[0]} is a setting of a run: put it under run:, or start the file by kdray run."
        )
    if isinstance(plain.get("corpus"), dict):
        raise ConfigError(f"{path}: corpus is a name here; put its settings under run, as run: {{corpus: ...}}.")
    run = parse(plain.get("run") or {}, source=f"{path}: run")
    return checked(kind, {**plain, "run": run}, source=str(path))


def _is_whole(key: str, choices: Range | Choices, run: RunConfig, method: str) -> bool:
    """Whether a range has whole numbers alone: the setting of the run takes no fraction between its ends."""
    if not (isinstance(choices, Range) and isinstance(choices.low, int) and isinstance(choices.high, int)):
        return False
    other = {} if method == run.method.name else {"method.name": method}
    try:
        parse(merge(run.model_dump(mode="json"), other | {key: choices.low + 0.5}), source="space")
    except ConfigError:
        return True
    return False


def _suggested(trial: Any, key: str, choices: Range | Choices, *, is_whole: bool) -> Any:
    if not isinstance(choices, Range):
        return trial.suggest_categorical(key, list(choices))
    if is_whole:
        return trial.suggest_int(key, choices.low, choices.high, log=choices.log)
    return trial.suggest_float(key, choices.low, choices.high, log=choices.log)


def _every(key: str, choices: Range | Choices, *, is_whole: bool) -> list[Any]:
    if not isinstance(choices, Range):
        return list(choices)
    if is_whole:
        return list(range(int(choices.low), int(choices.high) + 1))
    raise ConfigError(f"space: {key} has a range of fractions; latency is measured of each choice, so list them.")


def _holds(choices: Range | Choices, value: Any) -> bool:
    if not isinstance(choices, Range):
        return value in choices
    return isinstance(value, int | float) and choices.low <= value <= choices.high


def _shown_outside(choices: Range | Choices) -> str:
    if isinstance(choices, Range):
        return f"outside {choices.low} to {choices.high}"
    return f"none of the choices {', '.join(map(str, choices))}" if choices else "not in its list, which is empty"

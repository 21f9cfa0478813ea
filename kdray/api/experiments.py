"""Several students: `compare` trains settings on the same seeds, `search` looks for better settings."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import Any

from kdray.api.dataset import Dataset
from kdray.api.given import chosen_engine
from kdray.api.models import Encoder, Teacher
from kdray.api.runs import Pruned, run_of
from kdray.config import RunConfig, checked
from kdray.config.sweep import SweepConfig
from kdray.corpora import kdray_data
from kdray.distillation import StudentSettings
from kdray.engines import Engine, InProcess
from kdray.engines.choice import EngineChoice, Local
from kdray.errors import ConfigError
from kdray.experiments.compare import candidates_of
from kdray.experiments.compare import compare as run_comparison
from kdray.experiments.documents import Provenance
from kdray.experiments.latency import Exported, changed, exported_latency, within
from kdray.experiments.local import OneByOne
from kdray.experiments.search import Driver, check_resumed
from kdray.experiments.settings import Shapes, SweepSettings
from kdray.experiments.sweep import sweep
from kdray.methods import Method
from kdray.models import Architecture
from kdray.results import BASELINE, FIRST_WEIGHTS
from kdray.stages import Context, check_run, load_stored, read
from kdray.store import Store
from kdray.train import TrainSettings


class Tabled(ABC):
    """What is in the store under `sweeps/<name>`, and is shown as a table with the path of its report."""

    name: str
    result: Mapping[str, Any]

    @property
    def report(self) -> str:
        """The path of its page in the store; a URI where the store is a bucket."""
        return Store(self.result["settings"]["store"]).uri_of(f"sweeps/{self.name}/report.html")

    @abstractmethod
    def to_pandas(self) -> Any:
        """The table."""

    @property
    def _below(self) -> list[str]:
        """The lines below the table."""
        return [f"report: {self.report}"]

    def __repr__(self) -> str:
        shown = self.to_pandas().replace({None: float("nan")})
        return "\n".join([shown.to_string(index=False, na_rep="–"), *self._below])

    def _repr_html_(self) -> str:
        return self.to_pandas().to_html(index=False) + "".join(f"<p>{escape(line)}</p>" for line in self._below)


@dataclass(frozen=True, repr=False)
class Comparison(Tabled):
    """Students trained on the same seeds, and the no-KD baseline.

    Attributes:
        name: Of its folder in the store, `sweeps/<name>`, which holds `result.json` and `report.html`.
        result: What `result.json` holds.
    """

    name: str
    result: Mapping[str, Any]

    @property
    def _below(self) -> list[str]:
        teachers = self.result["teachers"]
        others = [(f"{each['name']} (teacher)", each["test"]) for each in teachers]
        others += [("majority class", each["majority"]) for each in teachers[:1]]
        known = ", ".join(f"{name} {score:.4f}" for name, score in others if score is not None)
        return [f"{self.result['metric']} on test" + (f"; {known}" if known else ""), *super()._below]

    def to_pandas(self) -> Any:
        """One row a student: mean and standard deviation of the metric on test, difference to the baseline, p."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "student": row["label"],
                    "mean": row["test"]["mean"],
                    "std": row["test"]["std"],
                    "difference": (row["difference"] or {}).get("mean"),
                    "p": (row["difference"] or {}).get("p_value"),
                }
                for row in self.result["confirmation"]
            ]
        )


def compare(
    methods: Sequence[Method] | Mapping[str, Method],
    teacher: Teacher | Sequence[Teacher] | None,
    data: Dataset | Pruned,
    *,
    seeds: int | Sequence[int] = 3,
    student: Encoder | Architecture | StudentSettings | None = None,
    train: Mapping[str, Any] | TrainSettings | None = None,
    store: str = "store",
    name: str | None = None,
    engine: EngineChoice | None = None,
    **sections: Any,
) -> Comparison:
    """Train a student by each method on each seed, with the no-KD baseline. Students in the store are reused.

    Args:
        methods: In the order of the table; a mapping gives them labels, those of a list are the names of the methods.
        seeds: How many seeds (0, 1, ...), or which.
        name: Of its folder in the store; None is made from the time.

    Raises:
        ConfigError: The settings do not fit together; nothing was trained.

    >>> from kdray.methods import FineTune
    >>> from kdray.models import NaiveBayes
    >>> data = Dataset.load("sample", limit=100)
    >>> compare([FineTune()], None, data, student=NaiveBayes(), seeds=1).to_pandas()["student"].tolist()
    ['finetune', 'no-KD baseline']
    """
    _check_methods(methods)
    labeled, wanted = _labeled(methods), _seeds(seeds)
    first = next(iter(labeled.values()))
    run = run_of(teacher, data, student=student, method=first, train=train, store=store, sections=sections, of=compare)
    variants = {label: {"method": each.model_dump(mode="json")} for label, each in labeled.items()}
    title = name or time.strftime("comparison-%Y%m%d-%H%M%S")
    origin = Provenance.of_python("kdray.compare", run.corpus.name, _notes(data))
    return compare_variants(title, variants, run, seeds=wanted, engine=chosen_engine(engine), provenance=origin)


def _notes(data: Dataset | Pruned) -> Sequence[str] | None:
    """What was done to rows that were given in Python; None of a named corpus."""
    corpus = data.data if isinstance(data, Pruned) else data
    return corpus.notes if corpus.tables else None


def _check_methods(methods: Any) -> None:
    """Refuse classes and names, and a method that is in no list."""
    given = methods.values() if isinstance(methods, Mapping) else methods
    alone = isinstance(given, str | type | Method)
    wrong = given if alone else next((each for each in given if not isinstance(each, Method)), None)
    if wrong is None:
        return
    if isinstance(wrong, Method):
        kind, found = type(wrong).__name__, "one object"
    elif isinstance(wrong, type):
        kind, found = wrong.__name__, f"the class {wrong.__name__}"
    else:  # a name, such as my_file.py:MyKD
        own = isinstance(wrong, str) and ":" in wrong
        kind, found = (wrong.rpartition(":")[2].partition("@")[0] if own else "KD"), repr(wrong)
    raise ConfigError(f"methods: pass a list of objects such as [{kind}()], not {found}.")


def _labeled(methods: Sequence[Method] | Mapping[str, Method]) -> dict[str, Method]:
    """Methods by label: that of a mapping, otherwise the name, with what differs where two have the same name.

    Raises:
        ConfigError: There is none, two of a list are equal, or a label is that of a control.
    """
    if not methods:
        raise ConfigError("methods: none is given; pass a list of objects such as [KD()].")
    if isinstance(methods, Mapping):
        if taken := [label for label in methods if label in (BASELINE, FIRST_WEIGHTS)]:
            raise ConfigError(f"methods: the label {taken[0]!r} is that of a control; choose another one.")
        return dict(methods)
    found = dict[str, Method]()
    for number, each in enumerate(methods):
        if each in methods[:number]:
            raise ConfigError(f"methods: {each.label} is given twice with the same settings; leave one out.")
        found[_label(each, [other for other in methods if other.label == each.label])] = each
    return found


def _label(method: Method, alike: Sequence[Method]) -> str:
    plain, others = method.model_dump(mode="json"), [each.model_dump(mode="json") for each in alike]
    name = method.label if all(each.name == method.name for each in alike) else method.name
    differ = [key for key in plain if key != "name" and any(each.get(key, ...) != plain[key] for each in others)]
    return f"{name} ({', '.join(f'{key}={plain[key]}' for key in differ)})" if differ else name


def compare_variants(
    name: str,
    variants: Mapping[str, Mapping[str, Any]],
    run: RunConfig,
    *,
    seeds: Sequence[int],
    engine: EngineChoice,
    provenance: Provenance,
    cpus: int = 1,
    gpus: float = 0.0,
    started: Callable[[Engine], None] = lambda engine: None,
) -> Comparison:
    """`compare` of the settings of a run.

    Args:
        variants: Label to dotted settings, which change `run`.
        cpus, gpus: Of each student.
        started: Called with the running engine before anything is trained.
    """
    context = _checked(run, *(each.run for each in candidates_of(variants, run)))
    with engine.start(run.work, started, at_once=True) as running:
        context = replace(context, engine=running)
        result = run_comparison(name, variants, run, context, seeds=seeds, cpus=cpus, gpus=gpus, provenance=provenance)
    return Comparison(name, result)


@dataclass(frozen=True, repr=False)
class Search(Tabled):
    """A finished search: its trials, the best of them, and the confirmation on further seeds.

    Attributes:
        name: Of its folder in the store, `sweeps/<name>`, which holds `result.json` and `report.html`.
        result: What `result.json` holds.
    """

    name: str
    result: Mapping[str, Any]

    @property
    def best(self) -> Mapping[str, Any]:
        """Number, parameters and validation score of the best trial."""
        return self.result["best"]

    @property
    def confirmation(self) -> Any:
        """The winner, the defaults and the baselines on further seeds, as `Comparison.to_pandas`."""
        return Comparison(self.name, self.result).to_pandas()

    def to_pandas(self) -> Any:
        """One row a trial: its state, score on validation, and parameters."""
        import pandas as pd

        columns = ("number", "state", "value", "epochs", "error")
        return pd.DataFrame([{key: t[key] for key in columns} | t["params"] for t in self.result["trials"]])


def search(
    space: Mapping[str, Any],
    teacher: Teacher | Sequence[Teacher] | None,
    data: Dataset | Pruned,
    *,
    trials: int = 20,
    seed: int = 0,
    seeds: int | Sequence[int] = 3,
    student: Encoder | Architecture | StudentSettings | None = None,
    method: Method | None = None,
    train: Mapping[str, Any] | TrainSettings | None = None,
    store: str = "store",
    name: str | None = None,
    engine: EngineChoice | None = None,
    under_ms: float | None = None,
    **sections: Any,
) -> Search:
    """Search for the settings with the best validation score; trial 0 is the settings as given.

    With the local engine no Ray process starts; the trials are those of a search on Ray with one trial at a time.

    Args:
        space: Setting to a list of values, or to a range: `{"low": 1, "high": 20, "log": True}`.
        seed: Of the sampler.
        seeds: On which the winner, the defaults and the baselines are trained at the end.
        name: Of its folder in the store; the same name resumes a search that was stopped.
        under_ms: Only students whose ONNX export answers within it (one row of median length, one thread) are searched
            for, and the search ends with the bundle `sweeps/<name>/bundle`; choices of `student.*` in the space are
            measured before anything is trained.

    Raises:
        ConfigError: The space or the settings do not fit together; nothing was trained.

    >>> from kdray.models import NaiveBayes
    >>> space = {"student.architecture.smoothing": {"low": 0.1, "high": 2.0}}
    >>> found = search(space, None, Dataset.load("sample", limit=100), student=NaiveBayes(), trials=2, seeds=1)
    >>> found.to_pandas()["state"].tolist()
    ['complete', 'complete']
    """
    wanted = _seeds(seeds)
    if trials < 1:
        raise ConfigError(f"trials = {trials}: give a number of 1 or more.")
    run = run_of(teacher, data, student=student, method=method, train=train, store=store, sections=sections, of=search)
    if any(isinstance(each, Method) for key in space for each in _listed(space[key])):
        raise ConfigError('space: name methods by text, such as "method.name": ["kd", "my_file.py:MyKD"].')
    config = checked(SweepConfig, {"run": run, "space": dict(space)})
    config.check(run)
    title = name or time.strftime("search-%Y%m%d-%H%M%S")
    rest = config if under_ms is None else config.without_student()
    settings = SweepSettings(
        title, partial(rest.suggest, run=run), rest.starts(run), trials=trials, seed=seed, confirm_start=True
    )
    if under_ms is not None:
        if not under_ms > 0:
            raise ConfigError(f"under_ms = {under_ms:g}: it must be above 0.")
        shapes = Shapes(config.shapes(), lambda trial, shape: rest.suggest(trial, changed(run, shape)))
        settings = replace(settings, limit_ms=under_ms, shapes=shapes)
    origin = Provenance.of_python("kdray.search", run.corpus.name, _notes(data))
    others = config.of_outside(run)
    return search_settings(settings, run, seeds=wanted, engine=chosen_engine(engine), provenance=origin, others=others)


def _listed(choices: Any) -> Sequence[Any]:
    return choices if isinstance(choices, list | tuple) else ()


def search_settings(
    settings: SweepSettings,
    run: RunConfig,
    *,
    seeds: Sequence[int],
    engine: EngineChoice,
    provenance: Provenance,
    started: Callable[[Engine], None] = lambda engine: None,
    others: Sequence[RunConfig] = (),
) -> Search:
    """`search` from the settings of a run.

    Args:
        others: Runs of the space that are checked too, before anything is made.
        started: Called with the running engine before anything is trained.
    """
    begun = time.time()
    if settings.needs_exports and not Store(run.store).is_local:
        raise ConfigError(
            f"the latency of exports needs a store in a folder, not {run.store}; set store, or leave out the bundle, "
            "the limit and the objective latency."
        )
    context, exported = _checked(run, *others), None
    if settings.needs_exports:
        corpus = read(run.corpus, context)
        exported = exported_latency(settings, run, corpus, context.store)
        base = run
        settings, run = within(settings, run, exported)
        settings = replace(settings, latency_of=partial(_latency_of, exported, base, settings))
    check_resumed(settings, run, context.store)
    with engine.start(run.work, started, at_once=True) as running:
        context = replace(context, engine=running)
        result = sweep(
            settings,
            run,
            context,
            seeds=seeds,
            provenance=provenance,
            driver=_driver(engine),
            exported=exported,
            begun=begun,
        )
    return Search(settings.name, result)


def _latency_of(
    exported: Exported, base: RunConfig, settings: SweepSettings, overrides: Mapping[str, Any]
) -> float | None:
    """Of a trial; None for a shape that was not measured, where the search can do without."""
    run = changed(base, overrides)
    is_needed = settings.limit_ms is not None or "latency" in settings.objectives
    return exported.fastest(run) if is_needed or exported.has(run) else None


def _checked(run: RunConfig, *others: RunConfig) -> Context:
    """Read the corpus into the store and check data, methods and models, before an engine starts.

    Args:
        others: Runs on the same corpus, which are checked too.

    Raises:
        ConfigError: The data is bad, or a method or an encoder does not fit its run.
    """
    context = Context(Store(run.store), InProcess(), kdray_data())
    task = load_stored(read(run.corpus, context)).task
    for each in (run, *others):
        check_run(each, task)
    return context


def _seeds(given: int | Sequence[int]) -> Sequence[int]:
    """
    Raises:
        ConfigError: There is no seed, one is given twice, or one is below 0.
    """
    seeds = range(given) if isinstance(given, int) else given
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ConfigError(f"seeds = {given}: give a number of 1 or more, or different seeds of 0 or more.")
    return seeds


def _driver(engine: EngineChoice) -> Driver:
    if isinstance(engine, Local):
        return OneByOne()
    from kdray.tuning.tune import RayTune

    return RayTune()

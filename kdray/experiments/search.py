"""The search of a sweep: one study, whose trials a driver runs until as many as wanted have ended."""

import logging
import re
import time
import warnings
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import optuna

from kdray.config import RunConfig
from kdray.errors import ConfigError, KdrayError
from kdray.experiments.history import front, importances, record
from kdray.experiments.settings import Pruning, SearchResult, SweepSettings
from kdray.experiments.students import Shared, sendable
from kdray.experiments.study import SweepStudy, check_place, open_study
from kdray.stages import Context, Prepared
from kdray.store import Store
from kdray.tasks import get_metric

log = logging.getLogger(__name__)

OTHERS_SECONDS = 10.0  # between two looks at what other drivers are at


T = TypeVar("T")


class Driver(Protocol):
    """How the trials of a study are run: in this process, or by Ray Tune."""

    def at_once(self, settings: SweepSettings) -> int:
        """How many trials run at the same time.

        Raises:
            ConfigError: Not even one.
        """
        ...

    def run(
        self, settings: SweepSettings, run: RunConfig, prepared: Prepared, context: Context, sweep_study: SweepStudy
    ) -> str | None:
        """Run the trials that are missing; returns the budget that ended the search, None if all were run."""
        ...


def trials_of(
    kind: Callable[..., T], settings: SweepSettings, run: RunConfig, sweep_study: SweepStudy, **own: Any
) -> T:
    """The trials of a driver: `kind` is `StudyTrials` or one of its subclasses, `own` what that takes besides."""
    return kind(
        sweep_study,
        settings.space,
        seed=settings.seed,
        total=settings.trials,
        full_budget=run.train.epochs + 1,
        pruning=pruning_of(settings),
        sampling=settings.sampling,
        objectives=settings.objectives,
        latency_of=settings.latency_of,
        **own,
    )


def shared_by_trials(run: RunConfig, prepared: Prepared, sweep_study: SweepStudy) -> dict[str, Any]:
    """The arguments of `run_trial` that are the same for each trial."""
    return {
        "base": sendable(run),
        "shared": Shared.of(prepared),
        "epochs": run.train.epochs,
        "higher_is_better": sweep_study.higher_is_better,
    }


def check(settings: SweepSettings, run: RunConfig, store: Store, driver: Driver) -> None:
    """What can be refused before anything is made.

    Raises:
        ConfigError: The cluster can never give what one trial needs, the study cannot be opened or is at work
            elsewhere, or it was begun with other settings.
    """
    driver.at_once(settings)
    pruning_of(settings)
    _check_study(settings, run, store)


def check_resumed(settings: SweepSettings, run: RunConfig, store: Store) -> None:
    """As `check`, of a study that exists, without a driver: before Ray starts or is connected."""
    if store.exists(f"sweeps/{settings.name}"):
        _check_study(settings, run, store)


def _check_study(settings: SweepSettings, run: RunConfig, store: Store) -> None:
    sweep_study = _open(settings, run, store)
    with closing(sweep_study), sweep_study.lock_driver():
        _same_base(sweep_study, run, settings)


def search(
    settings: SweepSettings, run: RunConfig, prepared: Prepared, context: Context, driver: Driver, command: str = ""
) -> SearchResult:
    """Run the trials that are still missing, wait for those of other drivers, and return all of them.

    Args:
        command: The study keeps that which began it.

    Raises:
        ConfigError: As `check`.
    """
    at_first = driver.at_once(settings)
    sweep_study = _open(settings, run, context.store)
    stopped: str | None = None
    with closing(sweep_study), sweep_study.lock_driver():
        if command and "command" not in sweep_study.study.user_attrs:
            sweep_study.study.set_user_attr("command", command)
        for sentence in changed_space(sweep_study.study, settings.space):
            log.warning("sweep %s: %s", settings.name, sentence)
        if settings.retry_failed:
            log.info("sweep %s: trials %s are tried again", settings.name, sweep_study.retry_failed() or "none")
        log.info(
            "sweep %s: %d of %d trials have ended, %d at a time",
            settings.name,
            len(sweep_study.finished_trials()),
            settings.trials,
            at_first,
        )
        while stopped is None and len(sweep_study.finished_trials()) < settings.trials:
            if sweep_study.has_work(total=settings.trials):
                stopped = driver.run(settings, run, prepared, context, sweep_study)
            else:
                log.info(
                    "sweep %s: waits for %d trials of other drivers",
                    settings.name,
                    len(sweep_study.running_elsewhere()),
                )
                time.sleep(OTHERS_SECONDS)
        for name, choices in untried(sweep_study.study).items():
            log.warning(
                "sweep %s: no trial had %s = %s; add trials, or take fewer choices",
                settings.name,
                name,
                ", ".join(map(str, choices)),
            )
        weights, note = importances(sweep_study)
        records = [
            record(trial, higher_is_better=sweep_study.higher_is_better) for trial in sweep_study.finished_trials()
        ]
        return SearchResult(
            records, weights, note, front(sweep_study), stopped, sweep_study.study.user_attrs.get("command")
        )


def changed_space(study: optuna.Study, space: Callable[[Any], Any]) -> list[str]:
    """A sentence for each parameter that now has another range than in the trials of the study.

    >>> study = optuna.create_study()
    >>> study.enqueue_trial({"t": 2.0})
    >>> trial = study.ask({"t": optuna.distributions.FloatDistribution(1, 20)})
    >>> changed_space(study, lambda trial: trial.suggest_float("t", 1, 10))
    ['t was from 1.0 to 20.0 before and is from 1.0 to 10.0 now: only new trials have the new range']
    """
    found = dict[str, str]()
    for trial in study.get_trials(deepcopy=False):
        again = optuna.trial.FixedTrial(trial.params)
        with suppress(ValueError, KdrayError), warnings.catch_warnings(action="ignore"):  # of a setting that is gone
            space(again)
        for name, now in again.distributions.items():
            before = trial.distributions.get(name)
            if before is not None and before != now and name not in found:
                ranges = f"{name} was {_range(before)} before and is {_range(now)} now"
                found[name] = f"{ranges}: only new trials have the new range"
    return list(found.values())


def _range(distribution: optuna.distributions.BaseDistribution) -> str:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return " or ".join(map(str, distribution.choices))
    low, high, log_scale = (getattr(distribution, name) for name in ("low", "high", "log"))
    return f"from {low} to {high}{' (log)' if log_scale else ''}"


def untried(study: optuna.Study) -> dict[str, list[Any]]:
    """Choices that no trial of the study had, by the name of the parameter, where there were as many trials as choices.

    >>> study = optuna.create_study()
    >>> depths = {"depth": optuna.distributions.CategoricalDistribution([2, 3])}
    >>> study.enqueue_trial({"depth": 2})
    >>> trial = study.ask(depths)
    >>> untried(study)
    {}
    >>> study.enqueue_trial({"depth": 2})
    >>> trial = study.ask(depths)
    >>> untried(study)
    {'depth': [3]}
    """
    left: dict[str, list[Any]] = {}
    for trial in (trials := study.get_trials(deepcopy=False)):
        for name, distribution in trial.distributions.items():
            if isinstance(distribution, optuna.distributions.CategoricalDistribution) and name not in left:
                had = [str(each.params[name]) for each in trials if name in each.params]
                many = len(had) >= len(distribution.choices)
                left[name] = [choice for choice in distribution.choices if many and str(choice) not in had]
    return {name: choices for name, choices in left.items() if choices}


def _open(settings: SweepSettings, run: RunConfig, store: Store) -> SweepStudy:
    folder = folder_of(store, settings.name)
    check_place(settings.storage, on_disk=folder is not None)
    url = settings.storage or f"sqlite:///{folder}/study.db"
    return open_study(
        url,
        name=settings.name,
        folder=folder,
        starts=settings.starts,
        objectives=settings.objectives,
        higher_is_better=get_metric(run.corpus.main_metric).higher_is_better,
    )


def folder_of(store: Store, name: str) -> Path | None:
    """The sweep's folder, made if missing, where the store is on a disk."""
    where = f"sweeps/{name}"
    store.make_folder(where)
    return store.local_path(where) if store.is_local else None


def pruning_of(settings: SweepSettings) -> Pruning:
    """Which trials stop early.

    Raises:
        ConfigError: Scores cannot be compared, because there are several objectives.
    """
    if len(settings.objectives) == 1:
        return settings.pruning or "asha"
    if settings.pruning in ("asha", "median"):
        raise ConfigError(
            f"--pruning {settings.pruning} compares trials by one score; with several objectives, leave it out."
        )
    return "none"


def _same_base(sweep_study: SweepStudy, run: RunConfig, settings: SweepSettings) -> None:
    """Refuse to mix trials of different settings in one study."""
    facts = sweep_study.study.user_attrs
    given: dict[str, Any] = {
        "base": run.model_dump(mode="json", exclude={"store", "work"}),
        "objectives": list(settings.objectives),
        "cpus": settings.cpus,
        "gpus": settings.gpus,
        "under": settings.limit_ms,
        "--seed": settings.seed,
    }
    if "base" not in facts:
        for key, value in given.items():
            sweep_study.study.set_user_attr(key, value)
        return
    of_older_studies = {"objectives": ["metric"], "under": None, "--seed": settings.seed}
    known = facts["base"] | {name: facts.get(name, value) for name, value in of_older_studies.items()}
    wanted = given["base"] | {name: given[name] for name in of_older_studies}
    if known != wanted:
        key = _first_difference(known, wanted)
        raise ConfigError(
            f"sweep {sweep_study.study.study_name!r} began with other settings ({key}); choose another --name, "
            "or give the settings of its first command."
        )


def _first_difference(known: Any, given: Any, key: str = "") -> str:
    if isinstance(known, dict) and isinstance(given, dict):
        for name in {**known, **given}:
            if known.get(name) != given.get(name):
                inner = f"{key}.{name}".lstrip(".")
                return _first_difference(known.get(name), given.get(name), inner)
    was_of, now_of = (re.fullmatch(r"(.+:[^:@]+)@[0-9a-f]+", str(each)) for each in (known, given))
    if was_of and now_of and was_of[1] == now_of[1]:
        return f"the source of {key} = {was_of[1]} has changed"
    was, now = ("not set" if each is None else repr(each) for each in (known, given))
    return f"{key} was {was}, is {now}"

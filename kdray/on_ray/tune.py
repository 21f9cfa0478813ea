"""A sweep: one set of teachers, many students, the best of them trained again on several seeds."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.execution import class_cache

from kdray.config import RunConfig
from kdray.errors import ConfigError
from kdray.on_ray.budget import NO_BUDGET, Budget, Stopper
from kdray.on_ray.plan import fitting
from kdray.on_ray.reported import VALUE
from kdray.on_ray.resources import capacity
from kdray.on_ray.search import Pruning, Sampling, Space, StudyScheduler, StudySearcher
from kdray.on_ray.study import ENDS, Objective, SweepStudy, check_place, metric_of, open_study
from kdray.on_ray.track import Tracker, callbacks
from kdray.on_ray.trial import Shared, sendable, trial
from kdray.on_ray.voice import ProgressCallback
from kdray.stages import Context, Prepared
from kdray.store import Store
from kdray.tasks import get_metric

log = logging.getLogger(__name__)

# Tune would write these into logs that everybody may read, and into the list of actors. Nodes have access of their own.
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
class_cache.ENV_VARS_TO_PROPAGATE.difference_update(SECRETS)

OTHERS_SECONDS = 10.0  # between two looks at what other drivers are at


@dataclass(frozen=True)
class SweepSettings:
    """One sweep.

    Attributes:
        name: Names its folder in the store, `sweeps/<name>`, and its study.
        space: A define-by-run space: Optuna trial to dotted overrides of the run's settings.
        starts: Parameters to try first; the first are the defaults.
        trials: How many trials shall have ended in all, over every `--resume` and every driver.
        seed: Of the sampler (never searched over).
        cpus: Processors of one trial.
        gpus: GPUs of one trial, may be a fraction.
        confirm_start: Confirm also the student's first weights without KD, where these are a teacher's layers.
        storage: SQLAlchemy URL of the study; None is a file in the sweep's folder, for one driver at a time.
        pruning: Which trials stop early, by their scores after each epoch; None is `asha`, but nothing with several
            objectives.
        sampling: How parameters are chosen: by TPE (of several objectives too), or at random.
        objectives: What is searched for; the metric on validation first, then what a student costs.
        retry_failed: Try failed trials again first, with their own settings.
        trackers: Where trials are followed beside the report.
    """

    name: str
    space: Space
    starts: Sequence[Mapping[str, Any]]
    trials: int
    seed: int = 0
    cpus: int = 1
    gpus: float = 0.0
    confirm_start: bool = True
    storage: str | None = None
    pruning: Pruning | None = None
    sampling: Sampling = "tpe"
    objectives: Sequence[Objective] = ("metric",)
    retry_failed: bool = False
    budget: Budget = NO_BUDGET
    trackers: Sequence[Tracker] = ()


@dataclass
class SearchResult:
    """Attributes:
    trials: One plain record a trial that has ended, in the order of their numbers.
    front: With several objectives, the numbers of the trials that no other beats in all of them.
    stopped: Why the search ended before the asked number of trials had ended; None if it did not.
    """

    trials: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    importances: dict[str, float] | None = None
    importances_note: str | None = None
    front: list[int] | None = None
    stopped: str | None = None


def check(settings: SweepSettings, run: RunConfig, store: Store) -> None:
    """What can be refused before anything is made.

    Raises:
        ConfigError: The cluster can never give what one trial needs, the study cannot be opened or is at work
            elsewhere, or it was begun with other settings.
    """
    fitting(settings.cpus, settings.gpus)
    _pruning(settings)
    sweep_study = _book(settings, run, store)
    with closing(sweep_study), sweep_study.driving():
        _same_base(sweep_study, run, settings)


def search(settings: SweepSettings, run: RunConfig, prepared: Prepared, context: Context) -> SearchResult:
    """Run the trials that are still missing, wait for those of other drivers, and return all of them.

    Raises:
        ConfigError: As `check`.
    """
    at_first = fitting(settings.cpus, settings.gpus)
    sweep_study = _book(settings, run, context.store)
    stopped: str | None = None
    with closing(sweep_study), sweep_study.driving():
        if settings.retry_failed:
            log.info("sweep %s: trials %s are tried again", settings.name, sweep_study.retry_failed() or "none")
        log.info(
            "sweep %s: %d of %d trials have ended, %d at a time with the nodes of now",
            settings.name,
            len(sweep_study.ended()),
            settings.trials,
            at_first,
        )
        while stopped is None and len(sweep_study.ended()) < settings.trials:
            if sweep_study.has_work(asked=settings.trials):
                stopped = _search(settings, run, prepared, context, sweep_study)
            else:
                log.info(
                    "sweep %s: waits for %d trials of other drivers",
                    settings.name,
                    len(sweep_study.running_elsewhere()),
                )
                time.sleep(OTHERS_SECONDS)
        importances, note = _importances(sweep_study)
        records = [_record(trial, higher_is_better=sweep_study.higher_is_better) for trial in sweep_study.ended()]
        return SearchResult(records, importances, note, _front(sweep_study), stopped)


def _search(
    settings: SweepSettings, run: RunConfig, prepared: Prepared, context: Context, sweep_study: SweepStudy
) -> str | None:
    """One search of Tune's; returns the budget that ended it, if one did."""
    epochs, task = run.train.epochs, prepared.corpus.name
    now = partial(_room, settings.cpus, settings.gpus)
    searcher = StudySearcher(
        sweep_study,
        settings.space,
        seed=settings.seed,
        asked=settings.trials,
        full_budget=epochs + 1,
        pruning=_pruning(settings),
        sampling=settings.sampling,
        objectives=settings.objectives,
        capacity=now,
        retries=run.work.retries,
    )
    ended = len(sweep_study.ended())
    tracked = callbacks(settings.trackers, sweep=settings.name, folder=_folder(context.store, settings.name))
    stopper = Stopper(searcher, sweep_study, settings.budget, gpus=settings.gpus)
    runnable = partial(
        trial,
        base=sendable(run),
        shared=Shared.of(prepared),
        epochs=epochs,
        higher_is_better=sweep_study.higher_is_better,
    )
    named = tune.with_resources(_named(runnable, f"distil_{task}"), {"CPU": settings.cpus, "GPU": settings.gpus})
    tune.Tuner(
        named,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            metric=VALUE,
            mode="max" if sweep_study.higher_is_better else "min",
            scheduler=StudyScheduler(searcher),
            num_samples=(settings.trials - ended) * (1 + run.work.retries),  # at most; the searcher says when to end
            max_concurrent_trials=settings.trials,  # else Tune starts one after the other; the searcher says how many
            reuse_actors=True,
            trial_name_creator=lambda t: f"{task}_{t.config['number']}",
            trial_dirname_creator=lambda t: f"{task}_{t.config['number']}",
        ),
        run_config=tune.RunConfig(
            name=f"{settings.name}-{int(time.time())}",
            storage_path=context.store.uri_of("ray"),
            verbose=0,
            stop=stopper,
            callbacks=[ProgressCallback(settings.name, searcher, settings.trials, now), *tracked],
        ),
    ).fit()
    searcher.end()
    return stopper.reason


def _room(cpus: int, gpus: float) -> int:
    """Trials that fit at this moment; at least one, which waits for a node to come back."""
    return max(1, capacity(cpus, gpus))


def _book(settings: SweepSettings, run: RunConfig, store: Store) -> SweepStudy:
    folder = _folder(store, settings.name)
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


def _folder(store: Store, name: str) -> Path | None:
    """The sweep's folder, made if missing, where the store is on a disk."""
    where = f"sweeps/{name}"
    store.make_folder(where)
    return store.local_path(where) if store.is_local else None


def _pruning(settings: SweepSettings) -> Pruning:
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
    }
    if "base" not in facts:
        for key, value in given.items():
            sweep_study.study.set_user_attr(key, value)
        return
    known = facts["base"] | {"objectives": facts.get("objectives", ["metric"])}
    wanted = given["base"] | {"objectives": given["objectives"]}
    if known != wanted:
        key = _first_difference(known, wanted)
        raise ConfigError(
            f"sweep {sweep_study.study.study_name!r} began with other settings ({key}); choose another --name, "
            "or give the settings of its first command."
        )


def _first_difference(known: Any, given: Any, key: str = "") -> str:
    if isinstance(known, dict) and isinstance(given, dict):
        for name in {**known, **given}:  # pyright: ignore[reportUnknownVariableType]
            if known.get(name) != given.get(name):  # pyright: ignore[reportUnknownMemberType]
                inner = f"{key}.{name}".lstrip(".")
                return _first_difference(known.get(name), given.get(name), inner)  # pyright: ignore[reportUnknownMemberType]
    return f"{key} was {known!r}, is {given!r}"


def _named(runnable: Any, name: str) -> Any:
    """A function called `name`, which the dashboard shows."""

    def run(config: dict[str, Any]) -> None:
        runnable(config)

    run.__name__ = run.__qualname__ = name
    return run


def _record(trial: Any, *, higher_is_better: bool) -> dict[str, Any]:
    facts = trial.user_attrs
    state = ENDS[trial.state]
    started, ended = facts.get("started"), facts.get("ended")
    return {
        "number": trial.number,
        "state": state,
        "params": dict(trial.params),
        "value": metric_of(trial, higher_is_better=higher_is_better),
        "test": facts.get("test"),
        "latency_ms": facts.get("latency"),
        "parameters": facts.get("parameters"),
        "epochs": facts.get("epochs", len(trial.intermediate_values)),
        "history": facts.get("history", []),
        "seconds": ended - started if started and ended else None,
        "started": started,
        "ended": ended,
        "error": facts.get("error"),
        "digest": facts.get("digest"),
        "label": facts.get("label"),
        "worker": facts.get("worker"),
    }


def _front(sweep_study: SweepStudy) -> list[int] | None:
    """The Pareto front; None with one objective."""
    if len(sweep_study.study.directions) == 1:
        return None
    counted = {trial.number for trial in sweep_study.ended()}
    return sorted(trial.number for trial in sweep_study.study.best_trials if trial.number in counted)


def _importances(sweep_study: SweepStudy) -> tuple[dict[str, float] | None, str | None]:
    """fANOVA over the parameters that every finished trial has; a conditional one cannot be compared."""
    import optuna

    study = sweep_study.study
    complete = [trial for trial in sweep_study.ended() if trial.state == optuna.trial.TrialState.COMPLETE]
    if len(complete) < 4:
        return None, f"needs four finished trials, there are {len(complete)}"
    if len({t.values[0] for t in complete}) == 1:
        return None, "all finished trials score the same"
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, target=lambda t: t.values[0])
    return found, f"fANOVA over {len(complete)} finished trials and the parameters that all of them have"

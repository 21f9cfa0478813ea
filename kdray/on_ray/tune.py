"""A sweep: one set of teachers, many students, the best of them trained again on several seeds."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ray
from ray import tune
from ray.tune import Callback
from ray.tune.schedulers import ASHAScheduler

from kdray.config import RunConfig
from kdray.errors import BadInput
from kdray.on_ray.search import BUDGET, VALUE, Space, StudySearcher, counted, open_study
from kdray.on_ray.trial import Shared, store_folder, trial
from kdray.stages import Context, Prepared
from kdray.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepSettings:
    """One sweep.

    Attributes:
        name: Names its folder in the store, `sweeps/<name>`, and its study.
        space: A define-by-run space: Optuna trial to dotted overrides of the run's settings.
        starts: Parameters to try first; the first are the defaults.
        trials: How many trials shall have ended in all, over every `--resume`.
        seed: Of the sampler (never searched over).
        cpus: Processors of one trial.
        gpus: GPUs of one trial, may be a fraction.
        confirm_start: Confirm also the student's first weights without KD, where these are a teacher's layers.
    """

    name: str
    space: Space
    starts: Sequence[Mapping[str, Any]]
    trials: int
    seed: int = 0
    cpus: int = 1
    gpus: float = 0.0
    confirm_start: bool = True


@dataclass
class SearchResult:
    """Attributes:
    trials: One plain record a trial, in the order of their numbers.
    """

    trials: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    importances: dict[str, float] | None = None
    importances_note: str | None = None


def search(settings: SweepSettings, run: RunConfig, prepared: Prepared, context: Context) -> SearchResult:
    """Run the trials that are still missing, and return all of them.

    Raises:
        BadInput: The cluster can never give what one trial needs.
    """
    concurrent = _concurrent(settings)
    study = open_study(_storage(context.store, settings.name), name=settings.name, starts=settings.starts)
    done = len(counted(study))
    missing = settings.trials - done
    log.info("sweep %s: %d of %d trials have ended, %d at a time", settings.name, done, settings.trials, concurrent)
    if missing > 0:
        _search(
            settings,
            run,
            prepared,
            context,
            StudySearcher(study, settings.space, seed=settings.seed, full_budget=run.train.epochs + 1),
            missing,
            concurrent,
        )
    importances, note = _importances(study)
    return SearchResult([_record(ended) for ended in counted(study)], importances, note)


def _search(
    settings: SweepSettings,
    run: RunConfig,
    prepared: Prepared,
    context: Context,
    searcher: StudySearcher,
    missing: int,
    concurrent: int,
) -> None:
    epochs = run.train.epochs
    task = prepared.corpus.name
    runnable = partial(trial, base=run.model_dump(mode="json"), shared=Shared.of(prepared), epochs=epochs)
    named = tune.with_resources(_named(runnable, f"distil_{task}"), {"CPU": settings.cpus, "GPU": settings.gpus})
    tune.Tuner(
        named,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            metric=VALUE,
            mode="max",
            scheduler=ASHAScheduler(time_attr=BUDGET, max_t=epochs + 1, grace_period=1, reduction_factor=2),
            num_samples=missing,
            max_concurrent_trials=concurrent,
            reuse_actors=True,
            trial_name_creator=lambda t: f"{task}_{t.config['number']}",
            trial_dirname_creator=lambda t: f"{task}_{t.config['number']}",
        ),
        run_config=tune.RunConfig(
            name=f"{settings.name}-{int(time.time())}",
            storage_path=str(store_folder(context.store, "ray")) if context.store.is_local else f"{run.store}/ray",
            verbose=0,
            callbacks=[_Voice(searcher, settings.trials - missing, settings.trials)],
        ),
    ).fit()


class _Voice(Callback):
    """One line for every trial that ends, and the facts that the study keeps of it."""

    def __init__(self, searcher: StudySearcher, done: int, asked: int) -> None:
        self._searcher, self._done, self._asked = searcher, done, asked
        self._failed = self._stopped = 0
        self._best: float | None = None
        self._start: dict[str, float] = {}
        self._history: dict[str, list[dict[str, float]]] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._start[trial.trial_id] = time.time()
        self._history[trial.trial_id] = []
        log.info("trial %d starts: %s", trial.config["number"], _short(trial.config["overrides"]))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        facts: dict[str, Any] = {
            "started": self._start[trial.trial_id],
            "ended": time.time(),
            "worker": f"{result['hostname']}:{result['pid']}",
        }
        if "history" in result:
            self._history[trial.trial_id] = result["history"]
        else:
            point = {"epoch": result["epochs"], "value": result[VALUE], "loss": result["loss"]}
            self._history[trial.trial_id].append(point)
            log.info("trial %d: epoch %d, select %.4f", trial.config["number"], result["epochs"], result[VALUE])
        self._searcher.note(trial.trial_id, **facts, history=self._history[trial.trial_id])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        value = trial.last_result.get(VALUE)
        stopped = "digest" not in trial.last_result
        self._stopped += stopped
        if not stopped and value is not None and (self._best is None or value > self._best):
            self._best = value
        self._say(trial, "stopped early" if stopped else f"select {value:.4f}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._failed += 1
        error = _last_line(trial)
        self._searcher.fail(trial.trial_id, error=error, ended=time.time())
        self._say(trial, f"failed: {error}")

    def _say(self, trial: Any, what: str) -> None:
        self._done += 1
        best = "none yet" if self._best is None else f"{self._best:.4f}"
        log.info(
            "trial %d %s; %d of %d ended (%d stopped early, %d failed), best %s",
            trial.config["number"],
            what,
            self._done,
            self._asked,
            self._stopped,
            self._failed,
            best,
        )


def _last_line(trial: Any) -> str:
    path = getattr(trial, "error_file", None)
    if not path:
        return "its worker was lost"
    with open(path) as file:  # noqa: PTH123 - Tune gives a string
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1] if lines else "its worker was lost"


def _short(overrides: Mapping[str, Any]) -> str:
    shown = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in overrides.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items())


def _named(runnable: Any, name: str) -> Any:
    """A function called `name`, which the dashboard shows."""

    def run(config: dict[str, Any]) -> None:
        runnable(config)

    run.__name__ = run.__qualname__ = name
    return run


def _concurrent(settings: SweepSettings) -> int:
    have = ray.cluster_resources()
    fits = [int(have.get("CPU", 0) // settings.cpus)]
    if settings.gpus:
        fits.append(int(have.get("GPU", 0) / settings.gpus + 1e-9))
    if min(fits) < 1:
        raise BadInput(
            f"a trial needs {settings.cpus} CPUs and {settings.gpus:g} GPUs, there are {have.get('CPU', 0):g} CPUs "
            f"and {have.get('GPU', 0):g} GPUs; lower --cpus-per-trial or --gpus-per-trial."
        )
    return min(fits)


def _storage(store: Store, name: str) -> str:
    return f"sqlite:///{store_folder(store, 'sweeps', name) / 'study.db'}"


def _record(trial: Any) -> dict[str, Any]:
    facts = trial.user_attrs
    state = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}[trial.state.name]
    value = trial.value if state == "complete" else max(trial.intermediate_values.values(), default=None)
    started, ended = facts.get("started"), facts.get("ended")
    return {
        "number": trial.number,
        "state": state,
        "params": dict(trial.params),
        "value": value,
        "report": facts.get("report"),
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


def _importances(study: Any) -> tuple[dict[str, float] | None, str | None]:
    """fANOVA over the parameters that every finished trial has; a conditional one cannot be compared."""
    import optuna

    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(complete) < 4:
        return None, f"needs four finished trials, there are {len(complete)}"
    if len({t.value for t in complete}) == 1:
        return None, "all finished trials score the same"
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return found, f"fANOVA over {len(complete)} finished trials and the parameters that all of them have"

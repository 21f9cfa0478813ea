"""A sweep: one set of teachers, many students, the best of them trained again on several seeds."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ray
from ray import tune
from ray.tune import Callback

from kdray.config import RunConfig
from kdray.errors import BadInput
from kdray.on_ray.search import VALUE, Pruning, Sampling, Space, StudyScheduler, StudySearcher
from kdray.on_ray.study import ENDS, Objective, SweepStudy, metric_of, open_study
from kdray.on_ray.trial import Shared, store_folder, trial
from kdray.stages import Context, Prepared
from kdray.store import Store

log = logging.getLogger(__name__)

BUDGET_SECONDS = 5.0  # between two looks at what a search has used
OTHERS_SECONDS = 10.0  # between two looks at what other drivers are at


@dataclass(frozen=True)
class Budget:
    """When a search ends early; what is then unfinished goes on by `--resume`. None is no limit.

    Attributes:
        hours: Wall time of this command's search.
        gpu_hours: Hours of GPU that trials have had, over every `--resume`.
        failures: Failed trials, over every `--resume`, but for those tried again.
    """

    hours: float | None = None
    gpu_hours: float | None = None
    failures: int | None = None


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
        objectives: What is searched for; the metric on select first, then what a student costs.
        retry_failed: Try failed trials again first, with their own settings.
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
    budget: Budget = Budget()


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
        BadInput: The cluster can never give what one trial needs, the study cannot be opened or is at work
            elsewhere, or it was begun with other settings.
    """
    _concurrent(settings)
    _pruning(settings)
    book = _book(settings, store)
    with closing(book), book.driving():
        _same_base(book, run, settings)


def search(settings: SweepSettings, run: RunConfig, prepared: Prepared, context: Context) -> SearchResult:
    """Run the trials that are still missing, wait for those of other drivers, and return all of them.

    Raises:
        BadInput: As `check`.
    """
    concurrent = _concurrent(settings)
    book = _book(settings, context.store)
    stopped: str | None = None
    with closing(book), book.driving():
        if settings.retry_failed:
            log.info("sweep %s: trials %s are tried again", settings.name, book.retry_failed() or "none")
        log.info(
            "sweep %s: %d of %d trials have ended, %d at a time",
            settings.name,
            len(book.ended()),
            settings.trials,
            concurrent,
        )
        while stopped is None and len(book.ended()) < settings.trials:
            if book.has_work(asked=settings.trials):
                stopped = _search(settings, run, prepared, context, book, concurrent)
            else:
                log.info("sweep %s: waits for %d trials of other drivers", settings.name, len(book.running_elsewhere()))
                time.sleep(OTHERS_SECONDS)
        importances, note = _importances(book)
        return SearchResult([_record(trial) for trial in book.ended()], importances, note, _front(book), stopped)


def _search(
    settings: SweepSettings, run: RunConfig, prepared: Prepared, context: Context, book: SweepStudy, concurrent: int
) -> str | None:
    """One search of Tune's; returns the budget that ended it, if one did."""
    epochs, task = run.train.epochs, prepared.corpus.name
    searcher = StudySearcher(
        book,
        settings.space,
        seed=settings.seed,
        asked=settings.trials,
        full_budget=epochs + 1,
        pruning=_pruning(settings),
        sampling=settings.sampling,
        objectives=settings.objectives,
    )
    ended = len(book.ended())
    stopper = _Stopper(searcher, book, settings)
    runnable = partial(trial, base=run.model_dump(mode="json"), shared=Shared.of(prepared), epochs=epochs)
    named = tune.with_resources(_named(runnable, f"distil_{task}"), {"CPU": settings.cpus, "GPU": settings.gpus})
    tune.Tuner(
        named,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            metric=VALUE,
            mode="max",
            scheduler=StudyScheduler(searcher),
            num_samples=settings.trials - ended,
            max_concurrent_trials=concurrent,
            reuse_actors=True,
            trial_name_creator=lambda t: f"{task}_{t.config['number']}",
            trial_dirname_creator=lambda t: f"{task}_{t.config['number']}",
        ),
        run_config=tune.RunConfig(
            name=f"{settings.name}-{int(time.time())}",
            storage_path=str(store_folder(context.store, "ray")) if context.store.is_local else f"{run.store}/ray",
            verbose=0,
            stop=stopper,
            callbacks=[_Voice(searcher, ended, settings.trials, concurrent)],
        ),
    ).fit()
    return stopper.reason


def _book(settings: SweepSettings, store: Store) -> SweepStudy:
    folder = store_folder(store, "sweeps", settings.name)
    url = settings.storage or f"sqlite:///{folder / 'study.db'}"
    return open_study(url, name=settings.name, folder=folder, starts=settings.starts, objectives=settings.objectives)


def _pruning(settings: SweepSettings) -> Pruning:
    if len(settings.objectives) == 1:
        return settings.pruning or "asha"
    if settings.pruning in ("asha", "median"):
        raise BadInput(
            f"--pruning {settings.pruning} compares trials by one score; with several objectives, leave it out."
        )
    return "none"


def _same_base(book: SweepStudy, run: RunConfig, settings: SweepSettings) -> None:
    """Refuse to mix trials of different settings in one study."""
    facts = book.study.user_attrs
    given: dict[str, Any] = {
        "base": run.model_dump(mode="json", exclude={"store", "work"}),
        "objectives": list(settings.objectives),
        "cpus": settings.cpus,
        "gpus": settings.gpus,
    }
    if "base" not in facts:
        for key, value in given.items():
            book.study.set_user_attr(key, value)
        return
    known = facts["base"] | {"objectives": facts.get("objectives", ["metric"])}
    wanted = given["base"] | {"objectives": given["objectives"]}
    if known != wanted:
        key = _first_difference(known, wanted)
        raise BadInput(
            f"sweep {book.study.study_name!r} was begun with other settings ({key}); begin another with --name, or "
            "give the settings it was begun with."
        )


def _first_difference(known: Any, given: Any, key: str = "") -> str:
    if isinstance(known, dict) and isinstance(given, dict):
        for name in {**known, **given}:  # pyright: ignore[reportUnknownVariableType]
            if known.get(name) != given.get(name):  # pyright: ignore[reportUnknownMemberType]
                inner = f"{key}.{name}".lstrip(".")
                return _first_difference(known.get(name), given.get(name), inner)  # pyright: ignore[reportUnknownMemberType]
    return f"{key} was {known!r}, is {given!r}"


class _Stopper(tune.Stopper):
    """Ends the search when a budget is used up; what runs then stays unfinished in the study."""

    def __init__(self, searcher: StudySearcher, book: SweepStudy, settings: SweepSettings) -> None:
        self._searcher, self._book = searcher, book
        self._budget, self._gpus = settings.budget, settings.gpus
        self._start = self._looked = time.monotonic()
        self.reason: str | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        now = time.monotonic()
        if self.reason is None and self._budget != Budget() and now - self._looked > BUDGET_SECONDS:
            self._looked = now
            self.reason = self._used_up(now)
            if self.reason:
                self._searcher.is_closing = True
                log.info("the search ends: %s", self.reason)
        return self.reason is not None

    def _used_up(self, now: float) -> str | None:
        budget = self._budget
        if budget.hours is not None and now - self._start > 3600 * budget.hours:
            return f"--max-hours {budget.hours:g} are over"
        trials = self._book.counted()
        if budget.gpu_hours is not None:
            facts = [trial.user_attrs for trial in trials]
            used = self._gpus * sum(f["ended"] - f["started"] for f in facts if "ended" in f and "started" in f) / 3600
            if used > budget.gpu_hours:
                return f"--max-gpu-hours {budget.gpu_hours:g} are used up"
        failed = sum(trial.state.name == "FAIL" for trial in trials)
        if budget.failures is not None and failed >= budget.failures:
            return f"{failed} trials have failed, --max-failures is {budget.failures}"
        return None


class _Voice(Callback):
    """One line for every trial that ends, and the facts that the study keeps of it."""

    def __init__(self, searcher: StudySearcher, done: int, asked: int, concurrent: int) -> None:
        self._searcher, self._done, self._asked, self._concurrent = searcher, done, asked, concurrent
        self._failed = self._stopped = 0
        self._best: float | None = None
        self._seconds: list[float] = []
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
        if self._searcher.is_closing:
            return
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
        self._seconds.append(time.time() - self._start.get(trial.trial_id, time.time()))
        best = "none yet" if self._best is None else f"{self._best:.4f}"
        log.info(
            "trial %d %s; %d of %d ended (%d stopped early, %d failed), best %s%s",
            trial.config["number"],
            what,
            self._done,
            self._asked,
            self._stopped,
            self._failed,
            best,
            self._left(),
        )

    def _left(self) -> str:
        """How long the rest will take if it is like what there was."""
        missing = self._asked - self._done
        minutes = missing * sum(self._seconds) / len(self._seconds) / self._concurrent / 60
        return f", about {minutes:.0f} min left" if missing > 0 and minutes >= 1 else ""


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


def _record(trial: Any) -> dict[str, Any]:
    facts = trial.user_attrs
    state = ENDS[trial.state]
    started, ended = facts.get("started"), facts.get("ended")
    return {
        "number": trial.number,
        "state": state,
        "params": dict(trial.params),
        "value": metric_of(trial),
        "report": facts.get("report"),
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


def _front(book: SweepStudy) -> list[int] | None:
    """The Pareto front; None with one objective."""
    if len(book.study.directions) == 1:
        return None
    counted = {trial.number for trial in book.ended()}
    return sorted(trial.number for trial in book.study.best_trials if trial.number in counted)


def _importances(book: SweepStudy) -> tuple[dict[str, float] | None, str | None]:
    """fANOVA over the parameters that every finished trial has; a conditional one cannot be compared."""
    import optuna

    study = book.study
    complete = [trial for trial in book.ended() if trial.state == optuna.trial.TrialState.COMPLETE]
    if len(complete) < 4:
        return None, f"needs four finished trials, there are {len(complete)}"
    if len({t.values[0] for t in complete}) == 1:
        return None, "all finished trials score the same"
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, target=lambda t: t.values[0])
    return found, f"fANOVA over {len(complete)} finished trials and the parameters that all of them have"

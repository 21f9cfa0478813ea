"""The driver of a study by Ray Tune."""

import time
from functools import partial
from typing import Any

from ray import tune

from kdray import compat
from kdray.config import RunConfig
from kdray.engines.ray.plan import fitting
from kdray.engines.ray.resources import capacity
from kdray.engines.ray.sharing import check_shared
from kdray.experiments.reported import VALUE
from kdray.experiments.search import folder_of, shared_by_trials, trials_of
from kdray.experiments.settings import SweepSettings
from kdray.experiments.study import SweepStudy
from kdray.stages import Context, Prepared
from kdray.tuning.callbacks import ProgressCallback
from kdray.tuning.searcher import StudyScheduler, StudySearcher
from kdray.tuning.stopper import Stopper
from kdray.tuning.trackers import callbacks
from kdray.tuning.trainable import trial

SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
compat.keep_from_trials(SECRETS)  # nodes have access of their own


class RayTune:
    """Runs trials on a Ray cluster, each in a process of its own, as many at a time as fit."""

    def at_once(self, settings: SweepSettings) -> int:
        return fitting(settings.cpus, settings.gpus)

    def run(
        self, settings: SweepSettings, run: RunConfig, prepared: Prepared, context: Context, sweep_study: SweepStudy
    ) -> str | None:
        """One search of Tune's; returns the budget that ended it, if one did."""
        check_shared(context.store)
        task = prepared.corpus.name
        now = partial(_capacity, settings.cpus, settings.gpus)
        searcher = trials_of(StudySearcher, settings, run, sweep_study, capacity=now, retries=run.work.retries)
        ended = len(sweep_study.finished_trials())
        tracked = callbacks(settings.trackers, sweep=settings.name, folder=folder_of(context.store, settings.name))
        stopper = Stopper(searcher, sweep_study, settings.budget, gpus=settings.gpus)
        runnable = partial(trial, **shared_by_trials(run, prepared, sweep_study))
        named = tune.with_resources(_named(runnable, f"distill_{task}"), {"CPU": settings.cpus, "GPU": settings.gpus})
        tune.Tuner(
            named,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                metric=VALUE,
                mode="max" if sweep_study.higher_is_better else "min",
                scheduler=StudyScheduler(searcher),
                # at most; the searcher ends the search
                num_samples=(settings.trials - ended) * (1 + run.work.retries),
                # without it Tune starts one trial after the other; the searcher limits their number
                max_concurrent_trials=settings.trials,
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


def _capacity(cpus: int, gpus: float) -> int:
    """Trials that fit at this moment; at least one, which waits for a node to come back."""
    return max(1, capacity(cpus, gpus))


def _named(runnable: Any, name: str) -> Any:
    """A function called `name`, which the dashboard shows."""

    def run(config: dict[str, Any]) -> None:
        runnable(config)

    run.__name__ = run.__qualname__ = name
    return run

"""One trial of a sweep by itself: its settings read from the study, its student trained again or copied."""

import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import optuna

from kdray.config import RunConfig, merge, parse
from kdray.distillation import Ref
from kdray.errors import ConfigError, did_you_mean
from kdray.experiments.students import Shared, result_of_job, sendable
from kdray.experiments.study import ENDS, SweepStudy, check_place, open_study
from kdray.stages import Context, prepare
from kdray.store import Artifact, Store

log = logging.getLogger(__name__)

REPLAY = "replay"  # the stage of students that are trained a second time


@dataclass(frozen=True)
class RecordedTrial:
    """A trial of the study.

    Attributes:
        state: `complete`, `pruned`, `failed` or `running`.
        value: Its metric on the validation split; None if it has none.
        digest: Of its student; None if it has none.
        run: Everything that its student was trained with.
        cpus: Processors it had, which decide the last bits of its sums.
    """

    number: int
    state: str
    value: float | None
    digest: str | None
    run: RunConfig
    cpus: int
    gpus: float


def sweeps_in(store: Store) -> list[str]:
    """The names of the searches in a store, without its comparisons."""
    return [name for name in store.children("sweeps") if not _is_comparison(_result(store, name))]


def _result(store: Store, name: str) -> dict[str, Any] | None:
    return store.read_json(f"sweeps/{name}/result.json")


def _is_comparison(document: Mapping[str, Any] | None) -> bool:
    return document is not None and document.get("kind") == "comparison"


def no_sweep(store: Store, name: str) -> ConfigError:
    """The error where a store does not hold a sweep of this name."""
    if _is_comparison(_result(store, name)):
        page = store.uri_of(f"sweeps/{name}/report.html")
        return ConfigError(f"{name} is a comparison, which has no trials; its students are in {page}.")
    known = [each for each in sweeps_in(store) if each != name]
    every = f"there are {', '.join(known)}." if known else "kdray sweep FILE makes one."
    return ConfigError(f"store {store.given!r} holds no sweep {name!r}; {did_you_mean(name, known, otherwise=every)}")


def past_trial(store: Store, sweep: str, number: int | None, *, storage: str | None) -> RecordedTrial:
    """A trial by its number; None takes the winner, or the best so far where the search has not ended.

    Raises:
        ConfigError: There is no such sweep or trial, or the trial has no settings.
    """
    document = _result(store, sweep)
    if not store.exists(f"sweeps/{sweep}") or _is_comparison(document):
        raise no_sweep(store, sweep)
    check_place(storage, on_disk=store.is_local)
    folder = store.local_path(f"sweeps/{sweep}") if store.is_local else None
    if number is not None:
        document = None
    elif document is not None:
        number = document["best"]["number"]
    sweep_study = open_study(storage or _local(store, sweep), name=sweep, folder=folder, starts=[])
    with closing(sweep_study):
        past = _read(sweep_study, sweep, number, store)
        if number is None:
            ended = len(sweep_study.finished_trials())
            log.warning("sweep %s has not ended; this is the best of the %d trials that have", sweep, ended)
    if document is not None and past.digest is None:  # the defaults won, but their trial was stopped early
        return replace(past, digest=document["confirmation"][0]["runs"][0])
    return past


def _read(sweep_study: SweepStudy, sweep: str, number: int | None, store: Store) -> RecordedTrial:
    trials = {trial.number: trial for trial in sweep_study.study.get_trials(deepcopy=False)}
    if number is None:
        complete = [t for t in sweep_study.finished_trials() if t.state == optuna.trial.TrialState.COMPLETE]
        if not complete:
            raise ConfigError(f"sweep {sweep!r} has no finished trial yet.")
        number = min(complete, key=sweep_study.best_first).number
    if number not in trials:
        raise ConfigError(f"sweep {sweep!r} has no trial {number}; it has {len(trials)}, counted from 0.")
    trial, facts = trials[number], sweep_study.study.user_attrs
    if "overrides" not in trial.user_attrs or "base" not in facts:
        raise ConfigError(f"trial {number} of sweep {sweep!r} was never started, so it has no settings.")
    plain = merge(facts["base"] | {"store": store.uri}, trial.user_attrs["overrides"])
    return RecordedTrial(
        number=number,
        state=ENDS.get(trial.state, "running"),
        value=trial.values[0] if trial.state == optuna.trial.TrialState.COMPLETE else None,
        digest=trial.user_attrs.get("digest"),
        run=parse(plain, source=f"sweep {sweep}, trial {number}"),
        cpus=facts.get("cpus", 1),
        gpus=facts.get("gpus", 0.0),
    )


def retrain(past: RecordedTrial, context: Context) -> dict[str, Any]:
    """Train the trial's student once more, to its last epoch, and keep the first one; its result document."""
    shared = Shared.of(prepare(past.run, context, every_teacher=True))
    job, title = (sendable(past.run), shared, REPLAY), f"trial {past.number}"
    ((_, result),) = context.engine.run_many(
        [job], result_of_job, titles=[title], cpus=past.cpus, gpus=past.gpus, store=past.run.store
    )
    return result


def student_of(past: RecordedTrial, store: Store) -> Artifact:
    """The student that the trial left in the store.

    Raises:
        ConfigError: It has none, or the store no longer holds it.
    """
    if past.digest is None:
        raise ConfigError(f"trial {past.number} is {past.state} and has no student.")
    try:
        return trained_of(past.digest, store)
    except ConfigError as error:
        raise ConfigError(f"trial {past.number}: {error}") from None


def trained_of(digest: str, store: Store) -> Artifact:
    """The student of this digest.

    Raises:
        ConfigError: The store holds none.
    """
    for artifact in store.artifacts("distill"):
        if artifact.digest == digest:
            return Ref.to(artifact).open(store)
    raise ConfigError(f"store {store.given!r} no longer holds the student {digest[:12]}.")


def _local(store: Store, sweep: str) -> str:
    path = store.local_path(f"sweeps/{sweep}/study.db")
    if not path.exists():
        raise ConfigError(f"sweep {sweep!r} has no study in its folder; if it has a database server, give --storage.")
    return f"sqlite:///{path}"

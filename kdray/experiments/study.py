"""The study of a sweep: one database, the source of truth about its trials, for one driver or for several.

A trial whose driver died stays in the study as a running one. The next driver takes it over under its own number, so
that a resumed search makes the suggestions of an unbroken one. A local file has one driver at a time, which a lock
ensures; on a database server every driver shows by heartbeats that its trials are alive. What only one
driver may do at a time, such as taking trials over, it does under a lock: PostgreSQL's own, or a file in a folder that
all drivers share.
"""

import logging
import random
import threading
import time
import warnings
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import filelock
import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from kdray import compat
from kdray.errors import ConfigError, RunError
from kdray.experiments.settings import Objective
from kdray.experiments.study_storage import RetryingStorage, is_away, retry_while_unavailable
from kdray.retries import retry
from kdray.secrets import without_passwords
from kdray.tasks import best_of

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10
MADE_MEANWHILE_SECONDS = 30
GRACE_SECONDS = 60  # without a heartbeat a trial is taken for dead
LOCK_SECONDS = 120  # that a lock of the database is waited for, which is held for moments
WITHDRAWN, RETRY_OF, CLAIMED = "withdrawn", "retry_of", "held"
ENDS = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}  # as results say it


@dataclass(frozen=True)
class StudyProgress:
    """How far a sweep is.

    Attributes:
        ended: Trials that are complete, stopped early or failed.
        best: The metric on validation of the best complete one; None if there is none.
        seconds: That a trial which trained took on average; 0 if none has.
    """

    ended: int
    pruned: int
    failed: int
    running: int
    best: float | None
    seconds: float


class SweepStudy:
    """The trials of one sweep, wherever they run.

    Args:
        study: The Optuna study.
        folder: The sweep's folder, which all drivers share, for locks; None where the database server has its own.
        is_shared: Several drivers may work on it at once.
    """

    def __init__(self, study: optuna.Study, folder: Path | None, *, is_shared: bool) -> None:
        self.study, self.is_shared = study, is_shared
        self._folder = folder
        self._mine: set[int] = set()  # trial ids that this driver runs

    @property
    def higher_is_better(self) -> bool:
        """The direction of the metric."""
        return self.study.directions[0] == optuna.study.StudyDirection.MAXIMIZE

    def best_first(self, trial: FrozenTrial) -> tuple[float, int]:
        """A key to sort complete trials by: the best metric first, of equals the lower number."""
        return (-trial.values[0] if self.higher_is_better else trial.values[0], trial.number)

    def counted_trials(self) -> list[FrozenTrial]:
        """The trials that count: all but those that were one too many, and those that were tried again."""
        trials = self.study.get_trials(deepcopy=False)
        again = {trial.user_attrs[RETRY_OF] for trial in trials if RETRY_OF in trial.user_attrs}
        return [t for t in trials if t.number not in again and not t.user_attrs.get(WITHDRAWN)]

    def finished_trials(self) -> list[FrozenTrial]:
        return [trial for trial in self.counted_trials() if trial.state.is_finished()]

    def progress(self) -> StudyProgress:
        counted = self.counted_trials()
        states = Counter(trial.state for trial in counted)
        facts = [trial.user_attrs for trial in counted if trial.state.is_finished()]
        seconds = [fact["ended"] - fact["started"] for fact in facts if "ended" in fact and "started" in fact]
        trained = [each for each in seconds if each >= 1]  # the others found their student in the store
        return StudyProgress(
            ended=len(facts),
            pruned=states[TrialState.PRUNED],
            failed=states[TrialState.FAIL],
            running=states[TrialState.RUNNING],
            best=best_of(
                (trial.values[0] for trial in counted if trial.state == TrialState.COMPLETE),
                higher_is_better=self.higher_is_better,
            ),
            seconds=sum(trained) / max(1, len(trained)),
        )

    def running_elsewhere(self) -> list[FrozenTrial]:
        """The running trials of other drivers."""
        return [
            t for t in self.counted_trials() if t.state == TrialState.RUNNING and compat.trial_id(t) not in self._mine
        ]

    def has_work(self, *, total: int) -> bool:
        """Whether a driver would find something to run: a new trial, one in the queue, or one that lost its driver."""
        trials = self.counted_trials()
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        return waiting or len(trials) < total or bool(self._abandoned())

    def adopt_orphans(self) -> list[optuna.Trial]:
        """The running trials whose driver is gone, from now on this driver's, in the order of their numbers.

        Those that seem so are looked at twice: where the database was away, no driver could show that it lives.
        """
        if self.is_shared and self._abandoned():
            time.sleep(1.5 * HEARTBEAT_SECONDS)
        with _alone(self._storage, self.study.study_name, self._folder):
            found = self._abandoned()
            for trial_id in found:
                self._claim(trial_id)
        return [optuna.Trial(self.study, trial_id) for trial_id in sorted(found)]

    def ask(self, *, total: int) -> optuna.Trial | None:
        """A new or a waiting trial; None if there are as many as wanted.

        Two drivers may call this at the same moment: the one whose trial is one too many withdraws it.
        """
        before = self.counted_trials()
        if len(before) >= total and not any(trial.state == TrialState.WAITING for trial in before):
            return None
        with _own_heartbeats():
            trial = self.study.ask()
        if sum(other.number < trial.number for other in self.counted_trials()) >= total:
            trial.set_user_attr(WITHDRAWN, True)
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        self._claim(compat.trial_id(trial))
        return trial

    def release(self, trial: optuna.Trial) -> None:
        """Record that this driver no longer runs it."""
        self._mine.discard(compat.trial_id(trial))

    def retry_failed(self) -> list[int]:
        """Put every failed trial into the queue again, with its own settings; returns their numbers."""
        failed = [trial for trial in self.finished_trials() if trial.state == TrialState.FAIL]
        for trial in failed:
            attributes = {RETRY_OF: trial.number, "label": trial.user_attrs.get("label")}
            self.study.enqueue_trial(trial.params, user_attrs=attributes)
        return [trial.number for trial in failed]

    def close(self) -> None:
        """Close the connections to the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    @contextmanager
    def lock_driver(self) -> Generator[None]:
        """While this driver works: the only one on a local file, or one that shows that its trials are alive.

        Raises:
            ConfigError: Another driver is at work on this local study.
        """
        if self.is_shared:
            stop = threading.Event()
            thread = threading.Thread(target=self._heartbeat, args=(stop,), daemon=True)
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()
            return
        assert self._folder is not None  # a study that one driver works on at a time is a file in it
        lock = filelock.FileLock(self._folder / "driver.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise ConfigError(
                f"sweep {self.study.study_name!r} is at work in another process; wait for it, or give every driver "
                "--storage with the URL of a database server."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher into the store and never reads it back, and the database's URL may hold a
        password."""
        return {}

    def _abandoned(self) -> list[int]:
        running = self.running_elsewhere()
        if not self.is_shared:
            return [compat.trial_id(t) for t in running]
        silent = compat.silent_trials(self.study)
        # a driver may die between getting a trial and its first heartbeat, without which Optuna finds no trial stale
        long_ago = datetime.now() - timedelta(seconds=GRACE_SECONDS)
        unclaimed = [
            t for t in running if CLAIMED not in t.user_attrs and t.datetime_start and t.datetime_start < long_ago
        ]
        return sorted({*silent, *(compat.trial_id(t) for t in unclaimed)})

    def _claim(self, trial_id: int) -> None:
        self._mine.add(trial_id)
        if self.is_shared:
            self._storage.record_heartbeat(trial_id)
            self._storage.set_trial_user_attr(trial_id, CLAIMED, True)

    def _heartbeat(self, stop: threading.Event) -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            try:
                for trial_id in list(self._mine):
                    self._storage.record_heartbeat(trial_id)
            except Exception as error:  # SQLAlchemy's and each driver's own kinds
                log.warning("the study's database does not answer (%s); it is tried again", _first_line(error))
        self._storage.remove_session()  # each thread has one of its own

    @property
    def _storage(self) -> Any:
        return compat.database_of(self.study)


def metric_of(trial: FrozenTrial, *, higher_is_better: bool) -> float | None:
    """A trial's metric on the validation split: the last, or of one that was stopped early the best it got to."""
    if trial.state == TrialState.COMPLETE:
        return trial.values[0]
    return best_of(trial.intermediate_values.values(), higher_is_better=higher_is_better)


def open_study(
    url: str,
    *,
    name: str,
    folder: Path | None,
    starts: Sequence[Mapping[str, Any]],
    objectives: Sequence[Objective] = ("metric",),
    higher_is_better: bool = True,
) -> SweepStudy:
    """Open the study, or create it with `starts` in its queue.

    Args:
        url: An SQLAlchemy URL: SQLite for one driver, a database server for several.
        name: Of the sweep.
        folder: The sweep's folder; None if the store has none on a disk, which needs PostgreSQL.
        starts: Parameters to try first, each with a `label`; the first is trial 0, the defaults.
        objectives: What a new study is about; one that is there keeps its own. Costs are minimized.
        higher_is_better: Of the metric, for a new study.

    Raises:
        ConfigError: The database cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = _opened(url)
    with _alone(storage, name, folder):  # of two drivers only one creates it
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=[
                "maximize" if objective == "metric" and higher_is_better else "minimize" for objective in objectives
            ],
            load_if_exists=True,
        )
        if not study.get_trials(deepcopy=False):
            for start in starts:
                study.enqueue_trial(dict(start["params"]), user_attrs={"label": start["label"]})
    return SweepStudy(study, folder, is_shared=_is_shared(url))


def check_place(url: str | None, *, on_disk: bool) -> None:
    """Refuse a study that nothing could lock.

    Args:
        url: None is a file in the sweep's folder.
        on_disk: The store is a folder that all drivers see.

    Raises:
        ConfigError: The store is not on a disk, and the database is not PostgreSQL.
    """
    if not on_disk and not (url or "").startswith("postgresql"):
        raise ConfigError(
            "a sweep in a bucket keeps its study in PostgreSQL, because a file there cannot be locked: add --storage "
            "postgresql+psycopg://user@host/db (pip install 'kdray[postgres]'), or give --store a folder that all "
            "nodes see."
        )


def check_storage(url: str) -> None:
    """Open the database and close it again.

    Raises:
        ConfigError: It cannot be opened.
    """
    storage = _opened(url)
    storage.remove_session()
    storage.engine.dispose()


def _opened(url: str) -> Any:
    try:
        return retry(
            lambda: _storage(url),
            _made_meanwhile,
            seconds=MADE_MEANWHILE_SECONDS,
            pause=lambda: random.uniform(0.05, 0.5),
        )
    except Exception as error:  # SQLAlchemy's and each database driver's own kinds
        is_missing = isinstance(error, ImportError) and url.startswith("postgresql")
        hint = " (pip install 'kdray[postgres]')" if is_missing else ""
        hint = "; free space, then give the command again" if "disk is full" in str(error) else hint
        raise ConfigError(
            without_passwords(f"--storage {url} cannot be opened ({_first_line(error)}){hint}.")
        ) from None


def _storage(url: str) -> Any:
    with _own_heartbeats():
        if not _is_shared(url):
            return optuna.storages.RDBStorage(url)
        return RetryingStorage(
            url,
            engine_kwargs={"pool_pre_ping": True},  # a connection may have been cut while a trial trained
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
        )


def _made_meanwhile(error: Exception) -> bool:
    """Optuna makes its tables if they are not there, which fails where another process just makes them."""
    return isinstance(error, IntegrityError) or "already exists" in str(error)


@contextmanager
def _alone(storage: optuna.storages.RDBStorage, name: str, folder: Path | None) -> Generator[None]:
    """One driver of the sweep `name` at a time."""
    if storage.engine.dialect.name == "postgresql":
        key = int.from_bytes(sha256(f"kdray sweep {name}".encode()).digest()[:8], "big", signed=True)
        # the transaction's end gives the lock back, also where the driver is killed
        with retry_while_unavailable(storage.engine.connect)() as connection, connection.begin():
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
            try:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            except OperationalError as error:
                if is_away(error):
                    raise
                raise RunError(
                    f"sweep {name!r}: another driver holds its lock in the database for over {LOCK_SECONDS} s "
                    f"({_first_line(error)}); end it, or its connection if its machine was lost."
                ) from None
            yield
        return
    assert folder is not None  # `check_place` refuses it
    with filelock.FileLock(folder / "claim.lock"):
        yield


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]


def _is_shared(url: str) -> bool:
    return not url.startswith("sqlite:")


@contextmanager
def _own_heartbeats() -> Generator[None]:
    """Without Optuna's warnings that heartbeats are experimental, and meant for a loop of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*heartbeat", category=optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage", category=UserWarning)
        yield

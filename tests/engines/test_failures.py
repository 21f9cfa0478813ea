"""How errors of workers reach the driver, and which of them are worth another attempt; most without Ray."""

import pickle
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray
import tiny
from ray.exceptions import ActorDiedError, RayTaskError
from ray.train import FailureConfig
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2.api.exceptions import WorkerGroupError

from kdray import compat
from kdray.config import WorkSettings, parse
from kdray.engines.ray.failures import PeerLost, WorkerFailed, can_help, described, from_worker
from kdray.errors import ConfigError, KdrayError, RunError
from kdray.stages import Context, read, teach
from kdray.store import Store


class Odd(Exception):
    """Pickle makes it again from its text alone, which fails."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class Locked(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("it holds a socket")
        self.held = socket.socket()
        self.held.close()


LOST = WorkerHealthCheckFailedError("worker 1", ActorDiedError())
GLOO = RuntimeError("[.../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:4242")


def raised(error: Exception) -> KdrayError:
    """What leaves a worker whose code raises `error`, after its way to the driver."""
    with pytest.raises(KdrayError) as found, described():
        raise error
    return pickle.loads(pickle.dumps(found.value))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TypeError("3 is no text\nsecond line"), "TypeError: 3 is no text"),
        (IndexError(), "IndexError"),
        (Odd("this", "that"), "Odd: this and that"),
        (Locked(), "Locked: it holds a socket"),
    ],
)
def test_every_exception_reaches_the_driver_with_its_type_and_text(error: Exception, sentence: str) -> None:
    found = raised(error)
    assert isinstance(found, WorkerFailed)
    assert str(found) == sentence
    shown = from_worker(found, "teach rte-t")
    assert (type(shown), str(shown)) == (RunError, f"teach rte-t failed on its worker: {sentence}")
    assert "in raised" in "".join(traceback.format_exception(shown)), "--debug shows where"


def test_an_error_of_kdray_keeps_its_class_and_sentence() -> None:
    found = raised(ConfigError("corpus: row 3 has no label."))
    assert (type(found), str(found)) == (ConfigError, "corpus: row 3 has no label.")


def test_an_error_is_found_under_the_wrapping_of_ray() -> None:
    cause = ConfigError("corpus: row 3 has no label.")
    task = RayTaskError("f", "Traceback (most recent call last): ...", cause).as_instanceof_cause()
    assert isinstance(task, ConfigError)
    assert str(task) != str(cause), "the text of Ray's is another one"
    group = WorkerGroupError("two workers", {0: PeerLost("RuntimeError: closed", ""), 1: cause})
    for error in (task, group):
        assert str(from_worker(error, "x")) == str(cause)
        assert type(from_worker(error, "x")) is ConfigError


@pytest.mark.parametrize(
    ("failures", "again"),
    [
        ([LOST], True),
        ([LOST, PeerLost("RuntimeError: closed", "")], True),
        ([LOST, WorkerFailed("RuntimeError: collateral", "")], True),
        ([raised(GLOO), raised(GLOO)], True),
        ([raised(ConnectionResetError("reset"))], True),
        ([raised(TypeError("x"))], False),
        ([raised(MemoryError("x"))], False),
        ([RunError("the loss is nan")], False),
        ([ConfigError("x"), raised(GLOO)], False),
    ],
)
def test_only_lost_workers_are_tried_again(failures: list[Exception], again: bool) -> None:
    assert can_help(failures) is again
    policy = compat.failure_policy(FailureConfig(max_failures=1), can_help)
    error = WorkerGroupError("text", dict(enumerate(failures)))
    assert policy.make_decision(error) is (FailureDecision.RETRY if again else FailureDecision.RAISE)
    assert policy.make_decision(error) is FailureDecision.RAISE, "max_failures still holds"


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    from kdray.engines.ray.session import session

    with session(None):
        from kdray.engines.ray.engine import OnRay

        yield OnRay(WorkSettings(actors=1, retries=3))


@pytest.mark.ray
@pytest.mark.slow
def test_a_training_that_fails_is_tried_once(
    engine: Any, tiny_encoder: Path, tiny_corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    training = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 8, "max_length": tiny.MAX_LENGTH}
    teacher = {"name": "t", "encoder": str(tiny_encoder), "train": training}
    run = parse({"store": str(tmp_path), "corpus": tiny.opinions(tiny_corpus), "teachers": [teacher]}, source="test")
    context = Context(Store(run.store), engine, None)
    never_valid = run.teachers[0].train.model_copy(update={"learning_rate": 1e30})  # the worker reads it again
    teacher_settings = run.teachers[0].model_copy(update={"train": never_valid})
    with pytest.raises(RunError, match=r"^teach folder-opinions/t failed on its worker: ValidationError: 1 validation"):
        teach(teacher_settings, read(run.corpus, context), context)
    actors: dict[str, Any] = ray._private.state.actors()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    assert (
        sum("teach" in actor["ActorClassName"] and "worker" in actor["ActorClassName"] for actor in actors.values())
        == 1
    )
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.ray
@pytest.mark.slow
def test_a_map_that_fails_is_tried_once(engine: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    calls = tmp_path / "calls"

    def broken() -> Callable[[pa.Table], pa.Table]:
        class Local(Exception):
            def __init__(self, first: str, second: str) -> None:
                super().__init__(f"{first} and {second}")

        def apply(part: pa.Table) -> pa.Table:
            with calls.open("a") as file:
                file.write("x")
            raise Local("this", "that")

        return apply

    def refuse() -> Callable[[pa.Table], pa.Table]:
        raise ConfigError("corpus: row 3 has no label.")

    with pytest.raises(RunError, match=r"^count words failed on its worker: Local: this and that$"):
        list(engine.map([pa.table({"a": [1]})], broken, title="count words"))
    assert calls.read_text() == "x"
    with pytest.raises(ConfigError, match=r"^corpus: row 3 has no label\.$"):
        list(engine.map([pa.table({"a": [1]})], refuse, title="count words"))
    assert "Traceback" not in "".join(capfd.readouterr())

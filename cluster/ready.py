"""Wait until a Ray cluster has what a command needs, run the command, then let the machines go.

    python cluster/ready.py --nodes 3
    python cluster/ready.py --gpus 4 -- python sweeps/tune_rte.py --address auto --gpus-per-trial 0.25
    python cluster/ready.py --gpus 4 --spot-first -- python sweeps/tune_rte.py ...

A command of kdray counts the GPUs when it starts, and an autoscaler starts no machine before something asks for it. So
`--gpus` asks first, and goes on asking until COMMAND has ended: what idles in between stays, what a cloud takes away is
replaced. Afterwards idle machines go by the cluster's idle timeout. Without COMMAND nothing is held: it only waits.

`--spot-first` asks for spot machines, and on demand for those that are missing after `--patience` minutes. The
autoscaler of Ray 2.60 does not do this: where the cloud refuses a spot machine at once, it asks for the same one again.
The cluster file has to mark its GPUs by the custom resources `spot` and `on_demand`, one a GPU, as gpu.yaml does.
"""

import argparse
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

SPOT, ON_DEMAND, ANY = "spot", "on_demand", "GPU"
POLL_SECONDS = 5.0


def first_request(gpus: int, *, spot_first: bool) -> dict[str, int]:
    """How many GPUs to ask for, by the resource that marks them."""
    return {SPOT: gpus, ON_DEMAND: 0} if spot_first else {ANY: gpus}


def next_request(
    asked: Mapping[str, int], present: Mapping[str, float], *, waited: float, patience: float
) -> dict[str, int]:
    """What to ask for after `waited` seconds without all that was asked for: the same, or on demand what is missing.

    Args:
        present: The cluster's resources.
    """
    if SPOT not in asked or waited < patience:
        return dict(asked)
    spot = min(asked[SPOT], int(present.get(SPOT, 0)))
    return {SPOT: spot, ON_DEMAND: sum(asked.values()) - spot}


def bundles(asked: Mapping[str, int]) -> list[dict[str, int]]:
    """One bundle a GPU, as `request_resources` takes them."""
    return [{ANY: 1, name: 1} for name, count in asked.items() for _ in range(count)]


def missing(nodes: int, asked: Mapping[str, int], living: int, present: Mapping[str, float]) -> str | None:
    """What is not there yet, in words; None if all is."""
    if living < nodes:
        return f"{living} of {nodes} nodes"
    short = [f"{present.get(name, 0):g} of {n} {name}" for name, n in asked.items() if present.get(name, 0) < n]
    return f"GPUs: {', '.join(short)}" if short else None


class Cluster:
    """The running cluster, connected to until `close`. What was asked of the autoscaler stands until asked anew."""

    def __init__(self) -> None:
        import ray
        from ray.autoscaler.sdk import request_resources

        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
        self._ray, self._request = ray, request_resources

    def living(self) -> int:
        return sum(1 for node in self._ray.nodes() if node["Alive"])

    def present(self) -> Mapping[str, float]:
        return self._ray.cluster_resources()

    def ask(self, asked: Mapping[str, int]) -> None:
        self._request(bundles=bundles(asked))

    def close(self) -> None:
        self._ray.shutdown()


class Watch:
    """Asks, looks, and asks for something else when patience is over; says only what has changed."""

    def __init__(self, cluster: Cluster, *, nodes: int, asked: dict[str, int], patience: float) -> None:
        self._cluster, self._nodes, self._asked, self._patience = cluster, nodes, asked, patience
        self._since = time.monotonic()
        self._cache_outputs: str | None = None
        self._ask()

    def look(self) -> bool:
        """Whether all is there."""
        now, present = time.monotonic(), self._cluster.present()
        lacking = missing(self._nodes, self._asked, self._cluster.living(), present)
        if lacking is None:
            self._since = now
        else:
            asked = next_request(self._asked, present, waited=now - self._since, patience=self._patience)
            if asked != self._asked:
                say(f"{lacking} after {now - self._since:.0f} s; the rest is asked for on demand")
                self._asked, self._since = asked, now
                self._ask()
        if lacking != self._cache_outputs:
            say(f"waiting; there are {lacking}" if lacking else "the cluster is ready")
            self._cache_outputs = lacking
        return lacking is None

    def _ask(self) -> None:
        if sum(self._asked.values()):
            self._cluster.ask(self._asked)


def run(command: Sequence[str], watch: Watch, *, poll: float) -> int:
    """Run the command and keep watch; its exit code. A SIGTERM goes on to it."""
    process = subprocess.Popen(command)  # noqa: S603 - the user's own command line
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            code = process.wait(timeout=poll)
            return code if code >= 0 else 128 - code
        except subprocess.TimeoutExpired:
            watch.look()
        except KeyboardInterrupt:  # the terminal has sent it to the command as well, which ends by itself
            continue


def say(line: str) -> None:
    sys.stderr.write(f"ready.py: {line}\n")
    sys.stderr.flush()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description="Wait for nodes and GPUs of a Ray cluster, then run a command.")
    made.add_argument("--nodes", type=int, default=1, help="nodes to wait for, the head included")
    made.add_argument("--gpus", type=int, default=0, help="GPUs to ask for and to wait for")
    made.add_argument("--spot-first", action="store_true", help="spot machines first, on demand what is missing")
    made.add_argument("--patience", type=float, default=10, help="minutes to wait for spot machines (default 10)")
    made.add_argument("--timeout", type=float, default=60, help="minutes to wait in all (default 60)")
    made.add_argument("--poll", type=float, default=POLL_SECONDS, help="seconds between two looks (default 5)")
    made.add_argument("--release", action="store_true", help="take back what a ready.py that was killed asked for")
    made.add_argument("command", nargs="*", metavar="-- COMMAND", help="what to run when all is there")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    given = parser().parse_args(argv)
    try:
        cluster = Cluster()
    except Exception as error:  # Ray has one for no cluster, another for no token, and more
        said = str(error).splitlines()[0].partition(". ")[0]
        say(f"no cluster of this machine answers ({said}); is Ray started, and the token given?")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # Ray's handler would skip `finally`
    try:
        return 0 if given.release else wait_and_run(given, cluster)
    finally:
        if given.gpus or given.release:
            cluster.ask({})
        cluster.close()


def wait_and_run(given: argparse.Namespace, cluster: Cluster) -> int:
    asked = first_request(given.gpus, spot_first=given.spot_first)
    watch = Watch(cluster, nodes=given.nodes, asked=asked, patience=60 * given.patience)
    deadline = time.monotonic() + 60 * given.timeout
    while not watch.look():
        if time.monotonic() > deadline:
            say(f"gave up after {given.timeout:g} minutes")
            return 1
        time.sleep(given.poll)
    return run(given.command, watch, poll=given.poll) if given.command else 0


if __name__ == "__main__":
    sys.exit(main())

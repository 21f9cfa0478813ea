"""Whether every node reaches the store: a folder that only one machine has is noticed before anything is trained."""

import time
import uuid
from pathlib import Path

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from kdray.errors import ConfigError
from kdray.store import Store

DELAY_SECONDS = 15.0
ANSWER_SECONDS = 60.0  # a node that does not answer is not refused: it may have just been lost


def check_shared(store: Store) -> None:
    """Write a small file, let every living node look for it, and remove it.

    Raises:
        ConfigError: A node does not see it.
    """
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    if len(nodes) < 2 or not store.is_local:
        return
    probe = f"work/shared-{uuid.uuid4().hex[:8]}"
    store.write_bytes(probe, b"")
    try:
        checks = {
            _sees.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                store.uri_of(probe)
            ): address
            for node, address in nodes.items()
        }
        ready, _ = ray.wait(list(checks), num_returns=len(checks), timeout=ANSWER_SECONDS)
        blind = sorted(checks[each] for each in ready if not _result_of(each))
    finally:
        store.remove(probe)
    if blind:
        who = f"node {blind[0]} does" if len(blind) == 1 else f"nodes {', '.join(blind)} do"
        raise ConfigError(
            f"store {store.given!r} is not shared: {who} not see what this machine writes there; give a folder that "
            "all nodes mount, or a bucket (docs/cluster.md)."
        )


@ray.remote(num_cpus=0, max_retries=1)
def _sees(place: str) -> bool:
    """At once, or as soon as a network's file system shows what another machine has written."""
    end = time.monotonic() + DELAY_SECONDS
    while not (there := Path(place).exists()) and time.monotonic() < end:
        time.sleep(0.5)
    return there


def _result_of(ready: ray.ObjectRef) -> bool:
    """True also of a node that was lost meanwhile."""
    try:
        return ray.get(ready)
    except ray.exceptions.RayError:
        return True

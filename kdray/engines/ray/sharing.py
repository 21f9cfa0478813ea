"""Whether every node reaches the store: a folder that only one machine has is noticed before anything is trained."""

import os
import time
import uuid

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from kdray.errors import ConfigError
from kdray.store import Store

DELAY_SECONDS = 15.0
ANSWER_SECONDS = 60.0  # a node that does not answer is not refused: it may have just been lost

_checked: set[tuple[str, str]] = set()  # a store and a node that sees it


def check_shared(store: Store) -> None:
    """Write a small file, let every node that can work look for it, and remove it; a node is checked once.

    Raises:
        ConfigError: A node does not see it.
    """
    if not store.is_local:
        return
    alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
    able = {name: node for name, node in alive.items() if {"CPU", "GPU"} & node["Resources"].keys()}
    place = store.uri_of("")
    nodes = {name: node["NodeManagerAddress"] for name, node in able.items() if (place, name) not in _checked}
    if len(alive) < 2 or not nodes:
        return
    probe = f"work/shared.{uuid.uuid4().hex[:8]}.tmp"
    store.write_bytes(probe, b"")
    try:
        checks = {
            _sees.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                store.uri_of(probe)
            ): node
            for node in nodes
        }
        ready, _ = ray.wait(list(checks), num_returns=len(checks), timeout=ANSWER_SECONDS)
        seen = {checks[each]: _result_of(each) for each in ready}
    finally:
        store.remove(probe)
    _checked.update((place, node) for node, sees in seen.items() if sees)
    if blind := sorted({nodes[node] for node, sees in seen.items() if sees is False}):
        who = f"node {blind[0]} does" if len(blind) == 1 else f"nodes {', '.join(blind)} do"
        raise ConfigError(
            f"store {store.given!r} is not shared: {who} not see what this machine writes there; give a folder that "
            "all nodes mount, or a bucket (docs/cluster.md)."
        )


@ray.remote(num_cpus=0, max_retries=1)
def _sees(place: str) -> bool:
    """At once, or as soon as a network's file system shows what another machine has written."""
    end = time.monotonic() + DELAY_SECONDS
    while not (there := os.path.exists(place)) and time.monotonic() < end:  # noqa: PTH110 - no PermissionError
        time.sleep(0.5)
    return there


def _result_of(ready: ray.ObjectRef) -> bool | None:
    """None of a node that was lost meanwhile."""
    try:
        return ray.get(ready)
    except ray.exceptions.RayError:
        return None

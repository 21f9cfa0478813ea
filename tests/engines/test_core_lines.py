"""Lines of Ray's C++ core in the command's own process."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PROGRAM = """
import os, sys
from contextlib import nullcontext
from kdray import compat
compat.set_ray_switches()
import ray

with compat.quiet_core() if sys.argv[1] == "quiet" else nullcontext():
    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR")

@ray.remote(max_restarts=1, num_cpus=0)
class Actor:
    def __init__(self, given):
        pass

    def level(self):
        return os.environ.get(compat.CORE_LEVEL)

print(ray.get(Actor.remote(ray.put(1)).level.remote()), os.environ.get(compat.CORE_LEVEL))
print("own line", file=sys.stderr)
"""


@pytest.mark.parametrize("how", ["quiet", "loud"])
def test_only_errors_of_the_core_are_left_out(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_BACKEND_LOG_LEVEL", raising=False)
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    assert done.stdout == "None None\n"
    lines = done.stderr.splitlines()
    assert lines[-1] == "own line"
    found = [line for line in lines if "core_worker.cc" in line or "logging.cc" in line]
    assert bool(found) == (how == "loud")  # where it is not, Ray no longer needs the patch

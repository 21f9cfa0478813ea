"""`ray up cluster/local.yaml` between hosts made on this machine, and the guide's commands after it. Asked for by
itself: `make cluster`."""

import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hosts import Host, hosts, missing

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
LIMIT = 900.0
OPTIONS = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")
pytestmark = [pytest.mark.cluster, pytest.mark.ray, pytest.mark.slow]


@dataclass(frozen=True)
class Place:
    """A computer from which a cluster is started, its two hosts, and what all of them mount."""

    own: Host
    head: Host
    worker: Host
    shared: Path

    def ray(self, *words: str) -> str:
        environment = {"RAY_UP_enable_autoscaler_v2": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        # from the project's root: the file mounts say "."
        command = shlex.join([RAY, words[0], str(self.own.home / "local.yaml"), *words[1:]])
        done = self.own.run(
            ["bash", "-c", f"cd {shlex.quote(str(ROOT))} && {command}"], environment=environment, timeout=LIMIT
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if lacking := missing():
        pytest.skip(f"hosts cannot be made on this machine, which lacks {', '.join(lacking)}")
    folder = tmp_path_factory.mktemp("hosts")
    with hosts(folder, "laptop", "head", "worker") as (own, head, worker):
        (folder / "shared").mkdir()
        yield Place(own, head, worker, folder / "shared")


def fill_in(place: Place) -> None:
    """The file as the guide says, but for what hosts without internet and with one processor's share need."""
    document = yaml.safe_load((ROOT / "cluster" / "local.yaml").read_text())
    document["provider"] |= {"head_ip": place.head.address, "worker_ips": [place.worker.address]}
    document["auth"] |= {"ssh_user": "root", "ssh_private_key": "~/.ssh/key"}
    document["setup_commands"] = [f"ln -sfn {Path(sys.prefix)} ~/kdray-cluster/.venv"]
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        document[commands][-1] += " --num-cpus=1 --object-store-memory=200000000"
    (place.own.home / "local.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def test_a_cluster_goes_up_sweeps_on_all_its_machines_and_goes_down(place: Place) -> None:
    fill_in(place)
    token = place.own.run([RAY, "get-auth-token", "--generate"])
    assert token.returncode == 0, token.stderr
    place.ray("up", "--yes")
    inside = "cd ~/kdray-cluster && . .venv/bin/activate && export RAY_AUTH_MODE=token && "
    said = place.ray(
        "exec",
        inside + "python cluster/ready.py --nodes 2 -- python sweeps/tune_rte.py --corpus sample --smoke --trials 4 "
        f"--address auto --store {place.shared} --name up",
    )
    document = json.loads((place.shared / "sweeps" / "up" / "result.json").read_text())
    assert [trial["state"] for trial in document["trials"]] == ["complete"] * 4, said
    assert {trial["worker"].split(":")[0] for trial in document["trials"]} == {"head", "worker"}
    status = "cd ~/kdray-cluster && . .venv/bin/activate && RAY_AUTH_MODE={} ray status || true"
    assert "Active:" in place.ray("exec", status.format("token"))
    refused = place.ray("exec", status.format("disabled"))
    assert "Active:" not in refused, "without the token the cluster answers"
    place.ray("down", "--yes")  # which ends nothing here, as the guide says
    for host in (place.head, place.worker):
        assert any("raylet" in line for line in host.commands())
        stop = ["ssh", "-i", ".ssh/key", *OPTIONS, f"root@{host.address}", "~/kdray-cluster/.venv/bin/ray stop"]
        stopped = place.own.run(stop, timeout=LIMIT)
        assert stopped.returncode == 0, stopped.stderr
        assert not any("raylet" in line for line in host.commands())

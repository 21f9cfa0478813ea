"""Cluster files fit Ray's own schema and scheduler, their versions are the ones we test with, nothing is left open."""

import copy
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from programs import Call, calls, install

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
OTHERS = ("kuberay.yaml", "serve.yaml")
FILES = sorted(path for path in CLUSTER.glob("*.yaml") if path.name not in OTHERS)  # those of `ray up`
CLOUDS = [path for path in FILES if path.name in ("gpu.yaml", "gcp.yaml")]
ALL = sorted(path for path in CLUSTER.iterdir() if path.is_file())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line and line[0] != "#"
)
TOKEN_FILE = ".ray/auth_token"  # where Ray looks for it, in the home folder
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
each_cloud = pytest.mark.parametrize("path", CLOUDS, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def commands(config: Mapping[str, Any]) -> list[str]:
    return [command for key, found in config.items() if key.endswith("_commands") for command in found]


def test_all_three_are_found() -> None:
    assert [path.name for path in FILES] == ["gcp.yaml", "gpu.yaml", "local.yaml"]


@each_file
def test_fits_rays_schema(path: Path) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(read(path))))


@each_file
def test_leaves_no_command_to_rays_defaults(path: Path) -> None:
    """They install other versions, and let the dashboard listen everywhere."""
    from ray.autoscaler._private.providers import _get_default_config  # pyright: ignore[reportPrivateUsage]

    config = read(path)
    defaults = _get_default_config(config["provider"])
    assert {key for key, value in defaults.items() if key.endswith("_commands") and value} <= set(config)


@each_cloud
def test_versions_and_safety(path: Path) -> None:
    text = path.read_text()
    pinned = PINNED["ray"]
    config = yaml.safe_load(text)
    assert f":{pinned}-" in config["docker"]["image"]
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    for command in (c for c in starts if "ray start" in c):
        assert "RAY_AUTH_MODE=token" in command
    assert "0.0.0.0" not in text


def test_every_image_and_version_is_the_pinned_one() -> None:
    ray = PINNED["ray"]
    base, own = f"rayproject/ray:{ray}-py311-gpu", f"YOUR-REGISTRY/kdray:{PROJECT['version']}-ray{ray}"
    image = re.compile(r"(?:^\s*image:|^FROM|docker build .*-t|docker push) (\S+)", re.MULTILINE)
    found = {path.name: image.findall(path.read_text()) for path in ALL}
    assert {name: images for name, images in found.items() if images} == {
        "Dockerfile": [own, base],
        "README.md": [own, own],
        "gcp.yaml": [base],
        "gpu.yaml": [base],
        "kuberay.yaml": [own, own, "redis:7.4.0"],
    }
    named = re.findall(r"(?:kdray|rayproject/ray):\d[\w.-]*", "\n".join(path.read_text() for path in ALL))
    assert set(named) == {base, own.removeprefix("YOUR-REGISTRY/")}  # also in comments and in later commands of a line
    assert re.findall(r"rayVersion: (\S+)", (CLUSTER / "kuberay.yaml").read_text()) == [f'"{ray}"']


def test_one_ray_image_is_used_everywhere_and_fits_the_project() -> None:
    tags = {tag for path in ALL for tag in re.findall(r"rayproject/ray:(\S+)", path.read_text())}
    assert len(tags) == 1
    python = re.search(r"-py3(\d\d)-", tags.pop())
    assert python is not None
    assert f"3.{python[1]}" in SpecifierSet(PROJECT["requires-python"])
    (ray,) = (each for each in map(Requirement, PROJECT["optional-dependencies"]["ray"]) if each.name == "ray")
    assert PINNED["ray"] in ray.specifier


def installations(path: Path) -> list[tuple[list[str], str]]:
    """Arguments of every `pip install` in a file, and where the checkout is there."""
    if path.name == "Dockerfile":
        lines, checkout = re.findall(r"^RUN (.+)$", path.read_text(), re.MULTILINE), "."
    else:
        config = read(path)
        lines = commands(config)
        checkout = next(remote for remote, local in config["file_mounts"].items() if local == ".")
    found: list[tuple[list[str], str]] = []
    for line in lines:
        where = checkout
        for part in re.split(r"&&|\|\||;", line):
            words = shlex.split(part)
            if words[:2] == ["cd", checkout]:
                where = "."
            if "pip" in words:
                found.append((words[words.index("pip") + 1 :], where))
    return found


@pytest.mark.parametrize("path", [*FILES, CLUSTER / "Dockerfile"], ids=lambda path: path.name)
def test_installs_this_checkout_with_its_constraints_and_nothing_else(path: Path) -> None:
    found = installations(path)
    assert found
    for arguments, checkout in found:
        prefix = "" if checkout == "." else f"{checkout}/"
        rest = [word for word in arguments if word not in ("--quiet", "--no-cache-dir")]
        assert rest == ["install", "-c", f"{prefix}constraints.txt", "-e", f"{checkout}[postgres,sample,export]"]
    assert PROJECT["optional-dependencies"]["sample"]


@each_file
def test_what_is_copied_exists_and_is_no_secret_but_the_token(path: Path) -> None:
    config = read(path)
    mounts = config["file_mounts"]
    assert {local for local in mounts.values() if local != f"~/{TOKEN_FILE}"} == {"."}
    homes = ("/home/ray", "~")
    assert [remote for remote, local in mounts.items() if local != "."] in [[f"{home}/{TOKEN_FILE}"] for home in homes]


def is_left_out(path: str, patterns: Sequence[str]) -> bool:
    """As rsync does: a pattern with a slash in front counts from the folder that is copied, one with `**/` anywhere."""
    parts = Path(path).parts
    anchored = any(fnmatch(parts[0], pattern[1:]) for pattern in patterns if pattern[0] == "/")
    return anchored or any(fnmatch(part, pattern.removeprefix("**/")) for pattern in patterns for part in parts)


@each_file
def test_only_the_program_is_copied(path: Path) -> None:
    patterns = read(path)["rsync_exclude"]
    assert all(re.fullmatch(r"/[^/]+|\*\*/[^/]+", pattern) for pattern in patterns), "or is_left_out knows too little"
    program = [found for folder in ("kdray", "sweeps", "recipes", "cluster") for found in (ROOT / folder).rglob("*.*")]
    names = [str(found.relative_to(ROOT)) for found in program if "__pycache__" not in found.parts]
    assert "kdray/store/store.py" in names
    assert [name for name in [*names, "pyproject.toml", "constraints.txt"] if is_left_out(name, patterns)] == []
    for name in (
        ".git/config",
        ".venv/bin/python",
        "store/sweeps/x",
        ".kdray-job-1-x/auth_token",
        "kdray/__pycache__/x",
    ):
        assert is_left_out(name, patterns), name


@each_file
def test_commands_are_bash(path: Path) -> None:
    for command in commands(read(path)):
        subprocess.run(["bash", "-n", "-c", command], check=True)


def started(path: Path, key: str, home: Path, given: Mapping[str, str]) -> list[Call]:
    """The calls of `ray` when the file's commands run as Ray runs them, `given` exported before each."""
    from ray.autoscaler._private.util import with_envs

    config = read(path)
    for folder in (home / "bin", home / "kdray-cluster/.venv/bin"):
        install(folder, {"ray": ""})
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(home), "CALLS": str(home / "calls"), "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{home / 'bin'}:{os.environ['PATH']}"
    for command in with_envs(config[key], dict(given)):
        subprocess.run(["bash", "-c", command], env=environment, check=True, capture_output=True)
    return calls(home / "calls")


@each_file
def test_the_head_starts_with_a_token_and_a_dashboard_on_loopback(path: Path, tmp_path: Path) -> None:
    stop, start = started(path, "head_start_ray_commands", tmp_path, {"RAY_enable_autoscaler_v2": "1"})
    assert stop.arguments == ("stop",)
    assert start.arguments == (
        "start",
        "--head",
        "--port=6379",
        "--autoscaling-config=~/ray_bootstrap_config.yaml",
        "--dashboard-host=127.0.0.1",
    )
    assert start.environment["RAY_AUTH_MODE"] == "token"
    assert start.environment["OMP_NUM_THREADS"] == "", "every process of the cluster would compute with one thread"
    # only the first autoscaler knows machines of one's own, only the second one priorities
    assert start.environment["RAY_enable_autoscaler_v2"] == ("0" if path.name == "local.yaml" else "1")


@each_file
def test_workers_start_with_a_token(path: Path, tmp_path: Path) -> None:
    stop, start = started(path, "worker_start_ray_commands", tmp_path, {"RAY_HEAD_IP": "10.0.0.1"})
    assert stop.arguments == ("stop",)
    assert start.arguments == ("start", "--address=10.0.0.1:6379")
    assert start.environment["RAY_AUTH_MODE"] == "token"
    assert start.environment["OMP_NUM_THREADS"] == ""


@each_cloud
def test_every_command_in_the_container_uses_the_token(path: Path) -> None:
    """`ray status`, `ray job` and drivers do not turn it on by themselves."""
    assert "-e RAY_AUTH_MODE=token" in read(path)["docker"]["run_options"]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_nothing_is_open_to_the_world(path: Path) -> None:
    text = path.read_text()
    for word in ("0.0.0.0", "::/0", "--dashboard-host=0", "--ray-client-server-port", "NodePort", "LoadBalancer"):
        assert word not in text, word
    assert not re.search(r"\bAUTH_MODE\W+disabled", text)
    for host in re.findall(r"dashboard-host[=:] ?[\"']?([\w.]+)", text):
        assert host == "127.0.0.1"


def test_aws_nodes_have_security_groups_of_their_own() -> None:
    """Ray gives a node type without one a group that lets everybody reach port 22."""
    config = read(CLUSTER / "gpu.yaml")
    assert "security_group" not in config["provider"]
    for name, node in config["available_node_types"].items():
        assert node["node_config"].get("SecurityGroupIds"), name


def test_google_nodes_are_in_a_network_of_their_own() -> None:
    """Ray gives a node type without one the project's first, which is usually the open default network."""
    google = read(CLUSTER / "gcp.yaml")["available_node_types"]
    interfaces = {name: node["node_config"].get("networkInterfaces", [{}]) for name, node in google.items()}
    networks = {name: [each.get("subnetwork", "").rpartition("/")[2] for each in of] for name, of in interfaces.items()}
    assert networks == {name: ["kdray"] for name in google}
    assert len(google) > 1


def test_only_one_kind_of_worker_can_be_taken_back() -> None:
    aws = read(CLUSTER / "gpu.yaml")["available_node_types"]
    spot = {name for name, node in aws.items() if "InstanceMarketOptions" in node["node_config"]}
    google = read(CLUSTER / "gcp.yaml")["available_node_types"]
    models = {n: node["node_config"].get("scheduling", {}).get("provisioningModel") for n, node in google.items()}
    assert spot == {name for name, model in models.items() if model == "SPOT"} == {"gpu_spot"}


def launched(config: Mapping[str, Any], bundles: Sequence[Mapping[str, float]], *, held: bool) -> dict[str, int]:
    """Machines that Ray's own scheduler starts on an empty cluster, for `request_resources` (held) or waiting tasks."""
    from ray.autoscaler._private.util import prepare_config
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.autoscaler_pb2 import (
        ClusterResourceConstraint,  # pyright: ignore[reportAttributeAccessIssue]
    )

    full = AutoscalingConfig(prepare_config(copy.deepcopy(dict(config))), skip_content_hash=True)
    requests = ResourceRequestUtil.group_by_count([ResourceRequestUtil.make(dict(bundle)) for bundle in bundles])
    reply = ResourceDemandScheduler().schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=full.get_node_type_configs(),
            max_num_nodes=full.get_max_num_worker_nodes(),  # the head is no part of this empty cluster
            resource_requests=[] if held else requests,
            cluster_resource_constraints=[ClusterResourceConstraint(resource_requests=requests)] if held else [],
        )
    )
    return {request.instance_type: request.count for request in reply.to_launch}


@each_cloud
def test_rays_scheduler_starts_the_requested_machines(path: Path) -> None:
    config = read(path)
    spot, on_demand = {"GPU": 1, "spot": 1}, {"GPU": 1, "on_demand": 1}
    assert launched(config, [spot] * 3, held=True) == {"gpu_spot": 3}
    assert launched(config, [spot, on_demand, on_demand], held=True) == {"gpu_spot": 1, "gpu_on_demand": 2}
    assert launched(config, [{"CPU": 1, "GPU": 0.25}] * 8, held=False) == {"gpu_spot": 2}
    assert launched(config, [{"GPU": 1}] * 9, held=False) == {"gpu_spot": 4}, "max_workers is the limit of the costs"


@each_cloud
def test_idle_machines_go_and_the_head_trains_nothing(path: Path) -> None:
    config = read(path)
    nodes = dict(config["available_node_types"])
    assert nodes.pop(config["head_node_type"])["resources"] == {"CPU": 0, "GPU": 0}
    assert set(nodes) == {"gpu_spot", "gpu_on_demand"}
    for node in nodes.values():
        assert node["min_workers"] == 0
        resources = node["resources"]
        assert resources["GPU"] == resources.get("spot", 0) + resources.get("on_demand", 0), "one marker a GPU"
    assert 0 < config["idle_timeout_minutes"] <= 30
    assert config["provider"]["cache_stopped_nodes"] is False


@each_cloud
def test_the_shared_store_is_mounted_before_the_container_starts(path: Path) -> None:
    config = read(path)
    assert any(re.search(r"mount -t nfs4? .* /mnt/kdray$", c) for c in config["initialization_commands"])
    assert "-v /mnt/kdray:/mnt/kdray" in config["docker"]["run_options"]


def test_the_image_holds_what_the_installation_needs() -> None:
    kept = {line[1:] for line in (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert all((ROOT / name).exists() for name in kept)
    assert {"kdray", "sweeps", "cluster", "pyproject.toml", "constraints.txt"} <= kept
    assert {PROJECT["readme"], *PROJECT["license-files"]} <= kept

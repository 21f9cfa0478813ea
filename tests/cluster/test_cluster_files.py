"""Cluster files fit Ray's own schema, and their versions are the ones we test with."""

import copy
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "cluster").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_fits_rays_schema(path: Path) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(yaml.safe_load(path.read_text()))))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_versions_and_safety(path: Path) -> None:
    text = path.read_text()
    pinned = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("ray=="))
    config = yaml.safe_load(text)
    assert f":{pinned.removeprefix('ray==')}-" in config["docker"]["image"]
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    for command in (c for c in starts if "ray start" in c):
        assert "RAY_AUTH_MODE=token" in command
    assert "0.0.0.0" not in text

"""What a command loads before it says a word: no library that only a later step needs."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "not_yet"),
    [
        ("kdray.cli.main", {"torch", "ray", "transformers", "sklearn", "scipy", "pandas", "optuna"}),
        ("kdray.cli.runs", {"ray", "sklearn", "scipy", "pandas", "optuna"}),
        ("kdray.pruning.shards", {"torch", "ray", "transformers", "sklearn", "scipy"}),
        ("kdray.engines.ray.maps", {"torch", "transformers", "sklearn", "optuna"}),
        ("kdray.tuning.trainable", {"ray", "sklearn", "scipy", "pandas", "optuna", "sqlalchemy"}),
        ("kdray.engines.local", {"ray", "optuna"}),
        ("kdray.experiments.local", {"ray"}),
        ("kdray.experiments.replay", {"ray"}),
        ("kdray.experiments.sweep", {"ray"}),
        ("kdray.tuning.trackers", {"torch", "ray", "optuna"}),
        ("kdray.api.models", {"ray", "onnx", "onnxruntime", "onnxscript", "sklearn", "scipy"}),
        ("kdray.stages", {"ray", "sklearn", "scipy", "optuna"}),
    ],
)
def test_a_module_loads_only_what_it_uses(module: str, not_yet: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}} & {not_yet!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

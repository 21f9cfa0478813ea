"""What a command loads before it says a word: no library that only a later step needs."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("module", "not_yet"),
    [
        (
            "kdray",
            {"torch", "ray", "transformers", "sklearn", "scipy", "pandas", "optuna", "numpy", "pydantic", "pyarrow"},
        ),
        ("kdray.cli.main", {"torch", "ray", "transformers", "sklearn", "scipy", "pandas", "optuna"}),
        ("kdray.cli.runs", {"ray", "sklearn", "scipy", "pandas", "optuna"}),
        ("kdray.pruning.part_maps", {"torch", "ray", "transformers", "sklearn", "scipy"}),
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


@pytest.mark.parametrize(
    "words", [["sweep", "--sedes"], ["compare", "nowhere.yaml"], ["run", "--sedes"], ["settings", "--sedes"]]
)
def test_a_wrong_command_line_is_refused_before_anything_is_loaded(words: list[str]) -> None:
    code = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); from kdray.cli import main; "
    command = [sys.executable, "-c", f"{code} sys.exit(main(sys.argv[1:]))", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "False\n")


LIGHT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('ray', 'optuna', 'datasets'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == 'ray' else found(name, package)
import kdray as kd
import kdray.cli.runs, kdray.cli.deployed, kdray.cli.deploy, kdray.api.stages, kdray.report
print(kd.Dataset.__name__, kd.distill.__name__, kd.prune.__name__, kd.Student.__name__, kd.predict_files.__name__)
try:
    kd.search
except kdray.errors.ConfigError as error:
    print(error)
from kdray.cli import main
print(main(['run', sys.argv[1]]))
"""


def test_without_ray_the_other_parts_can_be_imported(tmp_path: Path) -> None:
    """Without Ray, Optuna and datasets; what needs them ends in one sentence with the extra."""
    (tmp_path / "run.yaml").write_text("corpus: {name: sample}\n")
    command = [sys.executable, "-c", LIGHT, str(tmp_path / "run.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "Dataset distill prune Student predict_files",
        "optuna is not installed: pip install 'kdray[ray]'.",
        "2",
    ]
    assert "ray is not installed: pip install 'kdray[ray]', or add --engine local" in done.stderr

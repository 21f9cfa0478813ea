"""Commands with `--engine local`: the same results in this process, and no Ray."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml

from kdray.cli import main
from kdray.cli.sweep import sweep_main, timing_command
from kdray.config import RunConfig
from kdray.experiments.settings import SweepSettings
from kdray.store import Store

SPACE = """
from kdray.cli.sweep import sweep_main

def space(trial, run):
    return {"method.alpha": trial.suggest_float("alpha", 0, 1)}

def starts(run):
    return [{"label": "defaults", "params": {"alpha": 0.5}}]

main = lambda: sweep_main("rte", base=BASE, on_sample={}, space=space, starts=starts)
"""
VARIANTS = """
import sys

import yaml

from kdray.cli.main import main as command

with open("variants.yaml", "w") as out:
    yaml.safe_dump({"run": BASE, "variants": {"hot": {"method.temperature": 9}}}, out)
main = lambda: sys.exit(command(["compare", "variants.yaml", *sys.argv[1:]]))
"""
WITHOUT_RAY = """
if __name__ == "__main__":
    import sys, time

    time.sleep(3)  # what comes before the search, such as the start of Ray
    try:
        main()
    finally:
        assert "ray" not in sys.modules
"""


@pytest.mark.parametrize("program", [SPACE, VARIANTS], ids=["sweep", "comparison"])
def test_a_search_and_a_comparison_in_one_process(
    program: str, tiny_encoder: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    base = tiny.run_settings(tiny_encoder, tiny_corpus)
    (tmp_path / "program.py").write_text(f"BASE = {base!r}\n{program}{WITHOUT_RAY}")
    command = [sys.executable, "program.py", "--engine", "local", "--corpus", "folder", "--name", "one", "--seeds", "1"]
    command += ["--trials", "2"] if program is SPACE else []
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    clock = time.perf_counter() - start
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no-KD baseline" in done.stdout
    assert "dashboard" not in done.stdout
    result = json.loads((tmp_path / "store" / "sweeps" / "one" / "result.json").read_text())
    assert "--engine local" in result["command"]
    told = re.search(r"^(\d+) s in all$", done.stdout, re.M)
    assert told is not None
    assert result["seconds"]["total"] + 2.5 <= int(told[1]) <= clock + 0.5
    if program is VARIANTS:
        assert [row["label"] for row in result["confirmation"]][:1] == ["hot"]
        again = subprocess.run([*command, "--json"], cwd=tmp_path, env=environ, capture_output=True, check=True)
        assert json.loads(again.stdout)["confirmation"] == result["confirmation"]


def test_flags_of_ray_are_refused_without_ray(
    tiny_encoder: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny.run_settings(tiny_encoder, tiny_corpus)))
    assert main(["teach", str(tmp_path / "run.yaml"), "--engine", "local", "--address", "auto"]) == 2
    assert "--engine local starts no Ray: leave --address and --allow-network out." in capsys.readouterr().err


def test_a_mistyped_flag_of_a_sweep_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--adress", "auto"]
    with pytest.raises(SystemExit) as stop:
        sweep_main("rte", base={}, on_sample={}, space=lambda trial, run: {}, starts=lambda run: [], argv=flags)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "kdray: unknown argument --adress; did you mean --address?\n"


@pytest.mark.parametrize(
    ("begun", "how"),
    [
        (True, r"to resume: python sweeps/tune\.py --corpus sample --trials 2 --store \S+ --name \S+ --resume"),
        (False, r"the sweep had not begun; give the same command again\."),
    ],
)
def test_an_interrupted_sweep_shows_the_command_that_resumes_it(
    begun: bool, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(settings: SweepSettings, run: RunConfig, **_: Any) -> None:
        if begun:
            Store(run.store).write_bytes(f"sweeps/{settings.name}/study.db", b"")
        raise KeyboardInterrupt

    monkeypatch.setattr("kdray.api.experiments.search_settings", interrupted)
    flags = ["--corpus", "sample", "--trials", "2", "--store", str(tmp_path / "store")]
    monkeypatch.setattr("sys.argv", ["sweeps/tune.py", *flags])
    with pytest.raises(SystemExit) as stop:
        sweep_main("rte", base={}, on_sample={}, space=lambda trial, run: {}, starts=lambda run: [], argv=flags)
    assert stop.value.code == 130
    found = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(f"kdray: interrupted; {how}", found)


def test_the_command_that_times_a_bundle_again_names_its_student(tmp_path: Path) -> None:
    student = tmp_path / "distill" / "sst2-kd-0123456789ab"
    student.mkdir(parents=True)
    (tmp_path / "distill" / "sst2-kd-ba9876543210").mkdir()
    bundle = tmp_path / "sweeps" / "s" / "bundle"
    command = timing_command({"folder": str(bundle), "student": "0123456789abcdef"})
    assert command == f"kdray bench {bundle} {student}"

"""Files of the project agree on the oldest Python, and make refuses an older one in one sentence."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pages
import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_all_files_name_the_same_oldest_python() -> None:
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert PROJECT["tool"]["pyright"]["pythonVersion"] == oldest
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    assert re.findall(r"Python (\d\.\d+) or newer", (ROOT / "README.md").read_text()) == [oldest]
    assert re.findall(r"Python (\d\.\d+) or newer", (ROOT / "CONTRIBUTING.md").read_text()) == [oldest]
    makefile = (ROOT / "Makefile").read_text()
    assert re.findall(r"Python (\d\.\d+)(?:\+| or newer)", makefile) == [oldest] * 2
    assert f"sys.version_info < ({oldest.replace('.', ', ')})" in makefile
    assert f"PYTHONS:-python{oldest} " in (ROOT / ".ci" / "matrix").read_text()


@pytest.mark.parametrize(("version", "begins"), [("3, 10, 13", False), ("3, 11, 0", True)])
def test_make_refuses_an_old_python_before_anything_is_installed(tmp_path: Path, version: str, begins: bool) -> None:
    old = tmp_path / "python3.x"
    old.write_text(
        f"""#!/bin/sh
if [ "$1" = -c ]; then exec {sys.executable} -c "import sys
sys.version_info = ({version})
$2"; fi
touch {tmp_path}/began
exit 7
"""
    )
    old.chmod(0o755)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "setup", f"VENV={tmp_path}/venv", f"PYTHON={old}"]
    ended = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert (tmp_path / "began").exists() == begins
    said = ended.stderr.splitlines()[0]
    assert (
        said == f"kdray needs Python 3.11 or newer; {old} is 3.10.13. Name a newer one: make PYTHON=python3.12"
    ) != begins


def test_links_of_the_pages_lead_to_files() -> None:
    links = [
        (page, link) for page in pages.ALL for link in re.findall(r"\]\((?!https?:)([^)#]*)#?[^)]*\)", page.read_text())
    ]
    assert len(links) > 30
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []


def test_headings_that_links_name_exist() -> None:
    for page in pages.ALL:
        for link, heading in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
            target = (page.parent / link) if link else page
            headings = {
                re.sub(r"[^\w -]", "", line.lstrip("# ")).strip().lower().replace(" ", "-")
                for line in target.read_text().splitlines()
                if line.startswith("#")
            }
            assert heading in headings, f"{page.name} links to {link}#{heading}"


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize(("variable", "compiles"), [("1", True), ("", False)])
def test_pip_compiles_packages_only_where_python_may_not_keep_it(variable: str, compiles: bool) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    environ["PYTHONDONTWRITEBYTECODE"] = variable
    command = ["make", "--dry-run", "--always-make", "setup"]
    planned = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout
    assert "pip install" in planned
    assert ("--no-compile" in planned) is not compiles


@pytest.mark.parametrize("program", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_a_benchmark_reads_the_flags_that_it_has(program: Path) -> None:
    source = program.read_text()
    read = set(re.findall(r"\barguments\.(\w+)", source))
    flags = {flag.lstrip("-").replace("-", "_") for flag in re.findall(r'add_argument\(\s*"([\w-]+)"', source)}
    assert read <= flags

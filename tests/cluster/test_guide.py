"""The guide's commands exist, take the flags that they are given, and every file of the folder is in it."""

import importlib.util
import re
import shlex
from pathlib import Path

import pages
import pytest

from kdray.cli.main import _parsers as kdray_parsers  # pyright: ignore[reportPrivateUsage]
from kdray.cli.sweep import _parser as sweep_parser  # pyright: ignore[reportPrivateUsage]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "cluster/README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
INLINE = re.findall(r"`((?:ray \w+ cluster/|python )[^`]+)`", re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL))
LINES = [line for block in (*BLOCKS, *INLINE) for line in block.replace("\\\n", " ").splitlines() if line.strip()]
RAY = [line for line in LINES if line.startswith("ray ")]


def test_names_every_file() -> None:
    files = {path.name for path in (ROOT / "cluster").iterdir() if path.name not in ("README.md", "__pycache__")}
    assert {name for name in files if name not in GUIDE} == set()


def test_paths_exist() -> None:
    text = GUIDE + "".join(path.read_text() for path in (ROOT / "cluster").glob("*.*") if path.is_file())
    named = set(re.findall(r"(?<![\w/-])((?:cluster|sweeps|tests)/[\w./]*\w)", text))
    assert {"cluster/gpu.yaml", "cluster/ready.py", "sweeps/tune_rte.py"} <= named
    results = re.compile(r"sweeps/(NAME|rte)\b")  # of a store
    assert {path for path in named if not (ROOT / path).exists() and not results.match(path)} == set()


@pytest.mark.parametrize("line", RAY)
def test_ray_has_the_command_and_its_flags(line: str) -> None:
    import click
    from ray.scripts.scripts import cli

    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    context = command.make_context(command.name, words)  # refuses what it does not know
    if context.params.get("script_args"):
        assert "--" in words, "else Ray takes flags of the script for its own"


def test_there_are_commands_to_check() -> None:
    needed = {"up", "down", "attach", "dashboard", "submit", "exec", "job"}
    assert needed <= {line.split()[1] for line in RAY}


def programs() -> list[tuple[str, list[str]]]:
    """Every call of ready.py and of a sweep in the folder's files: the program, its arguments."""
    found: list[tuple[str, list[str]]] = []
    usage = re.findall(r"^ +(python .+)$", (ROOT / "cluster/ready.py").read_text(), re.MULTILINE)
    for line in [*LINES, *usage]:
        inner = [word for word in shlex.split(line, comments=True) if "python" in word and " " in word] or [line]
        for text in inner:
            words = shlex.split(re.split(r" 2>&1| \| |\.\.\.", text)[0], comments=True)
            for index, word in enumerate(words):
                if re.search(r"cluster/ready\.py$|sweeps/tune_\w+\.py$", word) and words[index - 1] == "python":
                    found.append((Path(word).name, words[index + 1 :]))
                elif word.endswith("cluster/ready.py") and words[0] == "ray":  # ray submit FILE ready.py -- ...
                    found.append((Path(word).name, words[index + 2 :]))
                elif word == "cluster/slurm.sh":
                    found.append(("tune_rte.py", words[index + 1 :]))
    return found


def test_flags_of_our_own_programs_exist() -> None:
    spec = importlib.util.spec_from_file_location("ready", ROOT / "cluster/ready.py")
    assert spec is not None
    assert spec.loader is not None
    ready = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ready)
    checked = programs()
    assert {"ready.py", "tune_rte.py"} <= {name for name, _ in checked}
    assert len(checked) >= 12
    for name, arguments in checked:
        if name == "ready.py":
            given = ready.parser().parse_args([word for word in arguments if word != "--help"])
            assert given.command == [] or given.command[0] == "python"
        else:
            sweep_parser("rte").parse_args(arguments)


def kdray_lines() -> list[str]:
    """Every call of `kdray` in the guide, and in the shell blocks of README and docs."""
    lines = [line for page in pages.DOCS for line in pages.shell_lines(page) if line.startswith("kdray ")]
    return [*lines, *re.findall(r"`(kdray \w+ [^`]+)`", GUIDE.replace("\n", " "))]


@pytest.mark.parametrize("line", kdray_lines())
def test_kdray_takes_its_commands_with_their_flags(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    _, flags = kdray_parsers()[0].parse_known_args(words)  # exits if it does not
    if words[0] == "sweep":
        sweep_parser("rte", prog="kdray sweep FILE").parse_args(flags)
    else:
        assert words[0] == "compare" or not flags


def test_there_are_such_lines() -> None:
    assert {"run", "prune", "report", "trial", "best", "store", "evaluate"} <= {
        line.split()[1] for line in kdray_lines()
    }
    assert any("--export" in line and "--store" in line for line in kdray_lines())


def test_the_guide_lists_what_was_not_tried() -> None:
    assert "launched none" in GUIDE


def test_the_token_is_made_for_its_owner_only() -> None:
    (line,) = [line for line in LINES if "get-auth-token --generate" in line]
    assert "umask 077" in line

"""Every block of code of README, docs, CONTRIBUTING and the cluster guide is run or checked; exceptions are listed."""

import json
import re
import shlex
import tomllib
from functools import partial
from pathlib import Path

import pages
import pytest
import tiny
import yaml

from kdray.cli.compare import _parser as compare_parser  # pyright: ignore[reportPrivateUsage]
from kdray.cli.main import _parsers  # pyright: ignore[reportPrivateUsage]
from kdray.cli.sweep import _parser as sweep_parser  # pyright: ignore[reportPrivateUsage]
from kdray.config import load, load_comparison, load_sweep, parse
from kdray.experiments.compare import candidates_of
from kdray.pruning import PruneSettings

ROOT = pages.ROOT
EXTENDING = ROOT / "docs/extending.md"
# Python blocks that other tests run, with a text of each
RUN_ELSEWHERE = {
    ("README.md", "student.save("): "tests/api/test_api.py",
    ("api.md", "kd.compare("): "tests/api/test_api.py",
    ("corpora.md", "my-xnli"): "tests/corpora/test_reading.py",
    ("runs.md", "Context(Store("): "tests/cli/test_command_line.py",
    ("extending.md", "class Counts"): "tests/stages/test_other_tasks.py",
    ("extending.md", "class MyLSTM"): "tests/stages/test_architectures.py",
    ("extending.md", "class Quantile"): "tests/stages/test_outside_policy_and_corpus.py",
    ("extending.md", "def reviews"): "tests/stages/test_outside_policy_and_corpus.py",
    ("extending.md", "class CopyCLS"): "tests/methods/test_methods_conformance.py",
    ("extending.md", "def doubt"): "tests/stages/test_own_metric.py",
    ("pruning.md", "def lines"): "tests/prune/test_splitters.py",
}
RUN_HERE = {("extending.md", "class MyKD"), ("extending.md", "check_method"), ("pruning.md", "Pruner.load"),
            ("quickstart.md", "text-classification")}  # fmt: skip
# programs that are not ours, and why their lines are not run
NOT_RUN = {
    "serve": "it is Ray Serve's own command; tests/serve checks the application",
    "echo": "it gives a line to bundle/predict.py; tests/export/test_tag_bundles.py runs that",
    "curl": "it calls the service, which tests/serve/test_service.py calls over HTTP",
    "aws": "it changes an account of AWS",
    "gcloud": "it changes an account of Google Cloud",
    "kubectl": "it needs a cluster of Kubernetes; tests/cluster/test_kuberay.py checks the files",
    "helm": "it needs a cluster of Kubernetes",
    "docker": "it needs Docker",
    "ray": "tests/cluster/test_guide.py parses it by Ray's own command line",
    "sbatch": "it needs Slurm; tests/cluster/test_slurm.py runs the script with stand-ins",
    "scancel": "it needs Slurm",
    "ssh": "it needs another machine",
    "tail": "it shows the log of a job",
    "for": "a loop over the machines of a cluster",
    "export": "it sets a variable",
    "(umask": "tests/cluster/test_guide.py checks it",
}
OWN_FILES = {  # files that the commands of extending.md name
    "my_method.py": "class MyKD",
    "doubtful.py": "def doubt",
    "counting.py": "class Counts",
    "my_architecture.py": "class MyLSTM",
    "quantile.py": "class Quantile",
    "my_reviews.py": "def reviews",
}
BLOCKS = [(page, language, code) for page in pages.ALL for language, code in pages.blocks(page)]
LINES = [(page, line) for page in pages.ALL for line in pages.shell_lines(page)]


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of extending.md, the recipes and a table of vectors, where the commands are checked."""
    for name, text in OWN_FILES.items():
        (tmp_path / name).write_text(pages.code_with(EXTENDING, text))
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_every_block_has_a_language_that_is_checked() -> None:
    plain = [(page.name, code) for page, language, code in BLOCKS if language not in ("python", "yaml", "sh", "json")]
    assert {name for name, _ in plain} == {"README.md", "security.md"}  # a tree of folders, and a line of a log
    (tree,) = [code for name, code in plain if name == "README.md"]
    assert all((ROOT / line.split()[0]).is_dir() for line in tree.splitlines())


def test_every_json_block_is_json() -> None:
    blocks = [code for _, language, code in BLOCKS if language == "json"]
    assert all(json.loads(code) for code in blocks)
    assert blocks


def test_every_python_block_is_run_here_or_elsewhere() -> None:
    for page, language, code in BLOCKS:
        if language != "python":
            continue
        homes = [key for key in [*RUN_ELSEWHERE, *RUN_HERE] if key[0] == page.name and key[1] in code]
        assert homes, f"a Python block of {page.name} is run by no test: {code[:80]}"
        for key in homes:
            test = ROOT / RUN_ELSEWHERE.get(key, "tests/test_every_block.py")
            assert page.name in test.read_text(), f"{test.name} does not read {page.name}"


def test_own_method_passes_the_checks_of_the_page(own_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    scope = {"MyKD": importlib.import_module("my_method").MyKD}
    block = pages.code_with(EXTENDING, "check_method")
    exec(block, scope)
    monkeypatch.setattr(scope["MyKD"], "weights", lambda self: {"hard": 1.0, "unknown": 1.0})
    with pytest.raises(Exception, match="unknown"):
        exec(block, scope)


def test_saved_pruner_of_the_page_prunes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    from kdray.pruning import fit, units_at

    block = pages.code_with(ROOT / "docs/pruning.md", "Pruner.load")
    texts = [
        "It rained. Acme Corp. bought Titan Ltd. for 3 million dollars. People talked.",
        "It rained. People talked.",
    ]
    table = pa.table({"id": ["a", "b"], "text": texts, "label": [0, 1]})
    settings = PruneSettings.model_validate(
        {
            "policy": {"name": "lower_tail", "deviations": 0},
            "keep_medoids": "none",
            "level": "sentence",
            "max_prune_rate": 1.0,
        }
    )
    made = fit(units_at(table, [("text", "body")], settings, level="sentence"), [], settings, level="sentence")
    (place,) = re.findall(r'load\("(.*)"\)', block)
    monkeypatch.chdir(tmp_path)
    made.pruner.save(tmp_path / place)
    scope: dict[str, object] = {}
    exec(block.replace("pruner.prune(", "shortened = pruner.prune("), scope)
    assert scope["shortened"] != [texts[0]]


def test_student_is_a_folder_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = pages.code_with(ROOT / "docs/quickstart.md", "text-classification")
    (place,) = re.findall(r'"(store/.*)"', block)
    folder = tmp_path / place
    folder.mkdir(parents=True)
    tiny.save_fine_tuned(folder, tiny.classifier(seed=0), ["no", "yes"])
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    exec(block.replace("classify({", "answer = classify({"), scope)
    assert "yes" in str(scope["answer"]) or "no" in str(scope["answer"])


@pytest.mark.parametrize(("page", "code"), [(page, code) for page, kind, code in BLOCKS if kind == "yaml"])
def test_settings_of_a_page_are_valid(page: Path, code: str, own_files: Path) -> None:
    if "variants:" in code:
        (own_files / "comparison.yaml").write_text(code)
        given = load_comparison(own_files / "comparison.yaml")
        assert candidates_of(given.variants, parse(given.base(), source=page.name))
    else:
        parse(yaml.safe_load(code), source=page.name)


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page.name}: {line[:60]}" for page, line in LINES])
def test_a_line_of_a_shell_block_is_a_command(page: Path, line: str, own_files: Path) -> None:
    program = line.split()[0]
    words = shlex.split(re.split(r" &&| > | \| ", line)[0], comments=True)[1:] if program not in NOT_RUN else []
    if program == "kdray":
        _check_command(words)
    elif program == "make":
        targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in words if "=" not in word} <= targets
    elif program == "python":
        _check_program(words)
    elif program == "pip":
        _check_extras(line)
    else:
        assert program in NOT_RUN or program.startswith("-"), f"{page.name}: nothing checks {line!r}"


def _check_command(words: list[str]) -> None:
    parsed, rest = _parsers()[0].parse_known_args(words)
    if parsed.command in ("sweep", "compare"):
        several = {"sweep": sweep_parser, "compare": partial(compare_parser, "methods")}
        several[parsed.command]("rte").parse_args(rest)
        load_any = {"sweep": load_sweep, "compare": load_comparison}
        assert parsed.file is None or load_any[parsed.command](ROOT / parsed.file)
        return
    assert rest == []
    if "overrides" in parsed and parsed.overrides:
        load(parsed.file, parsed.overrides)  # every setting exists, and its value is allowed
    if "file" in parsed:
        load(parsed.file)


def _check_program(words: list[str]) -> None:
    script, *arguments = words
    if script.startswith("sweeps/tune_"):
        assert (ROOT / script).is_file()
        parsed = sweep_parser("rte").parse_args(arguments)
        overrides = parsed.overrides
        load(ROOT / "recipes/rte.yaml", ["corpus.name=folder", *overrides] if parsed.corpus == "folder" else overrides)
    elif script.startswith(("benchmarks/", "cluster/", "sweeps/")):
        text = (ROOT / script).read_text()
        flags = [word.partition("=")[0] for word in arguments if word.startswith("--")]
        shared = compare_parser("", "rte").format_help() if script.startswith("sweeps/") else ""
        assert [flag for flag in flags if f'"{flag}"' not in text and flag not in shared.split()] == []
    else:
        assert script == "bundle/predict.py"  # tests/export/test_bundle.py runs it
        assert (ROOT / "kdray/export/predict.py").is_file()


def _check_extras(line: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {name for group in re.findall(r"(?:kdray|\.)\[([\w,]+)\]", line) for name in group.split(",")}
    assert named <= set(extras)

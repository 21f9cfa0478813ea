"""A method class from outside of kdray: from Python, by module and by file; never trained as another one."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pages
import pytest
import tiny

from kdray.config import RunConfig, load, parse
from kdray.distillation import FitSpec
from kdray.errors import ConfigError
from kdray.methods import KD, Batch, Method, MethodOutput, method_named, parse_method
from kdray.stages import Context, InProcess, Prepared, distill, prepare
from kdray.store import Artifact, Store

MY_KD = pages.code_with(pages.ROOT / "docs/extending.md", "class MyKD")


class Mine(KD):
    def terms(self, step: Batch) -> MethodOutput:
        raise RuntimeError("my own loss was called")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_corpus: Path) -> dict[str, Any]:
    fitting = {"epochs": 1, "batch_size": 16, "learning_rate": 2e-3, "max_length": 32, "precision": "fp32"}
    return {
        "store": str(tmp_path_factory.mktemp("outside")),
        "corpus": tiny.opinions(tiny_corpus),
        "prune": {"policy": "none"},
        "teachers": [{"encoder": str(tiny_encoder), "train": fitting}],
        "outputs": {"quality_check": False},
        "student": {"encoder": str(tiny_encoder), "layers": 1},
        "train": fitting,
    }


@pytest.fixture(scope="module")
def ready(plain: dict[str, Any]) -> tuple[RunConfig, Prepared, Context]:
    run = parse(plain, source="test")
    context = Context(Store(run.store), InProcess(), None)
    return run, prepare(run, context), context


def distilled(ready: tuple[RunConfig, Prepared, Context], method: Any) -> Artifact:
    run, prepared, context = ready
    return distill(parse({**run.model_dump(), "method": method}, source="test"), prepared, context)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_method.py"
    path.write_text(MY_KD)
    return path


def test_a_subclass_is_never_trained_as_its_parent(ready: Any) -> None:
    called = r"^method test_outside_methods:Mine: it raised RuntimeError: my own loss was called \(line \d+\)\.$"
    with pytest.raises(ConfigError, match=called) as found:
        distilled(ready, Mine())
    assert isinstance(found.value.__cause__, RuntimeError)
    assert Mine().name != KD().name
    with pytest.raises(ConfigError, match=called):  # also after a way through plain values
        distilled(ready, Mine().model_dump())


def test_a_method_named_in_yaml_is_trained_by_its_file(
    ready: Any, plain: dict[str, Any], file: Path, tmp_path: Path
) -> None:
    settings = plain | {"method": {"name": f"{file}:MyKD", "temperature": 3}}
    (tmp_path / "run.yaml").write_text(json.dumps(settings))
    run = load(tmp_path / "run.yaml", ["method.alpha=0.4"])
    assert run.method.model_dump(exclude={"name"}) == {"temperature": 3.0, "alpha": 0.4}
    mine, kd = distill(run, *ready[1:]), distilled(ready, {"name": "kd", "temperature": 3.0, "alpha": 0.4})
    assert (mine.name, kd.name) == ("folder-opinions-MyKD", "folder-opinions-kd")
    assert mine.digest != kd.digest
    weights = [(each.file("model") / "model.safetensors").read_bytes() for each in (mine, kd)]
    assert weights[0] == weights[1]  # the same formula by two sources


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("raise KeyError('boom')", r"it raised KeyError: 'boom' \(line \d+\)"),
        ("raise SystemExit(0)", r"it raised SystemExit: 0 \(line \d+\)"),
        ("return {}[0]", r"it raised KeyError: 0 \(line \d+\)"),
    ],
)
def test_a_loss_that_raises_ends_in_a_sentence_with_its_class(
    ready: Any, file: Path, statement: str, sentence: str
) -> None:
    file.write_text(MY_KD.replace("        target =", f"        {statement}\n        target ="))
    with pytest.raises(ConfigError, match=rf"^method .*my_method\.py:MyKD: {sentence}\.$"):
        distilled(ready, {"name": f"{file}:MyKD"})


def test_ctrl_c_in_a_loss_stays_what_it_is(ready: Any, file: Path) -> None:
    file.write_text(MY_KD.replace("        target =", "        raise KeyboardInterrupt\n        target ="))
    with pytest.raises(KeyboardInterrupt):
        distilled(ready, {"name": f"{file}:MyKD"})


def test_the_source_is_in_the_digest_and_the_folder_is_not(ready: Any, file: Path, tmp_path: Path) -> None:
    first = distilled(ready, {"name": f"{file}:MyKD"})
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    other.write_text(MY_KD)
    assert distilled(ready, {"name": f"{other}:MyKD"}).digest == first.digest
    file.write_text(MY_KD + "\n# another source\n")
    assert distilled(ready, {"name": f"{file}:MyKD"}).digest != first.digest


def test_a_class_of_a_module_and_of_its_file_trains_one_student(
    ready: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_named.py").write_text(f"# named in two ways\n{MY_KD}")
    monkeypatch.syspath_prepend(tmp_path)
    by_file = parse_method({"name": f"{tmp_path}/my_named.py:MyKD"})
    by_module = importlib.import_module("my_named").MyKD()
    assert by_module.name != by_file.name
    assert distilled(ready, by_module).digest == distilled(ready, by_file).digest


@pytest.mark.parametrize("line", ["import helper", "from helper import W", "from below.helper import W"])
def test_a_file_that_imports_local_files_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.syspath_prepend(file.parent)
    (file.parent / "below").mkdir()
    for place in ("helper.py", "below/helper.py"):
        (file.parent / place).write_text("W = 1\n")
    file.write_text(f"import json\n{line}\n{MY_KD}")
    with pytest.raises(ConfigError, match=r"its file imports helper\.py, a file of its folder, which workers do not"):
        parse_method({"name": f"{file}:MyKD"})


def test_the_modules_of_a_package_that_are_imported_are_in_the_digest(tmp_path: Path) -> None:
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "method.py").write_text(f"from .first import W\n{MY_KD}")
    (package / "first.py").write_text("from my_package import second\nW = 1\n")
    (package / "second.py").write_text("V = 1\n")
    (package / "other.py").write_text("V = 1\n")
    code = "from my_package.method import MyKD; from kdray.methods import sources_of; print(sources_of(MyKD())[0].name)"

    def name() -> str:
        done = subprocess.run(
            [sys.executable, "-B", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout

    first = name()
    (package / "other.py").write_text("V = 2\n")
    assert name() == first
    (package / "second.py").write_text("V = 2\n")
    assert name() != first


def test_a_helper_of_a_script_is_in_the_digest(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(f"import helper\n{MY_KD}\nprint(MyKD().name)\n")
    names = set[str]()
    for value in (1, 1, 2):
        (tmp_path / "helper.py").write_text(f"W = {value}\n")
        command = [sys.executable, "-B", "script.py"]
        names.add(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert len(names) == 2


def test_a_module_of_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_module_here.py").write_text(MY_KD)
    monkeypatch.chdir(tmp_path)
    method = parse_method({"name": "my_module_here:MyKD", "temperature": 2})
    assert method.name.startswith("my_module_here:MyKD@")
    assert method.label == "MyKD"
    assert parse_method(method.model_dump()) == method


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("{folder}/none.py:MyKD", r"file .*none.py cannot be read .*: No such file or directory\.$"),
        ("{folder}/my_metod.py:MyKD", r"No such file or directory; did you mean .*/my_method\.py\?$"),
        ("{folder}/my_method.py", r"expected module:NAME or file\.py:NAME"),
        ("{folder}/my_method.py:Other", r"this class does not exist in .*my_method.py"),
        ("{folder}/my_method.py:kd_rows", r"it is not a subclass of Method"),
        ("{folder}/broken.py:MyKD", r"file .*broken.py cannot be run \(ZeroDivisionError: division by zero\)"),
        ("{folder}/ends.py:MyKD", r"file .*ends.py cannot be run \(SystemExit: 0\)"),
        ("no_such_module_here:MyKD", r"module no_such_module_here cannot be imported \(ModuleNotFoundError"),
        ("kdray.methods:KD", r"is kdray's own; use its name, kd\.$"),
        ("kdray.methods:Method", r"is kdray's own; it has no name; name a class derived from it\.$"),
        ("{folder}/my_method.py:MyKD@0123456789abcdef", r"the source of .*my_method.py is another one now"),
        (":MyKD", r"expected module:NAME or file.py:NAME"),
    ],
)
def test_what_cannot_be_found_ends_in_one_sentence(file: Path, name: str, sentence: str) -> None:
    (file.parent / "broken.py").write_text("1 / 0\n")
    (file.parent / "ends.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(ConfigError, match=sentence):
        parse({"method": {"name": name.format(folder=file.parent)}}, source="test")


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("temperature = 2.0", "temperature: float = 2.0"),
        ("layers = (1, 2)", "layers: tuple = (1, 2)"),
        ("floor = None", "floor: float | None = None"),
        ("alpha = Field(0.5, ge=0)", "alpha: float = Field(0.5, ...)"),
        ("needs = {'cls'}", "needs: ClassVar = {'cls'}"),
        ("min_teachers = 2", None),
        ("title = 'My KD'", None),
        ("needs = frozenset({'cls'})", None),
    ],
)
def test_a_setting_without_a_type_is_refused_with_the_line_to_write(
    line: str, typed: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"from pydantic import Field\nfrom kdray.methods import Method\n\nclass MyKD(Method):\n    {line}\n"
    (tmp_path / "bare.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    if typed is None:
        assert method_named("bare.py:MyKD").__name__ == "MyKD"
        return
    for reference, name in (("file bare.py", "bare.py:MyKD"), ("module bare", "bare:MyKD")):
        with pytest.raises(ConfigError) as caught:
            method_named(name)
        own = line.partition(" ")[0]
        assert str(caught.value) == f"{reference}: class MyKD: {own} has no type; write {typed}."


@pytest.mark.parametrize(
    ("setting", "end"),
    [
        ({"temprature": 3}, "; did you mean temperature?"),
        ({"margin": 3}, "; allowed are alpha, name, temperature."),  # kdray's own methods have hard_weight and more
        ({"hard_wieght": 3}, "; allowed are alpha, name, temperature."),
    ],
)
def test_an_unknown_setting_is_refused_with_the_settings_of_the_class(
    file: Path, setting: dict[str, int], end: str
) -> None:
    sentence = rf"unknown setting method\.{next(iter(setting))} of .*my_method\.py:MyKD{re.escape(end)}$"
    with pytest.raises(ConfigError, match=sentence):
        parse({"method": {"name": f"{file}:MyKD", **setting}}, source="test")


def spec_of(method: Method) -> FitSpec:
    corpus = {"stage": "corpus", "name": "none", "digest": "0" * 64}
    plain = {
        "store": "s",
        "digest": "d",
        "title": "t",
        "corpus": corpus,
        "labels": ["a", "b"],
        "model": {},
        "train": {},
    }
    return FitSpec.model_validate(plain | {"method": method})


def test_a_worker_without_the_file_defines_the_same_class(file: Path, tmp_path: Path) -> None:
    method = parse_method({"name": f"{file}:MyKD", "temperature": 3})
    (tmp_path / "message.json").write_text(json.dumps(spec_of(method).message()))
    file.unlink()
    worker = """
import json, sys
from kdray.distillation import FitSpec
method = FitSpec.of_message(json.loads(open(sys.argv[1]).read())).method
print(json.dumps([method.name, method.temperature, type(method).losses.__qualname__]))
"""
    command = [sys.executable, "-c", worker, str(tmp_path / "message.json")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == [method.name, 3.0, "MyKD.losses"]


def test_a_worker_refuses_another_source(file: Path, tmp_path: Path) -> None:
    file.write_text(MY_KD + "# a text that no other test has loaded, from another place\n")
    message = spec_of(parse_method({"name": f"{file}:MyKD"})).message()
    message["sources"][0]["text"] += "# changed on its way\n"
    message["spec"]["method"]["name"] = message["spec"]["method"]["name"][:-4] + "0000"
    with pytest.raises(ConfigError, match=r"the source of .*my_method.py is another one now"):
        FitSpec.of_message(message)


def test_a_class_of_a_notebook_trains_in_its_process_and_is_no_message(tmp_path: Path) -> None:
    """Standard input, as a notebook, has no file: the code of the functions is hashed instead."""
    program = """
import sys
sys.path.insert(0, {tests!r})
from kdray.errors import ConfigError
from kdray.methods import KD, parse_method
class Mine(KD):
    def terms(self, step):
        return super().terms(step){more}
print(Mine().name)
assert parse_method(Mine(temperature=2).model_dump()) == Mine(temperature=2)
from kdray.methods import sources_of
try:
    sources_of(Mine())
except ConfigError as error:
    print(error)
"""
    found = []
    for more in ("", "", " or None"):
        text = program.format(tests=str(tmp_path), more=more)
        done = subprocess.run([sys.executable], input=text, check=True, capture_output=True, text=True)
        found.append(done.stdout.splitlines())
    names = [lines[0] for lines in found]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("__main__:Mine@")
    assert "class Mine is defined in a notebook or in the script that runs" in found[0][1]


BROKEN = """
from kdray.methods import KD


class Broken(KD):
    def terms(self, step):
        return step.nothing
"""


def test_a_search_tries_methods_from_outside_before_anything_is_trained(
    tmp_path: Path, tiny_encoder: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    plain = {"run": tiny.run_settings(tiny_encoder, tiny_corpus), "space": {"method.name": ["kd", "broken.py:Broken"]}}
    (tmp_path / "sweep.yaml").write_text(json.dumps(plain))
    done = subprocess.run(
        [sys.executable, "-m", "kdray.cli", "sweep", "sweep.yaml", "--engine", "local", "--trials", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert re.search(
        r"kdray: method broken\.py:Broken: it raised AttributeError: .* \(line 7\)\.$", done.stderr.strip()
    )
    assert not (tmp_path / "store" / "teach").exists()

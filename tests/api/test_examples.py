"""The examples in the docstrings of the Python API run as they stand, in an empty folder."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import kdray as kd
import kdray.api

RESULTS = {"Benchmark", "Comparison", "Search"}  # of functions with an example
RECORDS = {"RunConfig", "TrainSettings", "Method", "Store"}  # the pages have examples of them
NO_EXAMPLE = {"serve", "benchmark", "__version__"} | RESULTS | RECORDS  # the first two take too long
MODULES = [f"kdray.api.{each.name}" for each in pkgutil.iter_modules(kdray.api.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_api_are_right(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", sorted(set(kd.__all__) - NO_EXAMPLE - {"engines", "functional", "methods", "testing"}))
def test_every_public_name_has_an_example(name: str) -> None:
    found = getattr(kd, name)
    texts = [found, *vars(found).values()] if inspect.isclass(found) else [found]
    assert any(">>> " in (inspect.getdoc(getattr(each, "__func__", each)) or "") for each in texts)

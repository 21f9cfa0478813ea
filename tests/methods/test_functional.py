"""The public losses: every one has an example, and the examples are right."""

import doctest
import inspect

import pytest

from kdray import functional
from kdray.methods import losses


@pytest.mark.parametrize("module", [functional, losses], ids=lambda module: module.__name__)
def test_examples_are_right(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", functional.__all__)
def test_every_public_loss_has_an_example(name):
    assert ">>> " in (inspect.getdoc(getattr(functional, name)) or "")

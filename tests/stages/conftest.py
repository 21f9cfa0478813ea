"""What students of several kinds are made from, once a module."""

from typing import Any

import pytest

from kdray.config import parse
from kdray.stages import Context, InProcess, Prepared, prepare
from kdray.store import Store


@pytest.fixture(scope="module")
def prepared(plain: dict[str, Any]) -> tuple[Prepared, Context]:
    """Corpus and teachers of the settings `plain` of a module."""
    run = parse(plain, source="test")
    context = Context(Store(run.store), InProcess(), None)
    return prepare(run, context), context

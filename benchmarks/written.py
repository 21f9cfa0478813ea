"""What the tables of benchmarks have in common: where a document is from, and the scores of a row."""

import shlex
import sys
import time
from collections.abc import Sequence
from typing import Any

from kdray.evaluate import spread
from kdray.stages.train_stage import result_of
from kdray.store import Artifact


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def origin() -> dict[str, str]:
    """The command of this process and the time, with which every document begins."""
    return {"command": shlex.join(["python", *sys.argv]), "made": now()}


def scores(title: str, made: Sequence[Artifact]) -> dict[str, Any]:
    """Accuracy on the test rows of the models of all seeds, and the parameters of one."""
    results = [result_of(each) for each in made]
    values = [result["metrics"]["test"]["accuracy"] for result in results]
    found = spread(values)
    return {
        "model": title,
        "accuracy": found.mean,
        "±": found.std,
        "parameters": results[0]["cost"]["parameters"],
        "values": values,
    }

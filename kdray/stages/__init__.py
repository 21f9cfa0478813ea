"""What each stage reads and writes. A stage makes what is missing and uses what is there."""

from kdray.stages.assist import assist
from kdray.stages.context import Context, Engine, InProcess
from kdray.stages.corpus import opened, read
from kdray.stages.distil import alone, assistant_of, distil
from kdray.stages.expected import check_depths, check_models
from kdray.stages.outputs import outputs
from kdray.stages.prepare import Prepared, prepare, taught, viewed
from kdray.stages.prune import prune
from kdray.stages.teach import teach

__all__ = [
    "Context",
    "Engine",
    "InProcess",
    "Prepared",
    "alone",
    "assist",
    "assistant_of",
    "check_depths",
    "check_models",
    "distil",
    "opened",
    "outputs",
    "prepare",
    "prune",
    "read",
    "taught",
    "teach",
    "viewed",
]

"""What each stage reads and writes. A stage makes what is missing and uses what is there."""

from kdray.engines import Engine, InProcess
from kdray.stages.assistant import assist
from kdray.stages.context import Context
from kdray.stages.corpus import load_stored, read
from kdray.stages.distill import assistant_of, distill, no_kd_baseline
from kdray.stages.outputs import outputs
from kdray.stages.prepare import Prepared, make_teachers, prepare, teacher_outputs, with_pruning
from kdray.stages.prune import prune
from kdray.stages.teach import teach
from kdray.stages.validate_run import check_depths, check_models, check_run

__all__ = [
    "Context",
    "Engine",
    "InProcess",
    "Prepared",
    "assist",
    "assistant_of",
    "check_depths",
    "check_models",
    "check_run",
    "distill",
    "load_stored",
    "make_teachers",
    "no_kd_baseline",
    "outputs",
    "prepare",
    "prune",
    "read",
    "teach",
    "teacher_outputs",
    "with_pruning",
]

"""One student (or teacher, or assistant), end to end: build it, train it, score it, save it."""

from kdray.distill.build import build_model
from kdray.distill.job import run_job
from kdray.distill.settings import AssistantSettings, StudentSettings
from kdray.distill.spec import FitSpec, ModelSource, Ref, TeacherRef

__all__ = [
    "AssistantSettings",
    "FitSpec",
    "ModelSource",
    "Ref",
    "StudentSettings",
    "TeacherRef",
    "build_model",
    "run_job",
]

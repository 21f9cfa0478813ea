"""One student (or teacher, or assistant), end to end: build it, train it, score it, save it."""

from kdray.distillation.build import build_model
from kdray.distillation.job import run_job
from kdray.distillation.settings import AssistantSettings, StudentSettings
from kdray.distillation.spec import FitSpec, ModelSource, Ref, TeacherRef

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

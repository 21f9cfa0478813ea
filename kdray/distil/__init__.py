"""One student (or teacher, or assistant), end to end: build it, train it, score it, save it."""

from kdray.distil.build import build_model
from kdray.distil.settings import AssistantSettings, StudentSettings
from kdray.distil.spec import FitSpec, ModelSource, Ref, TeacherRef
from kdray.distil.work import run_fit

__all__ = [
    "AssistantSettings",
    "FitSpec",
    "ModelSource",
    "Ref",
    "StudentSettings",
    "TeacherRef",
    "build_model",
    "run_fit",
]

"""Teachers: fine-tuning, label order, outputs on a corpus, and the quality check."""

from kdray.teachers.labels import label_names, map_classes, only_classes, task_columns
from kdray.teachers.outputs import MCDropoutInference, TeacherInference
from kdray.teachers.quality_check import check_quality
from kdray.teachers.settings import Intermediate, TeacherSettings

__all__ = [
    "Intermediate",
    "MCDropoutInference",
    "TeacherInference",
    "TeacherSettings",
    "check_quality",
    "label_names",
    "map_classes",
    "only_classes",
    "task_columns",
]

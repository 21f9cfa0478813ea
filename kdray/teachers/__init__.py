"""Teachers: fine-tuning, label order, outputs on a corpus, and the quality check."""

from kdray.teachers.labels import label_names, map_classes, only_classes, task_columns
from kdray.teachers.outputs import MCDropoutInference, TeacherInference
from kdray.teachers.predictions import FLOOR, SMOOTHING, GivenLogits, digest_of_file, no_model, read_predictions
from kdray.teachers.quality_check import check_quality
from kdray.teachers.settings import Intermediate, TeacherSettings

__all__ = [
    "FLOOR",
    "SMOOTHING",
    "GivenLogits",
    "Intermediate",
    "MCDropoutInference",
    "TeacherInference",
    "TeacherSettings",
    "check_quality",
    "digest_of_file",
    "label_names",
    "map_classes",
    "no_model",
    "only_classes",
    "read_predictions",
    "task_columns",
]

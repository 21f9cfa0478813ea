"""Teachers: how they are fine-tuned, their label order, what they say of a corpus, and whether to trust them."""

from kdray.teachers.labels import label_names, merge_classes, only_classes, task_columns
from kdray.teachers.outputs import DropoutSpeaker, Speaker
from kdray.teachers.preflight import check_teacher
from kdray.teachers.settings import Intermediate, TeacherSettings

__all__ = [
    "DropoutSpeaker",
    "Intermediate",
    "Speaker",
    "TeacherSettings",
    "check_teacher",
    "label_names",
    "merge_classes",
    "only_classes",
    "task_columns",
]

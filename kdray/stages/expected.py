"""What a run's models will be, as far as its settings tell: to refuse before anything is trained."""

from collections.abc import Sequence
from dataclasses import replace

from kdray.config import RunConfig
from kdray.corpora import StoredTask
from kdray.errors import BadInput
from kdray.methods import Pair
from kdray.models import ModelInfo, encoder_layers, folder_info, layers_to_keep, resolve_encoder
from kdray.teachers import TeacherSettings


def check_method(run: RunConfig, task: StoredTask) -> None:
    """
    Raises:
        BadInput: A teacher's classes are not the task's, or the method cannot work with these models.
    """
    for teacher in run.teachers:
        check_classes(teacher, task)
    run.method.check(_pair(run, task.labels))


def check_classes(teacher: TeacherSettings, task: StoredTask) -> None:
    """
    Raises:
        BadInput: The task lacks a class that the teacher shall learn.
    """
    if unknown := sorted(set(teacher.classes) - set(task.labels)):
        raise BadInput(f"teacher {teacher.name!r}: {task.name} has no class {unknown[0]!r}, only {list(task.labels)}.")


def check_depths(run: RunConfig) -> None:
    """
    Raises:
        BadInput: A teacher or the student has more layers than what it is made from.
    """
    for teacher in run.teachers:
        if teacher.layers is not None and teacher.layers > (depth := encoder_layers(teacher.encoder)):
            raise BadInput(f"teacher {teacher.name}: layers = {teacher.layers}, but {teacher.encoder} has {depth}.")
    student = run.student
    if student.init_from != "assistant":  # the method decides how deep that is
        depth = encoder_layers(student.encoder) if student.init_from == "encoder" else run.teachers[0].depth
        layers_to_keep(student.init, keep=student.layers, of=depth)


def _pair(run: RunConfig, labels: Sequence[str]) -> Pair:
    taught = run.teachers[: run.method.max_teachers]
    origin = run.student.encoder if run.student.init_from == "encoder" else run.teachers[0].encoder
    encoders = {origin, *(teacher.encoder for teacher in taught)}
    found = {encoder: folder_info(resolve_encoder(encoder).folder) for encoder in encoders}

    def info(encoder: str, name: str, layers: int | None, own: Sequence[str] = ()) -> ModelInfo:
        whole = found[encoder]
        known = tuple(list(labels).index(label) for label in own) if own else None
        return replace(whole, name=name, layers=layers or whole.layers, classes=len(own or labels), known=known)

    teachers = tuple(info(teacher.encoder, teacher.name, teacher.layers, teacher.classes) for teacher in taught)
    assistant = None
    if run.method.uses_assistant:
        depths = run.method.assistant_depths(student=run.student.layers, teacher=teachers[0].layers)
        assistant = info(taught[0].encoder, "the assistant", depths[-1])
    return Pair(info(origin, "student", run.student.layers), teachers, assistant)

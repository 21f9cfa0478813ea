"""What a run's models will be, as far as its settings tell: to refuse before anything is trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdray.config import RunConfig
from kdray.corpora import StoredTask
from kdray.errors import BadInput
from kdray.methods import Facts, Pair
from kdray.models import encoder_layers, layers_to_keep, load_tokenizer, resolve_encoder, tokenizer_digest
from kdray.teachers import OutputShapes, TeacherSettings


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
    known = {encoder: _Known.of(encoder) for encoder in {origin, *(teacher.encoder for teacher in taught)}}
    teachers = tuple(
        known[teacher.encoder].facts(teacher.name, teacher.layers, labels, teacher.classes) for teacher in taught
    )
    assistant = None
    if run.method.uses_assistant:
        depths = run.method.assistant_depths(student=run.student.layers, teacher=teachers[0].layers)
        assistant = known[taught[0].encoder].facts("the assistant", depths[-1], labels, ())
    return Pair(known[origin].facts("student", run.student.layers, labels, ()), teachers, assistant)


@dataclass(frozen=True)
class _Known:
    """What an encoder's folder tells of the models that are made from it."""

    shapes: OutputShapes
    tokenizer: str

    @staticmethod
    def of(encoder: str) -> "_Known":
        folder = resolve_encoder(encoder).folder
        return _Known(OutputShapes.of_model(folder), tokenizer_digest(load_tokenizer(folder)))

    def facts(self, name: str, layers: int | None, labels: Sequence[str], own: Sequence[str]) -> Facts:
        """
        Args:
            own: The classes that it scores; none for all of them.
        """
        return Facts(
            name=name,
            layers=layers or self.shapes.layers,
            width=self.shapes.width,
            classes=len(own or labels),
            heads=self.shapes.heads,
            tokenizer=self.tokenizer,
            known=tuple(list(labels).index(label) for label in own) if own else None,
        )

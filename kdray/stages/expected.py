"""What a run's models will be, as far as its settings tell: to refuse before anything is trained."""

from collections.abc import Sequence
from typing import Any

import transformers

from kdray.config import RunConfig
from kdray.corpora import StoredTask
from kdray.errors import BadInput
from kdray.methods import Facts, Pair
from kdray.models import layers_to_keep, load_tokenizer, num_heads, resolve_encoder, tokenizer_digest
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
        depth = _depth(teacher.encoder)
        if teacher.layers is not None and teacher.layers > depth:
            raise BadInput(f"teacher {teacher.name}: layers = {teacher.layers}, but {teacher.encoder} has {depth}.")
    if run.student.init_from != "assistant":  # the method decides how deep that is
        layers_to_keep(run.student.init, keep=run.student.layers, of=_source_depth(run))


def _source_depth(run: RunConfig) -> int:
    if run.student.init_from == "encoder":
        return _depth(run.student.encoder)
    return run.teachers[0].layers or _depth(run.teachers[0].encoder)


def _depth(encoder: str) -> int:
    return int(_configuration(encoder).num_hidden_layers)


def _configuration(encoder: str) -> Any:
    return transformers.AutoConfig.from_pretrained(resolve_encoder(encoder).folder)


def _pair(run: RunConfig, labels: Sequence[str]) -> Pair:
    taught = run.teachers[: run.method.max_teachers]
    teachers = tuple(
        _facts(teacher.encoder, teacher.name, teacher.layers, labels, teacher.classes) for teacher in taught
    )
    origin = run.student.encoder if run.student.init_from == "encoder" else run.teachers[0].encoder
    assistant = None
    if run.method.uses_assistant:
        depths = run.method.assistant_depths(student=run.student.layers, teacher=teachers[0].layers)
        assistant = _facts(run.teachers[0].encoder, "the assistant", depths[-1], labels, ())
    return Pair(_facts(origin, "student", run.student.layers, labels, ()), teachers, assistant)


def _facts(encoder: str, name: str, layers: int | None, labels: Sequence[str], own: Sequence[str]) -> Facts:
    """
    Args:
        own: The classes that it scores; none for all of them.
    """
    configuration = _configuration(encoder)
    return Facts(
        name=name,
        layers=layers or int(configuration.num_hidden_layers),
        width=int(configuration.hidden_size),
        classes=len(own or labels),
        heads=num_heads(configuration),
        tokenizer=tokenizer_digest(load_tokenizer(resolve_encoder(encoder).folder)),
        known=tuple(list(labels).index(label) for label in own) if own else None,
    )

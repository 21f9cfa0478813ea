"""What a run's models will be, as far as its settings tell: to refuse before anything is trained."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Literal

import torch

from kdray.config import RunConfig
from kdray.corpora import StoredTask
from kdray.errors import ConfigError
from kdray.methods import Method, TeacherStudent
from kdray.models import (
    Architecture,
    Head,
    ModelInfo,
    Narrow,
    Transformer,
    check_saves,
    check_signals,
    check_tokens,
    encoder_layers,
    keep_layers,
    layers_to_keep,
    load_config,
    max_tokens,
    model_info,
    narrowed,
    resolve_encoder,
    tokenizer_of,
    transformer_for,
)
from kdray.origin import is_shipped, outside_class
from kdray.signals import TEACHER_NEEDS, Need
from kdray.stages.assistant import assistant_depths
from kdray.stages.prune import refuse_tags
from kdray.tasks import SINGLE_LABEL, Task, get_task
from kdray.teachers import TeacherSettings, label_names, no_model, task_columns
from kdray.testing.steps import random_step
from kdray.train import SingleRank, objective

WHOLE = Narrow()
_Cut = tuple[Literal["bottom", "skip"], int | tuple[int, ...]]


def check_method(run: RunConfig, task: StoredTask) -> None:
    """
    Raises:
        ConfigError: A teacher's classes are not the task's, or the method cannot work with these models.
    """
    for teacher in run.teachers:
        check_classes(teacher, task)
    kind = get_task(task.kind)
    given = [teacher.name for teacher in run.teachers if teacher.predictions is not None]
    if given and kind.target != "class":
        raise ConfigError(
            f"teacher {given[0]} is a file of predictions, which are read for rows of one class each, but the task is "
            f"{kind.name}; take a teacher with an encoder."
        )
    if kind.target == "tags":
        _check_tags(run, kind)
    if not kind.class_scores or kind.target == "tags":
        _check_other_task(run, kind)
    pair = _pair(run, task.labels, kind)
    run.method.check(pair)
    _check_step(run.method, pair)


def check_run(run: RunConfig, task: StoredTask) -> None:
    """All checks of this module, with those of every teacher.

    Raises:
        ConfigError: The settings do not fit together.
    """
    check_depths(run)
    check_method(run, task)
    check_models(run, task)


def _check_step(method: Method, pair: TeacherStudent) -> None:
    """One step of a method from outside on random signals: what raises there would raise after the teachers' training.

    Raises:
        ConfigError: The method raised an exception, or breaks its contract.
    """
    if is_shipped(type(method)) or pair.task is not SINGLE_LABEL or pair.student.fitted:
        return
    with torch.random.fork_rng(devices=[]), outside_class("method", method):
        for phase in method.phases(1):
            objective(phase.method, random_step(method, pair, phase), SingleRank())


def _check_other_task(run: RunConfig, task: Task) -> None:
    """What needs one class a row."""
    run.method.check_task(task)
    used = {
        "teacher_training = joint": run.teacher_training == "joint",
        "prune.policy (other than none)": run.prune.policy.name != "none",
        "teachers[].classes": any(teacher.classes for teacher in run.teachers),
        "teachers[].init_from": any(teacher.init_from for teacher in run.teachers),
    }
    if wrong := [setting for setting, is_used in used.items() if is_used]:
        fix = "set prune.policy = none" if wrong[0].startswith("prune.") else "leave it out"
        raise ConfigError(f"{wrong[0]} needs rows of one class each, but the task is {task.name}; {fix}.")


def _check_tags(run: RunConfig, task: Task) -> None:
    """What tags of words have no use for."""
    method = run.method
    refuse_tags(run.prune, task.name)
    if method.dropout_passes or method.reward is not None:
        needed = "passes with dropout" if method.dropout_passes else "rewards"
        raise ConfigError(
            f"method {method.name} needs {needed} of whole rows, but the task {task.name} has a tag for each word; "
            "take another method, such as kd."
        )
    for key, is_transformer, other in (
        ("student", run.student.is_transformer, run.student.architecture),
        ("assistant", run.assistant.is_transformer or not method.uses_assistant, run.assistant.architecture),
    ):
        if not is_transformer:
            raise ConfigError(
                f"{key}.architecture = {other.label} gives one row of scores for a text, but the task {task.name} has "
                "a tag for each word; leave it out, so that it is a transformer."
            )
    if run.student.vocabulary == "trim":
        raise ConfigError(
            f"student.vocabulary = trim reads texts, but the rows of the task {task.name} are lists of tokens; leave "
            "it out."
        )


def check_models(run: RunConfig, task: StoredTask, *, teachers: bool = True) -> None:
    """Load, cut, save and reload what this run will train, so that nothing is trained that cannot be kept.

    Args:
        teachers: They are used, so they are checked too.

    Raises:
        ConfigError: An encoder's folder, tokenizer, head or family does not fit this run.
    """
    every = frozenset[Need]().union(*(phase.method.needs for phase in run.method.phases(1)))
    needs = every - TEACHER_NEEDS
    if teachers:
        for number, teacher in enumerate(run.teachers):
            check_teacher_model(teacher, task, needs=needs, key=f"teachers.{number}")
    if run.method.uses_assistant and not run.assistant.is_transformer:
        _limit(run.teachers[0].encoder, (), task.labels, "fresh", frozenset(), run.assistant.architecture)
    student, origin = run.student, run.student_encoder
    if student.init_from == "assistant" and student.is_transformer:  # its depth is the method's
        return
    cuts: list[_Cut] = [(student.init, student.layers)] if student.is_transformer else []
    if student.init_from == "teacher" and cuts and run.teachers[0].layers:
        cuts = [("bottom", run.teachers[0].layers), *cuts]
    if student.is_transformer:
        digest = resolve_encoder(origin).digest
        limit = _checked(origin, digest, tuple(cuts), task.labels, "fresh", needs, task.kind, student.narrow)
    else:
        limit = _limit(origin, (), task.labels, "fresh", needs, student.architecture)
    _check_length(run.train.max_length, limit, "train", origin)


def check_teacher_model(
    teacher: TeacherSettings, task: StoredTask, *, needs: frozenset[Need] = frozenset(), key: str = "teachers"
) -> None:
    """The same of one teacher; predictions from a file are no model."""
    if teacher.predictions is not None:
        return
    cuts: tuple[_Cut, ...] = (("bottom", teacher.layers),) if teacher.layers else ()
    encoder, labels = resolve_encoder(teacher.encoder), teacher.classes or task.labels
    head = "own" if teacher.fine_tuned else "fresh"
    limit = _checked(teacher.encoder, encoder.digest, cuts, labels, head, needs, task.kind)
    if teacher.fine_tuned:
        task_columns(label_names(encoder.folder), labels, name=teacher.name)
    _check_length(teacher.train.max_length, limit, f"{key}.train", teacher.encoder)
    if teacher.init_from:
        _check_length(teacher.init_from.train.max_length, limit, f"{key}.init_from.train", teacher.encoder)


@cache
def _checked(
    name: str,
    digest: str,
    cuts: tuple[_Cut, ...],
    labels: tuple[str, ...],
    head: Head,
    needs: frozenset[Need],
    kind: str,
    narrow: Narrow = WHOLE,
) -> int:
    del digest  # part of the cache's key
    return _limit(name, cuts, labels, head, needs, transformer_for(get_task(kind)), narrow)


def _limit(
    name: str,
    cuts: tuple[_Cut, ...],
    labels: tuple[str, ...],
    head: Head,
    needs: frozenset[Need],
    architecture: Architecture,
    narrow: Narrow = WHOLE,
) -> int:
    """The tokens that the cut model and its tokenizer can read of one row."""
    folder = resolve_encoder(name).folder
    model = architecture.build(folder, labels=labels, seed=0, head=head)
    tokenizer = tokenizer_of(architecture, folder, model)
    check_tokens(model, tokenizer, folder)
    for init, keep in cuts:
        keep_layers(model, layers_to_keep(init, keep=keep, of=model_info(model, name).layers))
    model = narrowed(model, narrow, seed=0)
    shown = name if isinstance(architecture, Transformer) else f"student.architecture = {architecture.label}"
    check_signals(model, needs, shown)
    check_saves(model, tokenizer, shown)
    return min(max_tokens(model) or tokenizer.model_max_length, tokenizer.model_max_length)


def _check_length(max_length: int, limit: int, key: str, encoder: str) -> None:
    if max_length > limit:
        raise ConfigError(
            f"{key}.max_length = {max_length}, but {encoder} reads at most {limit} tokens of a row (special ones "
            f"included); set {key}.max_length={limit} or less."
        )


def check_classes(teacher: TeacherSettings, task: StoredTask) -> None:
    """
    Raises:
        ConfigError: The task lacks a class that the teacher shall learn.
    """
    if unknown := sorted(set(teacher.classes) - set(task.labels)):
        raise ConfigError(
            f"teacher {teacher.name!r}: {task.name} has no class {unknown[0]!r}, only {list(task.labels)}."
        )


def check_depths(run: RunConfig) -> None:
    """
    Raises:
        ConfigError: A teacher or the student has more layers than what it is made from.
    """
    for teacher in run.teachers:
        if teacher.layers is not None and teacher.layers > (depth := encoder_layers(teacher.encoder)):
            raise ConfigError(f"teacher {teacher.name}: layers = {teacher.layers}, but {teacher.encoder} has {depth}.")
    student = run.student
    if not student.is_transformer and student.layers != type(student)().layers:
        raise ConfigError(f"student.layers has no effect on a {student.architecture.label}; leave it out.")
    if student.is_transformer and student.init_from != "assistant":  # the method decides how deep that is
        depth = encoder_layers(run.student_encoder) if student.init_from == "encoder" else run.teachers[0].depth
        layers_to_keep(student.init, keep=student.layers, of=depth)


def _pair(run: RunConfig, labels: Sequence[str], task: Task) -> TeacherStudent:
    every, student = run.teachers[: run.method.max_teachers], run.student

    @cache
    def whole(encoder: str) -> ModelInfo:
        return transformer_for(task).expected(resolve_encoder(encoder).folder)

    def info(encoder: str, name: str, layers: int | None, own: Sequence[str] = ()) -> ModelInfo:
        known = tuple(list(labels).index(label) for label in own) if own else None
        found = whole(encoder)
        return replace(found, name=name, layers=layers or found.layers, classes=len(own or labels), known=known)

    teachers = tuple(
        info(teacher.encoder, teacher.name, teacher.layers, teacher.classes)
        if teacher.predictions is None
        else no_model(teacher.name, labels)
        for teacher in every
    )
    assistant = None
    if run.method.uses_assistant:
        depth, label = assistant_depths(run, teacher=teachers[0].layers)[-1], "the assistant"
        if depth is None:
            folder = resolve_encoder(every[0].encoder).folder
            assistant = replace(run.assistant.architecture.expected(folder, label), classes=len(labels))
        else:
            assistant = info(every[0].encoder, label, depth)
        run.assistant.method.check(TeacherStudent(assistant, teachers, None, task))
    if student.is_transformer:
        mine = info(run.student_encoder, "student", student.depth)
        if not student.narrow.is_idle:
            width, heads, _ = student.narrow.sizes(load_config(resolve_encoder(run.student_encoder).folder))
            mine = replace(mine, width=width, heads=heads)
        return TeacherStudent(mine, teachers, assistant, task)
    mine = student.architecture.expected(resolve_encoder(run.student_encoder).folder, student.architecture.label)
    return TeacherStudent(replace(mine, classes=len(labels)), teachers, assistant, task)

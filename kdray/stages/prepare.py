"""Everything that students of one run have in common: corpus, pruned corpus, teachers and their outputs."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdray.config import RunConfig
from kdray.distillation import TeacherRef
from kdray.stages.context import Context
from kdray.stages.corpus import load_stored, read
from kdray.stages.outputs import given_outputs, outputs
from kdray.stages.prune import needs_teachers, prune
from kdray.stages.teach import teach, teach_together
from kdray.stages.validate_run import check_depths, check_method, check_models, check_teacher_model
from kdray.store import Artifact

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """Attributes:
    pruned_corpus: What students read; None if nothing is pruned.
    """

    corpus: Artifact
    teachers: Sequence[TeacherRef]
    pruned_corpus: Artifact | None


def prepare(run: RunConfig, context: Context, *, every_teacher: bool = False) -> Prepared:
    """Make what is missing of it. Teachers are made only if something of this run needs them, or all on request.

    Raises:
        ConfigError: The settings do not fit together; raised before anything is trained.
    """
    check_depths(run)
    corpus = read(run.corpus, context)
    task = load_stored(corpus).task
    check_method(run, task)
    check_models(run, task, teachers=every_teacher or _needs_teachers(run))
    needed = run if every_teacher else _of_use(run)
    teachers = teacher_outputs(needed, corpus, context) if every_teacher or _needs_teachers(run) else []
    return with_pruning(run, corpus, teachers, context)


def teacher_outputs(run: RunConfig, corpus: Artifact, context: Context) -> list[TeacherRef]:
    """The teachers of a run with their outputs, in their order; files of predictions are read before any training.

    Raises:
        ConfigError: A file of predictions or an encoder cannot be used, or a teacher is no better than chance.
    """
    quality_check, is_part = run.outputs.quality_check, run.corpus.limit is not None
    found = {
        teacher.name: given_outputs(
            teacher.name, Path(teacher.predictions), corpus, context, quality_check=quality_check, is_part=is_part
        )
        for teacher in run.teachers
        if teacher.predictions is not None
    }
    for name, model in make_teachers(run, corpus, context):
        found[name] = outputs(model, corpus, context, name=name, quality_check=quality_check)
    return [found[teacher.name] for teacher in run.teachers]


def make_teachers(run: RunConfig, corpus: Artifact, context: Context) -> Iterator[tuple[str, Artifact]]:
    """The models of a run's teachers by name, made each by itself or all of them together.

    Raises:
        ConfigError: One cannot be made from its encoder; raised before any is trained.
    """
    task = load_stored(corpus).task
    for number, settings in enumerate(run.teachers):
        check_teacher_model(settings, task, key=f"teachers.{number}")
    if run.teacher_training == "joint":
        yield from teach_together(run.teachers, corpus, context).items()
        return
    for settings in run.teachers:
        if settings.predictions is None:
            yield settings.name, teach(settings, corpus, context)


def with_pruning(run: RunConfig, corpus: Artifact, teachers: Sequence[TeacherRef], context: Context) -> Prepared:
    """The same corpus and teachers with this run's pruning: all that trials of one sweep may differ in."""
    if run.prune.changes_nothing:
        return Prepared(corpus, teachers, None)
    return Prepared(corpus, teachers, prune(run.prune, corpus, teachers, context))


def _of_use(run: RunConfig) -> RunConfig:
    """The run without teachers that its method has no place for; pruning may ask them all the same."""
    most = max(1, len(run.teachers) if run.method.max_teachers is None else run.method.max_teachers)
    rest = [teacher.name for teacher in run.teachers[most:]]
    if not rest:
        return run
    log.warning("method %s learns from the first of the teachers, not from %s", run.method.name, ", ".join(rest))
    if needs_teachers(run.prune) or run.teacher_training == "joint":
        return run
    return run.model_copy(update={"teachers": run.teachers[:most]})


def _needs_teachers(run: RunConfig) -> bool:
    return bool(run.method.min_teachers) or run.student.init_from != "encoder" or needs_teachers(run.prune)

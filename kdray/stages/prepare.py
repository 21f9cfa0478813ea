"""Everything that students of one run have in common: corpus, pruned corpus, teachers and their outputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kdray.config import RunConfig
from kdray.distil import TeacherRef
from kdray.stages.context import Context
from kdray.stages.corpus import opened, read
from kdray.stages.expected import check_depths, check_method
from kdray.stages.outputs import outputs
from kdray.stages.prune import needs_teachers, prune
from kdray.stages.teach import teach, teach_together
from kdray.store import Artifact


@dataclass(frozen=True)
class Prepared:
    """Attributes:
    view: The pruned corpus that students read; None if nothing is pruned.
    """

    corpus: Artifact
    teachers: Sequence[TeacherRef]
    view: Artifact | None


def prepare(run: RunConfig, context: Context, *, every_teacher: bool = False) -> Prepared:
    """Make what is missing of it. Teachers are made only if something of this run needs them, or all on request.

    Raises:
        BadInput: The settings do not fit together; said before anything is trained.
    """
    check_depths(run)
    corpus = read(run.corpus, context)
    check_method(run, opened(corpus).task)
    made = taught(run, corpus, context) if every_teacher or _needs_teachers(run) else ()
    preflight = run.outputs.preflight
    teachers = [outputs(model, corpus, context, name=name, preflight=preflight) for name, model in made]
    return viewed(run, corpus, teachers, context)


def taught(run: RunConfig, corpus: Artifact, context: Context) -> Iterator[tuple[str, Artifact]]:
    """The teachers of a run by name, each by itself or all of them together."""
    if run.teaching == "joint":
        yield from teach_together(run.teachers, corpus, context).items()
        return
    for settings in run.teachers:
        yield settings.name, teach(settings, corpus, context)


def viewed(run: RunConfig, corpus: Artifact, teachers: Sequence[TeacherRef], context: Context) -> Prepared:
    """The same corpus and teachers with this run's pruning: all that trials of one sweep may differ in."""
    if run.prune.changes_nothing:
        return Prepared(corpus, teachers, None)
    return Prepared(corpus, teachers, prune(run.prune, corpus, teachers, context))


def _needs_teachers(run: RunConfig) -> bool:
    return bool(run.method.min_teachers) or run.student.init_from != "encoder" or needs_teachers(run.prune)

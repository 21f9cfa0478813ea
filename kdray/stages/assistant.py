"""Stage `assist`: a teacher assistant of a given depth, distilled from a deeper model; one for all trials."""

from collections.abc import Sequence

from kdray.config import RunConfig
from kdray.distillation import FitSpec, ModelSource, Ref, TeacherRef
from kdray.models import transformer_for
from kdray.stages.context import Context
from kdray.stages.corpus import load_stored
from kdray.stages.outputs import outputs
from kdray.stages.train_stage import resolve_training, trained_artifact
from kdray.store import Artifact
from kdray.tasks import get_task


def assist(run: RunConfig, *, corpus: Artifact, teacher: TeacherRef, depth: int | None, context: Context) -> TeacherRef:
    """The assistant with `depth` layers, or None for another architecture, and its outputs."""
    task, architecture = load_stored(corpus).task, run.assistant.architecture
    if run.assistant.is_transformer:
        architecture = transformer_for(get_task(task.kind))
    name = f"{teacher.info.name}-{architecture.label if depth is None else f'ta{depth}'}"
    spec = FitSpec(
        store=context.store.uri,
        digest="",
        title=f"assist {task.name}/{name}",
        corpus=Ref.to(corpus),
        labels=task.labels,
        model=ModelSource(architecture=architecture, artifact=teacher.trained, layers=depth, init=run.assistant.init),
        method=run.assistant.method,
        teachers=(teacher,),
        train=resolve_training(run.assistant.train),
    )
    assistant = trained_artifact("assist", f"{task.name}-{name}", spec, context)
    return outputs(assistant, corpus, context, name=name, quality_check=run.outputs.quality_check)


def assistant_depths(run: RunConfig, *, teacher: int) -> Sequence[int | None]:
    """The layers of each assistant between a teacher of that depth and the student; None is another architecture.

    Raises:
        ConfigError: There is no depth between them.
    """
    if not run.assistant.is_transformer:
        return (None,)
    return run.method.assistant_depths(student=run.student.depth, teacher=teacher)

"""Stage `assist`: a teacher assistant of a given depth, distilled from a deeper model; one for all trials."""

from kdray.config import RunConfig
from kdray.distillation import FitSpec, ModelSource, Ref, TeacherRef
from kdray.stages.context import Context
from kdray.stages.corpus import load_stored
from kdray.stages.outputs import outputs
from kdray.stages.train_stage import resolve_training, trained_artifact
from kdray.store import Artifact


def assist(run: RunConfig, *, corpus: Artifact, teacher: TeacherRef, depth: int, context: Context) -> TeacherRef:
    """The assistant with `depth` layers and its outputs."""
    task = load_stored(corpus).task
    name = f"{teacher.info.name}-ta{depth}"
    spec = FitSpec(
        store=context.store.uri,
        digest="",
        title=f"assist {task.name}/{name}",
        corpus=Ref.to(corpus),
        labels=task.labels,
        model=ModelSource(artifact=teacher.model, layers=depth, init=run.assistant.init),
        method=run.assistant.method,
        teachers=(teacher,),
        train=resolve_training(run.assistant.train),
    )
    assistant = trained_artifact("assist", f"{task.name}-{name}", spec, context)
    return outputs(assistant, corpus, context, name=name, quality_check=run.outputs.quality_check)

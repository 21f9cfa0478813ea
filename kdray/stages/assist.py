"""Stage `assist`: a teacher assistant of a given depth, distilled from a deeper model; one for all trials."""

from kdray.config import RunConfig
from kdray.distil import FitSpec, ModelSource, Ref, TeacherRef
from kdray.stages.context import Context
from kdray.stages.corpus import opened
from kdray.stages.fitting import fitted, resolved
from kdray.stages.outputs import outputs
from kdray.store import Artifact


def assist(run: RunConfig, *, corpus: Artifact, teacher: TeacherRef, depth: int, context: Context) -> TeacherRef:
    """The assistant with `depth` layers and its outputs."""
    task = opened(corpus).task
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
        train=resolved(run.assistant.train),
    )
    assistant = fitted("assist", f"{task.name}-{name}", spec, context)
    return outputs(assistant, corpus, context, name=name, preflight=run.outputs.preflight)

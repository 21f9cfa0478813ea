"""Stage `teach`: fine-tune one teacher, after an intermediate task if it has one."""

import re

from kdray.corpora import CorpusSettings
from kdray.distil import FitSpec, ModelSource, Ref
from kdray.errors import BadInput
from kdray.methods import FineTune
from kdray.models import resolve_encoder
from kdray.stages.context import Context
from kdray.stages.corpus import opened, read
from kdray.stages.fitting import fitted, resolved
from kdray.store import Artifact
from kdray.teachers import TeacherSettings


def teach(settings: TeacherSettings, corpus: Artifact, context: Context) -> Artifact:
    """The fine-tuned teacher: an ordinary Hugging Face folder `model` and `result.json`.

    Raises:
        BadInput: The corpus lacks a class that the teacher shall learn.
    """
    task = opened(corpus).task
    if unknown := sorted(set(settings.classes) - set(task.labels)):
        raise BadInput(f"teacher {settings.name!r}: {task.name} has no class {unknown[0]!r}, only {list(task.labels)}.")
    source = _source(settings, task.labels, context)
    spec = FitSpec(
        store=context.store.uri,
        digest="",
        title=f"teach {task.name}/{settings.name}",
        corpus=Ref.to(corpus),
        labels=settings.classes or task.labels,
        model=source,
        method=FineTune().model_dump(),
        train=resolved(settings.train),
        fixed=settings.fine_tuned,
    )
    return fitted("teach", f"{task.name}-{settings.name}", spec, context)


def _source(settings: TeacherSettings, labels: tuple[str, ...], context: Context) -> ModelSource:
    encoder = resolve_encoder(settings.encoder).name
    if settings.init_from is None:
        return ModelSource(encoder=encoder, layers=settings.layers, classes_from_elsewhere=settings.fine_tuned)
    between = settings.init_from
    corpus = read(CorpusSettings.model_validate(between.corpus), context)
    task = opened(corpus).task
    spec = FitSpec(
        store=context.store.uri,
        digest="",
        title=f"teach {task.name}/{settings.encoder} (before {'/'.join(labels)})",
        corpus=Ref.to(corpus),
        labels=labels,
        merge=dict(between.merge),
        model=ModelSource(encoder=encoder, layers=settings.layers),
        method=FineTune().model_dump(),
        train=resolved(between.train),
    )
    name = f"{task.name}-{re.sub('[^A-Za-z0-9.]+', '-', settings.encoder).strip('-')}"  # shared by all teachers from it
    return ModelSource(artifact=Ref.to(fitted("teach", name, spec, context)))

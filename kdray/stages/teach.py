"""Stage `teach`: fine-tune one teacher, after an intermediate task if it has one."""

import re
from collections.abc import Sequence

from kdray.corpora import CorpusSettings, StoredTask
from kdray.distillation import FitSpec, ModelSource, Ref
from kdray.methods import FineTune, JointFineTuning
from kdray.models import resolve_encoder, transformer_for
from kdray.stages.context import Context
from kdray.stages.corpus import load_stored, read
from kdray.stages.train_stage import resolve_training, trained_artifact
from kdray.stages.validate_run import check_classes
from kdray.store import Artifact
from kdray.tasks import get_task
from kdray.teachers import TeacherSettings


def teach(settings: TeacherSettings, corpus: Artifact, context: Context) -> Artifact:
    """The fine-tuned teacher: an ordinary Hugging Face folder `model` and `result.json`.

    Raises:
        ConfigError: The corpus lacks a class that the teacher shall learn.
    """
    task = load_stored(corpus).task
    check_classes(settings, task)
    source = _source(settings, task, context)
    spec = FitSpec(
        store=context.store.uri,
        digest="",
        title=f"teach {task.name}/{settings.name}",
        corpus=Ref.to(corpus),
        labels=settings.classes or task.labels,
        model=source,
        method=FineTune(),
        train=resolve_training(settings.train),
        evaluate_only=settings.fine_tuned,
    )
    return trained_artifact("teach", f"{task.name}-{settings.name}", spec, context)


def teach_together(every: Sequence[TeacherSettings], corpus: Artifact, context: Context) -> dict[str, Artifact]:
    """Teachers that were fine-tuned at once under one head, by name; each is an artifact like those of `teach`.

    Raises:
        ConfigError: No head or no tokenizer fits all.
    """
    task, names = load_stored(corpus).task, [settings.name for settings in every]
    train = resolve_training(every[0].train)
    sources = [_source(settings, task, context) for settings in every]
    spec = FitSpec(
        store=context.store.uri,
        digest="",
        title=f"teach {task.name}/{'+'.join(names)}",
        corpus=Ref.to(corpus),
        labels=task.labels,
        model=sources[0],
        joint_with=tuple(sources[1:]),
        method=JointFineTuning(models=len(every)),
        train=train,
    )
    joint = trained_artifact("teach", f"{task.name}-{'-'.join(names)}", spec, context)
    return {
        name: trained_artifact(
            "teach",
            f"{task.name}-{name}",
            FitSpec(
                store=context.store.uri,
                digest="",
                title=f"teach {task.name}/{name} of {'+'.join(names)}",
                corpus=Ref.to(corpus),
                labels=task.labels,
                model=ModelSource(artifact=Ref.to(joint), member_index=number),
                method=FineTune(),
                train=train,
                evaluate_only=True,
            ),
            context,
        )
        for number, name in enumerate(names)
    }


def _source(settings: TeacherSettings, task: StoredTask, context: Context) -> ModelSource:
    encoder = resolve_encoder(settings.encoder).name
    if settings.init_from is None:
        architecture, has_head = transformer_for(get_task(task.kind)), settings.fine_tuned
        return ModelSource(architecture=architecture, encoder=encoder, layers=settings.layers, pretrained_head=has_head)
    between, labels = settings.init_from, task.labels
    corpus = read(CorpusSettings.model_validate(between.corpus), context)
    other = load_stored(corpus).task
    spec = FitSpec(
        store=context.store.uri,
        digest="",
        title=f"teach {other.name}/{settings.encoder} (before {'/'.join(labels)})",
        corpus=Ref.to(corpus),
        labels=labels,
        label_map=dict(between.label_map),
        model=ModelSource(encoder=encoder, layers=settings.layers),
        method=FineTune(),
        train=resolve_training(between.train),
    )
    # shared by all teachers from it
    name = f"{other.name}-{re.sub('[^A-Za-z0-9.]+', '-', settings.encoder).strip('-')}"
    return ModelSource(artifact=Ref.to(trained_artifact("teach", name, spec, context)))

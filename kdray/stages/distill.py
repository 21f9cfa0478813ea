"""Stage `distill`: one student."""

from typing import Any

from kdray.config import RunConfig
from kdray.distillation import FitSpec, ModelSource, Ref, TeacherRef
from kdray.methods import FineTune
from kdray.models import resolve_encoder, transformer_for
from kdray.stages.assistant import assist, assistant_depths
from kdray.stages.context import Context
from kdray.stages.corpus import load_stored
from kdray.stages.outputs import mc_dropout_outputs, outputs_on_view
from kdray.stages.prepare import Prepared
from kdray.stages.train_stage import resolve_training, trained_artifact
from kdray.store import Artifact
from kdray.tasks import Task, get_task

# settings of a student that are its source's, too
SHAPE = ("vocabulary", "width", "heads", "intermediate", "weights", "embedding_rank")


def distill(run: RunConfig, prepared: Prepared, context: Context, *, stage: str = "distill") -> Artifact:
    """The student of this run: an ordinary Hugging Face folder `model` and `result.json`.

    Args:
        stage: Where it lies in the store; the same settings under another name are trained again.

    Raises:
        ConfigError: The method cannot work with this student and these teachers.
    """
    task = load_stored(prepared.corpus).task
    assistant = assistant_of(run, prepared, context)
    teachers = tuple(prepared.teachers[: run.method.max_teachers])
    model = _source(run, prepared, assistant, get_task(task.kind))
    helper = assistant if run.method.uses_assistant else None
    pruned_corpus, read = prepared.pruned_corpus, _read_by_teachers(run, prepared)
    if read is not prepared.corpus:
        teachers = tuple(outputs_on_view(teacher, read, context) for teacher in teachers)
        helper = outputs_on_view(helper, read, context) if helper else None
    if passes := run.method.dropout_passes:
        teachers = tuple(mc_dropout_outputs(teacher, read, context, passes=passes) for teacher in teachers)
    spec = FitSpec(
        store=context.store.uri,
        digest="",
        title=f"distill {task.name}/{run.method.label} seed {run.train.seed}",
        corpus=Ref.to(prepared.corpus),
        pruned_corpus=Ref.to(pruned_corpus) if pruned_corpus else None,
        labels=task.labels,
        model=model,
        method=run.method,
        teachers=teachers,
        assistant=helper,
        access=run.outputs.access,
        teacher_view="full" if read is prepared.corpus else "pruned",
        train=resolve_training(run.train),
    )
    return trained_artifact(stage, f"{task.name}-{run.method.label}", spec, context)


def no_kd_baseline(run: RunConfig) -> RunConfig:
    """The same student without a teacher: its layers, from the encoder they stem from, whole texts, hard labels."""
    encoder = run.student_encoder if run.student.is_transformer else run.student.encoder
    student = run.student.model_copy(update={"init_from": "encoder", "encoder": encoder})
    prune = type(run.prune).model_validate({"policy": "none"})
    return run.model_copy(update={"student": student, "method": FineTune(), "prune": prune})


def assistant_of(run: RunConfig, prepared: Prepared, context: Context) -> TeacherRef | None:
    """The last of the assistants that the method of this run needs, made if missing; None if it needs none."""
    if not run.method.uses_assistant:
        return None
    nearest = prepared.teachers[0]
    for depth in assistant_depths(run, teacher=nearest.info.layers):
        nearest = assist(run, corpus=prepared.corpus, teacher=nearest, depth=depth, context=context)
    return nearest


def _read_by_teachers(run: RunConfig, prepared: Prepared) -> Artifact:
    """The pruned texts, if the run sets them; the level `row` drops rows and leaves texts as they are."""
    pruned_corpus = prepared.pruned_corpus
    if pruned_corpus is None or run.outputs.teacher_view == "full" or pruned_corpus.summary["level"] == "row":
        return prepared.corpus
    return pruned_corpus


def _source(run: RunConfig, prepared: Prepared, assistant: TeacherRef | None, task: Task) -> ModelSource:
    student = run.student
    layers = student.layers if student.is_transformer else None
    architecture = transformer_for(task) if student.is_transformer else student.architecture
    shape: dict[str, Any] = {"architecture": architecture, "layers": layers, "init": student.init}
    shape |= {name: getattr(student, name) for name in SHAPE}
    if student.init_from == "encoder":
        return ModelSource(encoder=resolve_encoder(run.student_encoder).name, **shape)
    origin = prepared.teachers[0] if student.init_from == "teacher" else assistant
    assert origin is not None, "RunConfig refuses init_from = assistant without one"
    return ModelSource(artifact=origin.trained, **shape)

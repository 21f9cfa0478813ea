"""Any training as an artifact: the digest of what decides its result, the job, and what the job left."""

import json
from collections.abc import Mapping
from typing import Any

from kdray.distillation import FitSpec, ModelSource
from kdray.models import TRANSFORMER, Fitted, WordNetwork, resolve_precision
from kdray.stages.context import Context
from kdray.stages.corpus import load_stored
from kdray.store import Artifact, Draft, digest_of, file_sha256
from kdray.train import TrainSettings


def resolve_training(train: TrainSettings) -> TrainSettings:
    """The settings with `precision: auto` decided for this hardware."""
    return train.model_copy(update={"precision": resolve_precision(train.precision)})


def trained_artifact(stage: str, name: str, spec: FitSpec, context: Context) -> Artifact:
    """The trained model of `spec` (whose digest is filled in here), trained if it is missing."""
    settings, inputs = _settings(spec, workers=context.engine.training_workers), _inputs(spec)
    whole = spec.model_copy(update={"digest": digest_of(stage, settings=settings, inputs=inputs)})

    def build(draft: Draft) -> Mapping[str, Any]:
        task = load_stored(spec.corpus.open(context.store)).task
        context.engine.fit(whole.model_copy(update={"outside": task.outside}))
        context.store.work(whole.digest).take_result(draft.folder)
        return _summary(json.loads(draft.file("result.json").read_text()))

    artifact = context.make(stage, name, settings=settings, inputs=inputs, build=build)
    context.store.work(whole.digest).clear()
    return artifact


def result_of(artifact: Artifact) -> dict[str, Any]:
    """The document of a training: metrics, history, seconds, cost."""
    return json.loads(artifact.file("result.json").read_text())


def _settings(spec: FitSpec, *, workers: int) -> dict[str, Any]:
    plain = spec.model_dump(mode="json", include={"labels", "label_map", "method", "access", "train", "evaluate_only"})
    plain["method"]["name"] = spec.method.identity
    if plain["method"].get("temperature_end", 0) is None:  # so that students of one temperature keep their digests
        del plain["method"]["temperature_end"]
    # how often checkpoints are saved changes no result
    plain["train"].pop("checkpoint_steps")
    if plain["train"]["balance"] == "rows":  # so that trainings of other corpora keep their digests
        del plain["train"]["balance"]
    if isinstance(spec.model.architecture, Fitted):  # nothing else of them counts where no steps are taken
        plain["train"] = {name: plain["train"][name] for name in ("max_length", "precision", "seed")}
    if spec.teacher_view == "pruned":  # only then, so that students of whole texts keep their digests
        plain["teacher_view"] = "pruned"
    if workers > 1 and not spec.evaluate_only:  # each worker draws dropout of its own
        plain["workers"] = workers
    if spec.joint_with:
        plain["joint_with"] = [_shape(source) for source in spec.joint_with]
    return plain | {"model": _shape(spec.model)}


def _shape(source: ModelSource) -> dict[str, Any]:
    plain = source.model_dump(mode="json", include={"layers", "init"})
    if source.vocabulary == "trim":
        plain["vocabulary"] = "trim"
    if not source.narrow.is_idle:
        plain |= source.model_dump(mode="json", include={"width", "heads", "intermediate", "weights"})
    if source.embedding_rank is not None:  # only then, so that other narrower students keep their digests
        plain["embedding_rank"] = source.embedding_rank
    architecture = source.architecture
    if architecture == TRANSFORMER:
        return plain
    files = {setting: file_sha256(file) for setting, file in architecture.files.items()}
    own = {**architecture.model_dump(mode="json"), "name": architecture.identity, **files}
    if isinstance(architecture, WordNetwork) and architecture.units == "tokens":  # so that these keep their digests
        own = {name: value for name, value in own.items() if name not in ("units", "vocabulary", "min_rows")}
    return plain | {"architecture": own}


def _inputs(spec: FitSpec) -> dict[str, str]:
    inputs = {"corpus": spec.corpus.digest, "model": spec.model.digest()}
    inputs |= {f"model{number}": source.digest() for number, source in enumerate(spec.joint_with, start=1)}
    if spec.pruned_corpus:
        inputs["view"] = spec.pruned_corpus.digest
    for number, teacher in enumerate(spec.teachers):
        inputs[f"teacher{number}"] = teacher.outputs.digest
        if teacher.dropout_outputs:
            inputs[f"teacher{number} with dropout"] = teacher.dropout_outputs.digest
    if spec.assistant:
        inputs["assistant"] = spec.assistant.outputs.digest
    return inputs


def _summary(result: Mapping[str, Any]) -> dict[str, Any]:
    metric = result["metric"]
    scores = {split: round(values[metric], 4) for split, values in result["metrics"].items()}
    return {
        "metric": metric,
        "scores": scores,
        "shown": ", ".join(f"{split} {metric} {value:.4f}" for split, value in scores.items()),
        "layers": result["cost"]["layers"],
        "epochs": len(result["history"]),
    }

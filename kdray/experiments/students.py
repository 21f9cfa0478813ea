"""One student of an experiment, distilled in this process."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kdray import origin
from kdray.config import RunConfig, merge, parse
from kdray.distillation import Ref, TeacherRef
from kdray.experiments.reported import BUDGET, VALUE
from kdray.methods import sources_of
from kdray.origin import Source, define
from kdray.records import Settings
from kdray.stages import Context, InProcess, Prepared, assistant_of, distill, with_pruning
from kdray.stages.corpus import load_stored
from kdray.stages.train_stage import result_of
from kdray.store import Artifact, Store
from kdray.tasks import best_of

SOURCES = "sources"  # next to the sections of a run's settings, on their way to a worker


class Shared(Settings):
    """What all students of one sweep have in common, by its place in the store."""

    corpus: Ref
    teachers: tuple[TeacherRef, ...]
    sources: tuple[Source, ...]

    @staticmethod
    def of(prepared: Prepared) -> "Shared":
        """With the sources of the corpus's task and metrics, where these are from outside of kdray.

        Raises:
            ConfigError: One has no source that a worker could import.
        """
        sources = tuple(origin.sources_of(load_stored(prepared.corpus).task.outside))
        return Shared(corpus=Ref.to(prepared.corpus), teachers=tuple(prepared.teachers), sources=sources)


def sendable(run: RunConfig) -> dict[str, Any]:
    """The settings of a run for `distill_one` in another process, with the source of what is from outside of kdray.

    Raises:
        ConfigError: A class has no source that a worker could import.
    """
    assistant = run.assistant
    others = [run.prune.policy, run.prune.splitter, run.student.architecture, assistant.architecture]
    sources = [*sources_of(run.method, assistant.method), *origin.sources_of(others)]
    return run.model_dump(mode="json") | {SOURCES: [source.model_dump() for source in sources]}


def distill_one(plain: dict[str, Any], shared: Shared, report: Any, *, stage: str = "distill") -> Artifact:
    """Distill one student of settings from `sendable`, anywhere that sees the store; needs no corpus files.

    Args:
        stage: Another name makes another student of the same settings.
    """
    define([*shared.sources, *(Source.model_validate(source) for source in plain[SOURCES])])
    run = parse({key: value for key, value in plain.items() if key != SOURCES}, source="trial")
    store = Store(run.store)
    context = Context(store, InProcess(), data_dir=None, is_trial=True)
    prepared = with_pruning(run, shared.corpus.open(store), shared.teachers, context)
    assistant_of(run, prepared, context)  # before the student, so that its epochs are not reported as the trial's
    return distill(run, prepared, replace(context, engine=InProcess(report)), stage=stage)


def result_of_job(job: tuple[dict[str, Any], Shared, str]) -> dict[str, Any]:
    """What `Engine.run_many` calls for a student: settings from `sendable`, what is shared, and the stage."""
    plain, shared, stage = job
    return result_of(distill_one(plain, shared, lambda epoch: None, stage=stage))


def run_trial(
    config: dict[str, Any],
    report: Callable[[dict[str, Any]], None],
    *,
    base: dict[str, Any],
    shared: Shared,
    epochs: int,
    higher_is_better: bool,
) -> None:
    """Distill the student of one trial, with a report after each epoch.

    Args:
        config: Number and overrides, from `StudyTrials.start`.
        report: Called with the best score so far; the last call, of budget `epochs + 1`, has the finished student's.
        base: The run that the overrides change, from `sendable`.
    """
    scores: list[float] = []

    def scored(epoch: dict[str, Any]) -> None:
        if not epoch["scored"]:  # a phase before the student's own; its score has no meaning yet
            return
        scores.append(epoch["score"])
        best = best_of(scores, higher_is_better=higher_is_better)
        report({BUDGET: len(scores), VALUE: best, "loss": epoch["loss"], "epochs": epoch["epoch"]})

    artifact = distill_one(merge(base, config["overrides"]), shared, scored)
    result = result_of(artifact)
    metric = result["metric"]
    report(
        {
            BUDGET: epochs + 1,
            VALUE: result["metrics"]["validation"][metric],
            "test": result["metrics"]["test"][metric],
            "digest": artifact.digest,
            "latency": result["cost"]["latency_ms"],
            "parameters": result["cost"]["parameters"],
            "epochs": len(result["history"]),
            "loss": result["history"][-1]["loss"],
            "history": [
                {
                    "epoch": e["epoch"],
                    "value": e["score"],
                    "standard_error": e.get("standard_error"),
                    "loss": e["loss"],
                }
                for e in result["history"]
            ],
        }
    )

"""Trials of a finished or stopped search: train one of them again, or take the student of the best."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from kdray.api.given import chosen_engine
from kdray.api.stores import existing_store
from kdray.corpora import kdray_data
from kdray.engines.choice import EngineChoice
from kdray.errors import ConfigError
from kdray.experiments.replay import past_trial, retrain, student_of, sweeps_in
from kdray.export.bundle import write_saved
from kdray.export.folder import new_folder
from kdray.export.trained import FILE, TrainedModel, parts_of
from kdray.report import winner_on_seeds
from kdray.results import SweepResult, parse_result
from kdray.stages import Context
from kdray.store import Store


def sweeps_of(store: str) -> list[str]:
    """The names of the searches in a store.

    Raises:
        ConfigError: The store does not exist.
    """
    return sweeps_in(existing_store(store))


def run_trial(
    sweep: str, number: int, *, store: str, storage: str | None = None, engine: EngineChoice | None = None
) -> dict[str, Any]:
    """Train one trial again with the settings in the study; returns its scores and the recorded one.

    Args:
        sweep: Name of the search.
        storage: URL of the study's database, if the search has one.

    Raises:
        ConfigError: There is no such search or trial.
    """
    opened = existing_store(store)
    past = past_trial(opened, sweep, number, storage=storage)  # refused before an engine starts
    with chosen_engine(engine).start(past.run.work) as running:
        result = retrain(past, Context(opened, running, kdray_data()))
    metric = result["metric"]
    return {
        "sweep": sweep,
        "metric": metric,
        "trial": number,
        "state": past.state,
        "recorded validation": past.value,
        "validation": result["metrics"]["validation"][metric],
        "test": result["metrics"]["test"][metric],
        "settings": past.run.model_dump(mode="json"),
    }


def _verdict(store: Store, sweep: str) -> str:
    """The winner on further seeds and against the no-KD baseline; empty where the search has not ended."""
    document = store.read_json(f"sweeps/{sweep}/result.json")
    found = None if document is None else parse_result(document)
    return f"Chosen by the sweep `{sweep}`. {winner_on_seeds(found)}" if isinstance(found, SweepResult) else ""


def best_trial(
    sweep: str, *, store: str, storage: str | None = None, export: Path | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """The best finished trial; saves its student in `export`, as `Student.save` does, if given.

    Raises:
        ConfigError: There is no such search, or the folder exists already (with `overwrite`: and is no saved student).
    """
    if overwrite and export is None:
        raise ConfigError("--overwrite replaces the folder of --export; give --export DIR, or leave it out.")
    opened = existing_store(store)
    past = past_trial(opened, sweep, None, storage=storage)
    student = student_of(past, opened)
    if export is not None:
        with new_folder(export, f"--export {export}", mark=FILE, overwrite=overwrite) as draft:
            model = TrainedModel(*parts_of(student, opened))
            verdict = _verdict(opened, sweep)
            model = replace(model, result={**model.result, "verdict": verdict})
            write_saved(model, draft, corpus=model.corpus)
            with (draft / "README.md").open("a", encoding="utf-8") as card:
                card.write(f"\n{verdict}\n" if verdict else "")
    folder = export or (student.file("model") if opened.is_local else opened.uri_of(student.place("model")))
    return {
        "sweep": sweep,
        "trial": past.number,
        "validation": past.value,
        "method": past.run.method.name,
        "student": str(folder),
        "settings": past.run.model_dump(mode="json"),
    }

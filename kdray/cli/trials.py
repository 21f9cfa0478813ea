"""`kdray trial SWEEP N` and `kdray best SWEEP`: retrain one trial of a sweep, or export the best one."""

import shutil
from pathlib import Path
from typing import Any

from kdray.cli.show import table
from kdray.corpora import kdray_data
from kdray.engines.ray.access import check_access
from kdray.engines.ray.session import check_address, session
from kdray.errors import ConfigError
from kdray.store import Store


def run_trial(
    sweep: str,
    number: int,
    *,
    store: str,
    storage: str | None,
    address: str | None,
    quiet: bool,
    allow_network: bool = False,
) -> dict[str, Any]:
    """Retrain one trial with the settings in the study, and print its metric and the recorded one."""
    from kdray.experiments.replay import past_trial, retrain

    check_access(address, allow_network=allow_network)
    check_address(address)
    opened = Store(store)
    past = past_trial(opened, sweep, number, storage=storage)  # refused before Ray starts
    with session(address, allow_network=allow_network):
        from kdray.engines.ray.engine import OnRay
        from kdray.stages import Context

        result = retrain(past, Context(opened, OnRay(past.run.work), kdray_data()))
    metric = result["metric"]
    row = {
        "trial": number,
        "state": past.state,
        "recorded validation": past.value,
        "validation": result["metrics"]["validation"][metric],
        "test": result["metrics"]["test"][metric],
    }
    if not quiet:
        print(table([row]))
    return {"sweep": sweep, "metric": metric, **row, "settings": past.run.model_dump(mode="json")}


def export_best(sweep: str, *, store: str, storage: str | None, export: Path | None, quiet: bool) -> dict[str, Any]:
    """The best finished trial; copies its student's Hugging Face folder to `export` if given.

    Raises:
        ConfigError: The folder exists already.
    """
    from kdray.experiments.replay import past_trial, student_of

    opened = Store(store)
    past = past_trial(opened, sweep, None, storage=storage)
    student = student_of(past, opened)
    if export is not None:
        if export.exists():
            raise ConfigError(f"--export {export}: the folder exists already; give another one.")
        temporary = export.with_name(f".{export.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(student.file("model"), temporary)
        temporary.rename(export)
    folder = export or (student.file("model") if opened.is_local else opened.uri_of(student.place("model")))
    row = {"trial": past.number, "validation": past.value, "method": past.run.method.name, "student": str(folder)}
    if not quiet:
        print(table([row]))
    return {"sweep": sweep, **row, "settings": past.run.model_dump(mode="json")}

"""Predictions for a folder of files, each by itself: a stopped command continues with the other files."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kdray.corpora.lines import ending
from kdray.engines.base import Engine
from kdray.errors import ConfigError, one_of, plural
from kdray.serve.files import WRITERS, Counts, Options, predict_file
from kdray.serve.loading import open_scorer
from kdray.serve.scorer import Scorer
from kdray.store import file_sha256

log = logging.getLogger(__name__)

RECORD = "kdray-predict.json"  # of the model and options that made the files of a folder
WEIGHTS = ("*.onnx", "*.onnx.data", "*.safetensors", "bundle.json", "kdray.json", "config.json", "tokenizer.json")


@dataclass(frozen=True)
class Job:
    """One file."""

    model: Path
    source: Path
    target: Path
    options: Options
    threads: int


def predict_folder(
    model: Path,
    source: Path,
    target: Path,
    options: Options,
    engine: Engine,
    *,
    suffix: str | None,
    cpus: int,
    gpus: float,
) -> dict[str, Counts]:
    """Write predictions for every file of a folder; files that are there already are kept.

    Args:
        target: A folder; it may hold files of an earlier call with the same model and options.
        suffix: Of the files that are written; None: of each file's own kind.
        cpus: Processors, and threads, for one file.

    Returns:
        The counts of each file that was written now, by its name.

    Raises:
        ConfigError: The folder has no file to read, or `target` holds predictions of another model or options.
    """
    sources = sorted(path for path in source.iterdir() if ending(path) in WRITERS and path.is_file())
    if not sources:
        raise ConfigError(f"{source} has no file that ends in {one_of(WRITERS)}.")
    targets = [target / (path.stem + (suffix or path.suffix)) for path in sources]
    if len(set(targets)) < len(targets):
        raise ConfigError(f"{source} has two files of one name that differ in their suffix only; rename one.")
    _record(model, dict(zip(targets, sources, strict=True)), target, options)
    jobs = [  # absolute, because workers have another working folder than this process
        Job(model.absolute(), path.absolute(), made.absolute(), options, cpus)
        for path, made in zip(sources, targets, strict=True)
        if not made.exists()
    ]
    if len(jobs) < len(sources):
        log.info("%d of %d files have predictions already", len(sources) - len(jobs), len(sources))
    titles = [f"predict {job.source.name}" for job in jobs]
    ended = engine.run_many(jobs, predicted, titles=titles, cpus=cpus, gpus=gpus)
    found: dict[str, Counts] = {}
    faults: list[str] = []
    for number, counts in ended:
        if isinstance(counts, str):
            faults.append(counts)
            continue
        found[jobs[number].target.name] = counts
        log.info("%s: %s, %d rejected", jobs[number].target, plural(counts.rows, "row"), counts.rejected)
    if faults:  # the other files have their predictions
        several = f"{len(faults)} of {len(jobs)} files have no predictions. " if len(jobs) > 1 else ""
        raise ConfigError(several + " ".join(dict.fromkeys(faults)))
    return found


def predicted(job: Job) -> Counts | str:
    """Of one file, or what is wrong with it; a process loads its model once."""
    try:
        return predict_file(_loaded(job.model, job.threads), job.source, job.target, job.options)
    except ConfigError as error:
        return str(error)


@cache
def _loaded(model: Path, threads: int) -> Scorer:
    return open_scorer(model, threads=threads)


def _record(model: Path, sources: Mapping[Path, Path], target: Path, options: Options) -> None:
    """Write down what the predictions are made from, before they are made; what is there must be of the same."""
    wanted: dict[str, Any] = {"model": _digest(model), "options": asdict(options)}
    files = {path.name: file_sha256(source) for path, source in sources.items()}
    path = target / RECORD
    known: dict[str, str] = {}
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        known = found.pop("files")
        if found != wanted:
            raise ConfigError(f"{target} holds predictions of another model or with other options; give a new folder.")
    else:
        target.mkdir(parents=True, exist_ok=True)
        if others := _names(target):
            raise ConfigError(f"{target} holds other files ({others}); give a new folder.")
    for name, digest in files.items():
        if (target / name).exists() and known.get(name) != digest:
            raise ConfigError(
                f"{target / name} has predictions of an earlier version of its file; remove it, or give a new folder."
            )
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(wanted | {"files": known | files}) + "\n", encoding="utf-8")
    draft.replace(path)


def _names(folder: Path) -> str:
    names: Sequence[str] = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:3])


def _digest(model: Path) -> dict[str, str]:
    files = {path for pattern in WEIGHTS for path in model.glob(pattern)}
    return {path.name: file_sha256(path) for path in sorted(files)}

"""Use a finished classifier: `predict_files` for files and folders, `serve` over HTTP."""

import os
from collections.abc import Mapping
from pathlib import Path

from kdray.api.given import chosen_engine
from kdray.config import WorkSettings
from kdray.engines.choice import EngineChoice, Local
from kdray.errors import ConfigError
from kdray.serve.files import Counts, Options, predict_file
from kdray.serve.folders import predict_folder
from kdray.serve.loading import check_model, open_scorer
from kdray.serve.settings import ServeSettings


def predict_files(
    model: str | Path,
    source: str | Path,
    out: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    abstain_below: float | None = None,
    suffix: str | None = None,
    threads: int = 0,
    engine: EngineChoice | None = None,
) -> dict[str, Counts]:
    """Predict the rows of a file, or of every file in a folder; the other columns are kept.

    Files are read and written in parts, so they may be larger than memory. Rows without a readable text are left out
    and listed in `<file>.rejected.jsonl` with the reason. Of a folder, files that have predictions already are kept,
    so the same call continues after a stop.

    Args:
        model: An ONNX bundle, a folder of `Student.save`, of a student in a store, or of transformers.
        source: A file .parquet, .csv or .jsonl, or a folder of such files. Lists of tokens, of a model that tags
            these, are in .parquet or .jsonl; the columns `tags` and `entities` are added.
        out: A new file, or a folder.
        columns: The column of each text of the model, such as `{"text": "review"}`.
        abstain_below: Rows of lower confidence get no prediction.
        suffix: Of the files in the folder `out`; None: of each file's own kind.
        threads: Of one prediction; 0 takes all processors (one for each file on Ray).
        engine: Where the files of a folder are worked on: `engines.Local()` (the default) or `engines.Ray()`.

    Returns:
        Counts of rows, rejected, abstained and truncated ones, by the name of the file that was written.

    Raises:
        ConfigError: The model or a file cannot be used, or would be replaced.

    >>> import kdray as kd
    >>> from kdray.models import NaiveBayes
    >>> data = kd.Dataset.load("sample", limit=100)
    >>> folder = kd.distill(None, data, student=NaiveBayes()).save("a-student")
    >>> data.to_pandas("test").head(3).to_csv("new.csv", index=False)
    >>> predict_files(folder, "new.csv", "labels.csv")["labels.csv"].rows
    3
    """
    if abstain_below is not None and not 0 <= abstain_below <= 1:
        raise ConfigError(f"abstain_below = {abstain_below:g}: it must be 0 to 1.")
    if threads < 0:
        raise ConfigError(f"threads = {threads}: it must be 0 or more.")
    options, on = Options(dict(columns or {}), abstain_below), chosen_engine(engine)
    check_model(model)
    place, rows, target = (Path(each).expanduser() for each in (model, source, out))
    if not rows.is_dir():
        if suffix is not None:
            raise ConfigError(f"suffix = {suffix}: {source} is one file; give the name of the new file its suffix.")
        if not isinstance(on, Local):
            raise ConfigError(f"{source} is one file: Ray shares the files of a folder; leave the engine out.")
        return {target.name: predict_file(open_scorer(place, threads=threads), rows, target, options)}
    cpus = threads or (os.cpu_count() or 1 if isinstance(on, Local) else 1)
    with on.start(WorkSettings()) as running:
        return predict_folder(place, rows, target, options, running, suffix=suffix, cpus=cpus, gpus=0)


def serve(
    model: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    threads: int = 0,
    settings: ServeSettings | None = None,
) -> None:
    """Serve a classifier over HTTP until the process gets a signal to stop.

    Args:
        model: As of `predict_files`.
        host: An address to listen on; on another than loopback, callers must give the token that is printed, or that
            the variable KDRAY_SERVE_TOKEN holds.
        workers: Processes; one that dies is replaced.
        threads: Of one prediction; 0 takes all processors.
        settings: Limits of requests and batches.

    Raises:
        ConfigError: The model or an argument cannot be used, or a package is missing.
    """
    from kdray.serve.server import run

    run(str(model), host=host, port=port, workers=workers, threads=threads, settings=settings or ServeSettings())

"""A bundle: a folder with a model and everything it needs to run, compared with the model it came from."""

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

import kdray
from kdray.distillation.card import training_of
from kdray.errors import ConfigError, RunError
from kdray.export import predict
from kdray.export.calibration import calibration
from kdray.export.card import bundle_card
from kdray.export.evidence import Evidence
from kdray.export.folder import new_folder
from kdray.export.graph import check_installed, inputs_of, write_graph
from kdray.export.machine import machine, runtime_versions
from kdray.export.proof import (
    EQUAL_LABELS,
    Agreement,
    Expected,
    agreement,
    compare,
    expected,
    fault_of_fp32,
    fault_of_int8,
    joined,
)
from kdray.export.quantize import Attempt, attempts
from kdray.export.trained import FILE, TrainedModel, digest_of
from kdray.models import architecture_of, check_export
from kdray.origin import shown
from kdray.pruning import Pruner, importance, sentences
from kdray.pruning.splitters import RULES
from kdray.store import file_sha256
from kdray.tasks import TASKS

log = logging.getLogger(__name__)

Format = Literal["hf", "onnx", "onnx-int8"]
FORMATS: tuple[str, ...] = get_args(Format)
TOLERANCE = 0.5  # points of the metric that int8 may lose
SAMPLE_ROWS = 32  # that measure how sensitive a node is
CALIBRATION_BATCH = 8
HF_ROWS = 64  # that transformers.pipeline is compared on

DOCKERFILE = """FROM python:3.12-slim
WORKDIR /bundle
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
USER nobody
ENTRYPOINT ["python", "predict.py"]
"""


def export_bundle(
    model: TrainedModel,
    out: Path,
    *,
    format: Format = "onnx",
    evidence: Evidence,
    tolerance: float = TOLERANCE,
    reduce_range: bool | None = None,
    calibrate: bool = False,
    abstain_below: float | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a bundle into a folder, which appears only if the export agrees with its model.

    Args:
        evidence: Rows to compare on.
        tolerance: Points (hundredths) of the corpus's first metric that int8 may lose.
        reduce_range: 7-bit weights for processors that saturate int8; None: where this one has no VNNI.
        calibrate: Divide logits by the temperature of the smallest log-loss on the rows.
        abstain_below: Rows of lower confidence get no label.
        overwrite: Replace a bundle.

    Returns:
        What `bundle.json` holds.

    Raises:
        ConfigError: The folder exists (with `overwrite`: and is no bundle), the format is unknown, a package is
            missing, or the model cannot be exported.
        RunError: The export does not agree with the model.
    """
    if format not in FORMATS:
        raise ConfigError(f"format {format!r} is unknown; known are {', '.join(FORMATS)}.")
    if not 0 <= tolerance <= 100:
        raise ConfigError(f"tolerance = {tolerance:g} is out of range; allowed are 0 to 100 points.")
    _refuse_splitter(model.pruner)
    _check_scores(model.reading.task, format, calibrate=calibrate, abstain_below=abstain_below)
    if format != "hf":
        check_installed()
        _refuse_own_task(model.reading.task)
    rows = f"{len(evidence.targets):,} {evidence.source}"
    with new_folder(out, str(out), mark="bundle.json", overwrite=overwrite) as draft:
        log.info("export %s: makes the format %s and compares it with the model on %s", out, format, rows)
        about = _about(model, format, evidence.source)
        loaded = model.load_model()
        wanted = expected(model, loaded, evidence)
        if format == "hf":
            architecture = architecture_of(loaded[0])
            about |= {"usage": architecture.usage, "pipeline_tag": architecture.pipeline}
            about["proof"] = _write_hf(model, wanted, draft).plain()
        else:
            _write_runtime(model, loaded[1], draft)
            proof = _write_onnx(model, loaded, about, wanted, draft)
            if format == "onnx-int8":
                proof, about["int8"] = _write_int8(model, wanted, draft, tolerance, reduce_range)
            about["proof"] = proof.plain()
        if calibrate:
            about["calibration"] = calibration(wanted.logits, evidence.targets, model.reading.task)
            about["temperature"] = about["calibration"]["temperature"]
        if abstain_below is not None:
            about["abstain_below"] = float(abstain_below)
        shutil.rmtree(draft / "__pycache__", ignore_errors=True)  # of the pruner's modules, which the proof imported
        about = _write_about(draft, about)
        (draft / "README.md").write_text(bundle_card(about), encoding="utf-8")
    return about


def _refuse_splitter(pruner: Pruner | None) -> None:
    splitter = RULES if pruner is None else shown(pruner.settings.splitter)
    if splitter != RULES:
        raise ConfigError(
            f"the model was trained on texts that prune.splitter = {splitter} cut into sentences, but bundles cut "
            "texts by kdray's own rules only; train it with prune.splitter=rules."
        )


def _check_scores(task: str, format: Format, *, calibrate: bool, abstain_below: float | None) -> None:
    """Refuse a temperature and a threshold that would have no effect."""
    if format == "hf" and (calibrate or abstain_below is not None):
        raise ConfigError(
            "a folder of transformers has no place for a temperature or a threshold; take the format onnx or "
            "onnx-int8, or leave out --calibrate and --abstain-below."
        )
    if abstain_below is None:
        return
    if task != "single_label":
        raise ConfigError(f"--abstain-below needs rows of one class each, but the task is {task}; leave it out.")
    if not 0 <= abstain_below <= 1:
        raise ConfigError(f"--abstain-below {abstain_below:g}: it must be 0 to 1.")


def write_drafts(model: TrainedModel, place: Path, formats: Sequence[Format]) -> dict[Format, Path]:
    """Bundles whose weights do not matter, of a model that need not be trained, to time them. Nothing is compared.

    int8 is the first of the ways to quantize.

    Args:
        place: A folder; each format gets one of its name in it.
        formats: Of `onnx` and `onnx-int8`.

    Raises:
        ConfigError: A package is missing, or the model cannot be exported.
    """
    check_installed()
    _refuse_own_task(model.reading.task)
    loaded, found = model.load_model(), dict[Format, Path]()
    every: list[Format] = ["onnx", *(each for each in formats if each != "onnx")]
    for format in every:
        found[format] = folder = place / format
        folder.mkdir(parents=True)
        about = _about(model, format, "none")
        _write_runtime(model, loaded[1], folder)
        if format == "onnx":
            words = "one text with some words"
            text = words.split() if TASKS[model.reading.task].target == "tags" else words
            _write_graph(model, loaded, [text] * len(model.reading.fields), folder)
        else:
            about["int8"] = _quantize_once(found["onnx"] / predict.GRAPH, folder)
        _write_about(folder, about)
    return {format: found[format] for format in formats}


def _quantize_once(graph: Path, folder: Path) -> dict[str, Any]:
    """Write the first int8 graph into `folder`; returns how it was made."""
    reduce_range = not predict.has_vnni(predict.processor_flags())
    with tempfile.TemporaryDirectory(prefix="kdray-int8-") as place:
        ways = attempts(
            graph,
            reduce_range=reduce_range,
            run=lambda file: np.zeros(0),
            calibration=(),
            folder=Path(place),
        )
        way = next(ways)
        way.write(folder / predict.GRAPH)
    return {"kept": way.name, "reduce_range": reduce_range}


def open_bundle(folder: Path, *, threads: int = 0) -> predict.Bundle:
    """An ONNX bundle in this process, with kdray's own pruner: no code of the bundle is run.

    Raises:
        ConfigError: A file of the bundle is not as it was exported, or cannot be used.
    """
    about = read_bundle(folder)
    prune = Pruner.load(folder).prune if predict.PRUNER in about["files"] else None
    try:
        return predict.Bundle(folder, about, threads=threads, prune=prune)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def read_bundle(folder: Path) -> dict[str, Any]:
    """What `bundle.json` of an ONNX bundle holds, once all files are compared with it.

    Raises:
        ConfigError: A file of the bundle is not as it was exported.
    """
    try:
        return predict.read_about(folder)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def write_saved(model: TrainedModel, folder: Path, *, corpus: Path | None = None) -> None:
    """Copy the Hugging Face folder, with what `open_trained` needs to read it again.

    Args:
        corpus: Where the corpus is on this machine; its rows stay there.
    """
    shutil.copytree(model.folder, folder, dirs_exist_ok=True)
    document = {"format": 1, "reading": model.reading.model_dump(mode="json"), "result": dict(model.result)}
    if corpus is not None:
        document["corpus"] = {"folder": str(corpus.resolve()), "digest": digest_of(corpus)}
    _write_json(folder / FILE, document)
    if model.pruner is not None:
        model.pruner.save(folder)


def _about(model: TrainedModel, format: Format, source: str) -> dict[str, Any]:
    reading, result = model.reading, model.result
    more = (
        {"torch": str(torch.__version__)} if format == "hf" else {"torch": str(torch.__version__), **runtime_versions()}
    )
    return {
        "format": format,
        "title": result.get("title", model.folder.name),
        "task": reading.task,
        "labels": list(model.outputs),
        "fields": list(reading.fields),
        "prunable": list(reading.prunable) if model.pruner else [],
        "max_length": reading.max_length,
        "rows": source,
        "test": result.get("metrics", {}).get("test", {}),
        "training": training_of(result) if "spec" in result else {},  # a plain folder tells nothing
        "verdict": result.get("verdict", ""),
        "int8": None,
        "machine": machine(),
        "versions": {"kdray": kdray.__version__, **more},
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _refuse_own_task(name: str) -> None:
    if name not in TASKS or not type(TASKS[name]).__module__.startswith("kdray.tasks."):
        raise ConfigError(
            f"task {shown(name)!r} turns logits into predictions by code of its own, which a bundle does not run; take "
            "the format hf."
        )


def _write_hf(model: TrainedModel, wanted: Expected, draft: Path) -> Agreement:
    """Copy the folder and read it with transformers.pipeline, some rows and all edge cases."""
    write_saved(model, draft)
    rows = [*zip(*(column[:HF_ROWS] for column in wanted.columns), strict=True)]
    edges = model.shortened([list(column) for column in zip(*wanted.edges, strict=True)])
    scored = joined([wanted.logits[:HF_ROWS], wanted.edge_logits])
    check_export(draft, [*rows, *zip(*edges, strict=True)], torch.from_numpy(scored))
    again = TrainedModel(draft, model.reading, {}, model.pruner)
    loaded = again.load_model()
    found = agreement(
        model,
        wanted,
        again.logits(loaded, wanted.columns, precision="fp32"),
        [again.logits(loaded, edges, precision="fp32")],
    )
    if fault := fault_of_fp32(found):
        raise RunError(f"the export is refused, {fault}: {found.figures}.")
    return found


def _write_about(draft: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """`bundle.json`, with the hashes of the other files (of a Hugging Face folder none) and of itself."""
    names = (predict.FILES | predict.PRUNER_FILES) if about["format"] != "hf" else set[str]()
    files = {name: file_sha256(draft / name) for name in sorted(names) if (draft / name).is_file()}
    whole = {**about, "files": files}
    whole["digest"] = predict.digest_of(whole)
    _write_json(draft / "bundle.json", whole)
    return whole


def _write_runtime(model: TrainedModel, tokenizer: Any, draft: Path) -> None:
    """Everything but the graph, `bundle.json` and the card."""
    from tokenizers import Tokenizer

    copy: Any = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.enable_truncation(model.reading.max_length, strategy="longest_first", direction="right")
    copy.enable_padding(direction="right", pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    copy.save(str(draft / "tokenizer.json"))
    scripts = [predict.__file__]
    if model.pruner is not None:
        model.pruner.save(draft)
        scripts += [sentences.__file__, importance.__file__]
    for script in scripts:
        shutil.copyfile(script, draft / Path(script).name)
    pins = "".join(f"{name}=={number}\n" for name, number in runtime_versions().items())
    (draft / "requirements.txt").write_text(pins)
    (draft / "Dockerfile").write_text(DOCKERFILE)


def _write_onnx(
    model: TrainedModel, loaded: tuple[Any, Any], about: Mapping[str, Any], wanted: Expected, draft: Path
) -> Agreement:
    _write_graph(model, loaded, wanted.edges[-1], draft)
    _write_about(draft, about)
    found = compare(_opened(draft), model, wanted)
    if fault := fault_of_fp32(found):
        raise RunError(f"the ONNX export is refused, {fault}: {found.figures}.")
    return found


def _write_graph(model: TrainedModel, loaded: tuple[Any, Any], row: Sequence[Any], draft: Path) -> None:
    """Trace the model with two rows like `row`."""
    rows = model.rows(loaded[1], [[text] * 2 for text in row])
    batch = rows.batch(np.arange(2), torch.device("cpu"))
    write_graph(loaded[0], {name: batch[name] for name in inputs_of(loaded[1])}, draft / predict.GRAPH)


def _opened(draft: Path, graph: Path | None = None) -> predict.Bundle:
    """With the draft's own copies of the pruner's modules, so that these are compared too."""
    return predict.load(draft, graph=graph, code=draft)


def _write_int8(
    model: TrainedModel, wanted: Expected, draft: Path, tolerance: float, reduce_range: bool | None
) -> tuple[Agreement, dict[str, Any]]:
    """Replace the graph by the first int8 graph that passes."""
    vnni = predict.has_vnni(predict.processor_flags())
    reduce_range = not vnni if reduce_range is None else reduce_range
    tried: list[dict[str, Any]] = []
    sample = _sample(list(zip(*wanted.evidence.columns, strict=True)))
    with tempfile.TemporaryDirectory(prefix="kdray-int8-") as place:
        ways = attempts(
            draft / "model.onnx",
            reduce_range=reduce_range,
            run=lambda graph: _opened(draft, graph).logits(sample),
            calibration=_calibration(_opened(draft), wanted.evidence),
            folder=Path(place),
        )
        for number, way in enumerate(ways):
            file = Path(place) / f"{number}.onnx"
            found, record = _tried(way, file, draft, model, wanted, tolerance)
            tried.append(record)
            if found is not None and record["fault"] is None:
                shutil.move(file, draft / "model.onnx")
                return found, {
                    "kept": way.name,
                    "tried": tried,
                    "tolerance": tolerance,
                    "least_equal_labels": EQUAL_LABELS,
                    "reduce_range": reduce_range,
                    "vnni": vnni,
                    "calibration": wanted.evidence.calibration_source,
                }
    figures = "; ".join(f"{each['name']}: {each['fault']}" for each in tried)
    rows, advice = len(wanted.evidence.targets), "raise the tolerance"
    if rows * (1 - EQUAL_LABELS) < 1:
        advice = f"compare on more rows (--rows FILE, in Python data=), since of {rows} all labels must be equal"
    raise RunError(
        f"no int8 graph loses at most {tolerance:g} points of {shown(model.reading.metrics[0])} with "
        f"{100 * EQUAL_LABELS:g} % equal labels, so none is kept ({figures}); {advice}, or take the format onnx."
    )


def _tried(
    way: Attempt, file: Path, draft: Path, model: TrainedModel, wanted: Expected, tolerance: float
) -> tuple[Agreement | None, dict[str, Any]]:
    """What one way to quantize gives, and its line in the table."""
    try:
        way.write(file)
        found = compare(_opened(draft, file), model, wanted)
    except Exception as error:  # onnxruntime raises many kinds
        nothing = {"score": None, "lost_points": None, "equal_labels": None, "difference": None, "megabytes": None}
        log.warning("%s: %s: %s", way.name, type(error).__name__, error)
        return None, {"name": way.name, **nothing, "fault": f"it fails ({type(error).__name__})"}
    fault = fault_of_int8(found, tolerance)
    log.info("%s: %s: %s", way.name, "kept" if fault is None else "not good enough", found.figures)
    shown = {name: getattr(found, name) for name in ("score", "lost_points", "equal_labels", "difference")}
    return found, {"name": way.name, **shown, "megabytes": file.stat().st_size / 1e6, "fault": fault}


def _calibration(bundle: predict.Bundle, evidence: Evidence) -> list[dict[str, np.ndarray]]:
    rows = list(zip(*evidence.calibration, strict=True))
    return [bundle.encode(rows[at : at + CALIBRATION_BATCH]) for at in range(0, len(rows), CALIBRATION_BATCH)]


def _sample(rows: Sequence[Any]) -> list[Any]:
    return [rows[at] for at in np.unique(np.linspace(0, len(rows) - 1, SAMPLE_ROWS).astype(int))]


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

"""Bundles and students side by side: latency, throughput, size on disk, peak memory and cold start on this machine."""

import bisect
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

import numpy as np
import torch

from kdray.corpora import VALIDATION, load_corpus
from kdray.corpora.files import READERS, check_file, read_table
from kdray.errors import ConfigError, RunError, plural
from kdray.evaluate.latency import CpuTimes, Load, alone, cpu_times, interleaved, load_between
from kdray.export import predict
from kdray.export.bundle import open_bundle, read_bundle
from kdray.export.graph import check_installed
from kdray.export.machine import machine
from kdray.export.trained import TrainedModel, is_onnx_bundle, open_trained
from kdray.models import autocast, forward
from kdray.pruning import importance, sentences
from kdray.tasks import get_task

log = logging.getLogger(__name__)

BATCHES = (1, 8, 32)
FIXED_TOKENS = 128
SAMPLE_TEXTS = 2000  # whose lengths are counted
STARTS = 3
START_SECONDS = 4.0  # of a process with torch, roughly; for the estimate alone
LENGTHS = ("median", "p95", str(FIXED_TOKENS))
P99_ROUNDS = 100  # fewer have no 99th percentile
Row = tuple[Any, ...]  # texts, or one list of tokens
Precision = Literal["fp32", "bf16"]
Device = Literal["cpu", "cuda"]
DEVICES: tuple[str, ...] = get_args(Device)
LAUNCH = """
import os, sys, time
start = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print()
print(time.perf_counter() - start, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status) and 1)
"""
COLD = "import sys; from kdray.export.bench import answer; answer(*sys.argv[1:4], tuple(sys.argv[4:]))"


class Candidate(Protocol):
    """Something that classifies rows, with its tokenizer apart from its model."""

    @property
    def name(self) -> str: ...
    @property
    def runtime(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def folder(self) -> Path: ...
    @property
    def num_fields(self) -> int: ...
    @property
    def has_tags(self) -> bool: ...

    def lengths(self, rows: Sequence[Row]) -> np.ndarray:
        """Tokens of each row, int64 [rows]."""
        ...

    def ready(self, threads: int) -> tuple[Callable[[Sequence[Row]], Any], Callable[[Any], Any]]:
        """Functions from rows to a batch and from a batch to logits, which run on so many threads."""
        ...

    def texts(self) -> list[Row] | None:
        """Rows of its corpus; None where it is not known."""
        ...

    def start(self, row: Row, script: Path) -> list[str]:
        """A command that starts a process, classifies one row, and ends."""
        ...


@dataclass(frozen=True)
class InTorch:
    """A trained classifier in torch."""

    name: str
    model: TrainedModel
    precision: Precision
    loaded: tuple[Any, Any] = field(repr=False)
    device: Device = "cpu"

    @property
    def runtime(self) -> str:
        where = f" on {torch.cuda.get_device_name()}" if self.device == "cuda" else ""
        return f"torch {torch.__version__}{where}"

    @property
    def folder(self) -> Path:
        return self.model.folder

    @property
    def num_fields(self) -> int:
        return len(self.model.reading.fields)

    @property
    def has_tags(self) -> bool:
        return get_task(self.model.reading.task).target == "tags"

    def lengths(self, rows: Sequence[Row]) -> np.ndarray:
        return self._rows(rows).encoded.lengths

    def ready(self, threads: int) -> tuple[Callable[[Sequence[Row]], Any], Callable[[Any], Any]]:
        device = torch.device(self.device)
        torch.set_num_threads(threads)

        def encode(rows: Sequence[Row]) -> Any:
            return self._rows(rows).batch(np.arange(len(rows)), device)

        def logits(batch: Any) -> Any:
            with torch.inference_mode(), autocast(device, self.precision):
                return forward(self.loaded[0], batch, frozenset()).logits.cpu()  # which waits for a GPU

        return encode, logits

    def texts(self) -> list[Row] | None:
        if self.model.corpus is None:
            return None
        table = load_corpus(self.model.corpus).table(VALIDATION)
        return list(zip(*(table[name].to_pylist() for name in self.model.reading.fields), strict=True))

    def start(self, row: Row, script: Path) -> list[str]:
        del script
        return [sys.executable, "-c", COLD, str(self.folder), self.precision, self.device, *_as_arguments(row)]

    def _rows(self, rows: Sequence[Row]) -> Any:
        columns = [list(column) for column in zip(*rows, strict=True)]
        return self.model.rows(self.loaded[1], self.model.shortened(columns))


@dataclass(frozen=True)
class InOnnx:
    """A bundle in ONNX Runtime, on the CPU."""

    name: str
    folder: Path
    about: Mapping[str, Any] = field(repr=False)
    opened: dict[int, predict.Bundle] = field(default_factory=dict[int, predict.Bundle], repr=False)  # by threads

    @property
    def runtime(self) -> str:
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"

    @property
    def precision(self) -> str:
        return "int8" if self.about["int8"] else "fp32"

    @property
    def num_fields(self) -> int:
        return len(self.about["fields"])

    @property
    def has_tags(self) -> bool:
        return get_task(self.about["task"]).target == "tags"

    def lengths(self, rows: Sequence[Row]) -> np.ndarray:
        return self._bundle(1).encode(rows)["attention_mask"].sum(axis=1)

    def ready(self, threads: int) -> tuple[Callable[[Sequence[Row]], Any], Callable[[Any], Any]]:
        bundle = self._bundle(threads)
        return bundle.encode, bundle.forward

    def texts(self) -> list[Row] | None:
        return None

    def start(self, row: Row, script: Path) -> list[str]:
        return [sys.executable, "-I", str(script), "--bundle", str(self.folder), *_as_arguments(row)]

    def _bundle(self, threads: int) -> predict.Bundle:
        if threads not in self.opened:
            self.opened[threads] = open_bundle(self.folder, threads=threads)
        return self.opened[threads]


def candidate_of(given: str | Path | TrainedModel, device: Device = "cpu") -> Candidate:
    """An ONNX bundle, or anything that `open_trained` reads; `FOLDER@bf16` and `FOLDER@fp32` set torch's precision.

    Args:
        device: Of what runs in torch; bundles run on the CPU.

    Raises:
        ConfigError: It is neither.
    """
    if isinstance(given, TrainedModel):
        return _in_torch(str(given.folder), given, given.reading.precision, device)
    where, at, precision = str(given).rpartition("@")
    if not at or precision not in ("fp32", "bf16"):
        if at and not Path(given).expanduser().exists() and Path(where).expanduser().is_dir():
            raise ConfigError(f"{given}: a precision is fp32 or bf16, found {precision}.")
        where, precision = str(given), ""
    folder = Path(where).expanduser()
    if is_onnx_bundle(folder):
        check_installed()
        if precision:
            raise ConfigError(f"{given}: a bundle has the precision that it was exported with; leave out @{precision}.")
        return InOnnx(str(given), folder, read_bundle(folder))
    model = open_trained(folder)
    return _in_torch(str(given), model, precision or model.reading.precision, device)


def _in_torch(name: str, model: TrainedModel, precision: Precision, device: Device) -> InTorch:
    module, tokenizer = model.load_model()
    return InTorch(name, model, precision, (module.to(device), tokenizer), device)


def answer(folder: str, precision: Precision, device: Device, row: Row) -> None:
    """Classify one row in a fresh process."""
    candidate = _in_torch("", open_trained(folder), precision, device)
    encode, logits = candidate.ready(torch.get_num_threads())
    logits(encode([_row(candidate, row)]))


@dataclass(frozen=True, repr=False)
class Benchmark:
    """What was measured.

    Attributes:
        rows: One for each candidate, length, batch size and number of threads; times in milliseconds.
        candidates: Runtime, precision, size on disk, peak memory and cold start of each.
        machine: Processor, instruction set, cores, system.
        load: What else ran, at the worst of the rows.
    """

    rows: list[dict[str, Any]]
    candidates: list[dict[str, Any]]
    machine: dict[str, Any]
    load: Load

    @property
    def is_quiet(self) -> bool:
        """Whether the machine was quiet during every row."""
        return self.load.is_quiet

    def plain(self) -> dict[str, Any]:
        load = {"other_cores": self.load.others, "stolen": self.load.stolen, "warning": self.load.sentence}
        return {
            "quiet": self.is_quiet,
            "load": load,
            "machine": self.machine,
            "candidates": self.candidates,
            "rows": self.rows,
        }

    def to_pandas(self) -> Any:
        """The rows as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The rows as a terminal shows them."""
        names = ("model", "length", "tokens", "batch", "threads", "p50_ms", "p95_ms", "p99_ms", "rows_per_second")
        return [
            {name: row[name] for name in names}
            | {"model_p50_ms": row["without_tokenizer"]["p50_ms"], "times_faster": row["times_faster"]}
            | {"quiet": "yes" if row["quiet"] else "NO"}
            for row in self.rows
        ]

    def __repr__(self) -> str:
        import pandas as pd

        shown = pd.DataFrame(self.shown).replace({None: float("nan")})
        return "\n".join([shown.to_string(index=False, na_rep="–"), *filter(None, [self.load.sentence])])

    def _repr_html_(self) -> str:
        return f"<p>{self.load.sentence}</p>{self.to_pandas().to_html(index=False)}"


@dataclass(frozen=True)
class OneRow:
    """How long one row of median length takes on one thread, with the tokenizer (and the pruner).

    Attributes:
        p50_ms: Median milliseconds of each candidate, by name.
        tokens: Of the row, as the first candidate reads it.
        load: What else ran meanwhile.
    """

    p50_ms: dict[str, float]
    tokens: int
    load: Load


def time_one_row(
    found: Sequence[Candidate],
    rows: Sequence[Row],
    *,
    seconds: float = 2.0,
    sample: Callable[[], CpuTimes] = cpu_times,
) -> OneRow:
    """Measure all candidates in turns, as `run_benchmark` does, at batch 1, one thread and the rows' median length.

    Args:
        rows: Whose median length is taken; the first 2,000 are counted.
        seconds: For each candidate.
    """
    before = torch.get_num_threads()
    try:
        with alone():
            given = _by_length(found[0], rows[:SAMPLE_TEXTS])["median"](1)
            cells, load = _measured(found, given, threads=1, seconds=seconds, sample=sample)
    finally:
        torch.set_num_threads(before)
    return OneRow({each["model"]: each["p50_ms"] for each in cells}, cells[0]["tokens"], load)


def run_benchmark(
    candidates: Sequence[str | Path | TrainedModel],
    *,
    texts: Path | Sequence[Any] | None = None,
    batches: Sequence[int] = BATCHES,
    threads: Sequence[int] | None = None,
    seconds: float = 2.0,
    device: Device = "cpu",
    sample: Callable[[], CpuTimes] = cpu_times,
) -> Benchmark:
    """Measure all candidates in turns, in this process, while no other measurement of kdray runs on this machine.

    Args:
        candidates: Bundles, students or folders of transformers; factors are those to the first one.
        texts: Texts or pairs, or a file of them (parquet, CSV, JSON Lines with the fields; .txt with one text a line);
            for models that tag tokens, lists of tokens, or texts, whose words they are. None takes the validation rows
            of the first candidate whose corpus is known.
        batches: Numbers of rows that are classified at once.
        threads: None: 1, and all cores.
        seconds: For each row of the table.
        device: Of what runs in torch; with `cuda`, times end when the logits are on the CPU.
        sample: Reads the machine's CPU times.

    Raises:
        ConfigError: A candidate or the texts cannot be used, or there is no such device.
    """
    _check_device(device)
    found = [candidate_of(each, device) for each in candidates]
    _check(found, batches, seconds)
    rows = _texts(found, texts)
    sizes = threads or sorted({1, len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1})
    log.info("%s", _estimate(len(found), len(LENGTHS) * len(batches) * len(sizes) * len(found), seconds))
    table: list[dict[str, Any]] = []
    loads: list[Load] = []
    before = torch.get_num_threads()
    try:
        with alone():
            for length, texts_of in _by_length(found[0], rows).items():
                for batch in batches:
                    given = texts_of(batch)
                    for each in sizes:
                        cells, load = _measured(found, given, threads=each, seconds=seconds, sample=sample)
                        table += [{"model": c["model"], "length": length, **c} for c in cells]
                        loads.append(load)
                        log.info("length %s, batch %d, threads %d: %s", length, batch, each, _shown(cells))
            starts = [_started(each, rows[0]) for each in found]
    finally:
        torch.set_num_threads(before)
    facts = [_facts(each) | start for each, start in zip(found, starts, strict=True)]
    worst = max(loads, key=lambda load: (not load.is_quiet, load.others or 0.0))
    return Benchmark(table, facts, machine(), worst)


def _estimate(models: int, rows: int, seconds: float) -> str:
    """How long a benchmark takes, in one sentence.

    >>> _estimate(2, 36, 2.0)
    '36 rows of 2 s each, then 3 cold starts of each model: about 96 s, or more on a busy machine'
    """
    whole = rows * seconds + models * STARTS * START_SECONDS
    what = f"{rows} rows of {seconds:g} s each, then {STARTS} cold starts of each model"
    return f"{what}: about {whole:.0f} s, or more on a busy machine"


def _check_device(device: str) -> None:
    if device not in DEVICES:
        raise ConfigError(f"device = {device}: expected {' or '.join(DEVICES)}.")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = cuda, but torch finds no GPU on this machine; leave it out to measure on the CPU.")


def _check(found: Sequence[Candidate], batches: Sequence[int], seconds: float) -> None:
    if not found:
        raise ConfigError("there is nothing to measure: name at least one bundle or student.")
    if len({each.has_tags for each in found}) > 1:
        what = ", ".join(f"{each.name} reads {'tokens' if each.has_tags else 'texts'}" for each in found)
        raise ConfigError(f"all models must read texts, or all lists of tokens: {what}.")
    if len({each.num_fields for each in found}) > 1:
        fields = ", ".join(f"{each.name} reads {each.num_fields}" for each in found)
        raise ConfigError(f"all models must read equally many texts a row: {fields}.")
    if len(names := [each.name for each in found]) > len(set(names)):
        raise ConfigError(f"a model is named twice: {', '.join(names)}.")
    if not batches or min(batches) < 1 or not 0 < seconds <= 3600:
        raise ConfigError(f"batches = {list(batches)}, seconds = {seconds:g}: both must be above 0.")


def _texts(found: Sequence[Candidate], texts: Path | Sequence[Any] | None) -> list[Row]:
    if isinstance(texts, Path):
        rows = _of_file(texts, found[0])
    elif texts is None:
        known = (each.texts() for each in found)
        rows = next((each for each in known if each), None)
        if rows is None:
            raise ConfigError("no model names its corpus, so there are no texts to time; give texts (--texts FILE).")
    else:
        rows = [(each,) if isinstance(each, str) or found[0].has_tags else tuple(each) for each in texts]
    rows = [_row(found[0], row) for row in rows]
    if not rows or any(len(row) != found[0].num_fields for row in rows):
        raise ConfigError(f"texts: expected one or more rows of {plural(found[0].num_fields, 'text')} each.")
    return rows[:SAMPLE_TEXTS]


def _row(candidate: Candidate, row: Row) -> Row:
    """The row as the candidate reads it: with tags, a text is the list of its words."""
    if not candidate.has_tags or not isinstance(row[0], str):
        return row
    return ([word for word, _, _ in predict.words_of(row[0])],)


def _as_arguments(row: Row) -> list[str]:
    return [each if isinstance(each, str) else " ".join(each) for each in row]


def _of_file(file: Path, first: Candidate) -> list[Row]:
    check_file(file, endings=(*READERS, ".txt"))
    if file.suffix == ".txt":
        return [(line,) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    table, names = read_table(file, file.name), _fields(first)
    if missing := [name for name in names if name not in table.column_names]:
        raise ConfigError(f"{file} has no column {missing[0]!r}; found: {', '.join(table.column_names)}.")
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def _fields(candidate: Candidate) -> Sequence[str]:
    return candidate.model.reading.fields if isinstance(candidate, InTorch) else cast(InOnnx, candidate).about["fields"]


def _by_length(first: Candidate, rows: Sequence[Row]) -> dict[str, Callable[[int], list[Row]]]:
    """By name of the length, a function from a number of rows to so many rows of about that length."""
    lengths = first.lengths(rows)

    def near(tokens: float) -> Callable[[int], list[Row]]:
        order = np.argsort(np.abs(lengths - tokens), kind="stable")
        return lambda number: [rows[int(order[at % len(order)])] for at in range(number)]

    found = (
        near(float(np.median(lengths))),
        near(float(np.percentile(lengths, 95))),
        lambda number: [_stretched(first, rows, at) for at in range(number)],
    )
    return dict(zip(LENGTHS, found, strict=True))


def _stretched(first: Candidate, rows: Sequence[Row], at: int) -> Row:
    """Row `at` with the words of the next rows in its last text, cut where it has 128 tokens."""
    words: list[str] = []
    while len(words) < FIXED_TOKENS:
        last = rows[at % len(rows)][-1]
        words += (last if first.has_tags else last.split()) or ["text"]
        at += 1
    head = rows[at % len(rows)][:-1]

    def cut(number: int) -> Row:
        return (*head, words[:number] if first.has_tags else " ".join(words[:number]))

    def tokens(number: int) -> int:
        return int(first.lengths([cut(number)])[0])

    number = bisect.bisect_right(range(1, FIXED_TOKENS + 1), FIXED_TOKENS, key=tokens)
    return cut(max(1, number))


def _measured(
    found: Sequence[Candidate],
    given: Sequence[Row],
    *,
    threads: int,
    seconds: float,
    sample: Callable[[], CpuTimes],
) -> tuple[list[dict[str, Any]], Load]:
    """One row of the table for each candidate."""
    works = {each.name: _work(each, given, threads) for each in found}
    before = sample()
    times = interleaved(works, seconds=seconds)
    load = load_between(before, sample())
    first = float(np.median(times[found[0].name].sum(axis=1)))
    return [
        {
            "model": each.name,
            "tokens": int(np.median(each.lengths(given))),
            "batch": len(given),
            "threads": threads,
            **_percentiles(times[each.name].sum(axis=1), len(given)),
            "without_tokenizer": _percentiles(times[each.name][:, 1], len(given)),
            "times_faster": first / float(np.median(times[each.name].sum(axis=1))),
            "rounds": len(times[each.name]),
            "quiet": load.is_quiet,
        }
        for each in found
    ], load


def _work(candidate: Candidate, given: Sequence[Row], threads: int) -> Callable[[], tuple[float, ...]]:
    encode, logits = candidate.ready(threads)

    def work() -> tuple[float, ...]:
        start = time.perf_counter()
        batch = encode(given)
        middle = time.perf_counter()
        logits(batch)
        return middle - start, time.perf_counter() - middle

    return work


def _percentiles(seconds: np.ndarray, rows: int) -> dict[str, float | None]:
    """Milliseconds, and rows a second."""
    p50, p95, p99 = (1000 * float(value) for value in np.percentile(seconds, [50, 95, 99]))
    p99 = p99 if len(seconds) >= P99_ROUNDS else None
    return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "rows_per_second": rows * len(seconds) / float(seconds.sum())}


def megabytes_of(folder: Path) -> float:
    """Of all files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _facts(candidate: Candidate) -> dict[str, Any]:
    return {
        "model": candidate.name,
        "runtime": candidate.runtime,
        "precision": candidate.precision,
        "megabytes": megabytes_of(candidate.folder),
    }


def _started(candidate: Candidate, row: Row) -> dict[str, float]:
    """Median seconds from the start of a process to its first answer, files in the page cache, and its peak memory."""
    with tempfile.TemporaryDirectory(prefix="kdray-start-") as place:
        for script in (predict.__file__, sentences.__file__, importance.__file__):  # kdray's own, not the bundle's
            shutil.copy(script, place)
        command = candidate.start(row, Path(place) / "predict.py")
        runs = [_one_start(command) for _ in range(STARTS)]
    seconds, peak = (float(np.median(each)) for each in zip(*runs, strict=True))
    return {"cold_start_ms": 1000 * seconds, "peak_megabytes": peak / 1e6}


def _one_start(command: Sequence[str]) -> tuple[float, float]:
    """Seconds and bytes. A small process starts the command: a child's peak memory is at least its parent's size."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-S", "-c", LAUNCH, *command], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise RunError(f"a fresh process could not classify one row (exit code {done.returncode}): {last}")
    seconds, peak = lines[-1].split()
    return float(seconds), float(peak) * (1 if sys.platform == "darwin" else 1024)


def _shown(cells: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{each['model']} {each['p50_ms']:.2f} ms" for each in cells)

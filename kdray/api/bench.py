"""`benchmark`: bundles and students side by side, measured on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdray.api.given import check_object
from kdray.api.models import Teacher
from kdray.export.bench import BATCHES, Benchmark, Device, run_benchmark
from kdray.export.trained import TrainedModel

_KINDS = (str, Path, TrainedModel, Teacher)


def benchmark(
    candidates: Sequence[str | Path | TrainedModel | Teacher] | str | Path | TrainedModel | Teacher,
    *,
    texts: str | Path | Sequence[Any] | None = None,
    batches: Sequence[int] = BATCHES,
    threads: Sequence[int] | None = None,
    seconds: float = 2.0,
    device: Device = "cpu",
) -> Benchmark:
    """Time bundles, students and folders of transformers in turns, in this process, on a quiet machine.

    Args:
        candidates: One or several: folders, students, or teachers that are fitted. Factors are those to the first one.
            `FOLDER@bf16` runs a student in bf16.
        texts: Texts (or pairs), or a file of them; None takes validation rows of the first candidate with a corpus.
        batches: Numbers of rows that are classified at once.
        threads: None: 1, and all cores.
        seconds: For each row of the table.
        device: `cuda` runs students and folders on the GPU; bundles run on the CPU.

    Returns:
        `rows` (one for each candidate, length, batch size and number of threads), `candidates` (size, memory, cold
        start), `machine`, `load`, and `is_quiet`: figures of a busy machine are not to be trusted.

    Raises:
        ConfigError: A candidate or the texts cannot be used, or there is no GPU.
    """
    given = Path(texts).expanduser() if isinstance(texts, str) else texts
    every = candidates if isinstance(candidates, Sequence) and not isinstance(candidates, str) else [candidates]
    for each in every:
        check_object("candidates", each, _KINDS, "folders, students, or teachers that are fitted")
    models = [each.classifier if isinstance(each, Teacher) else each for each in every]
    return run_benchmark(models, texts=given, batches=batches, threads=threads, seconds=seconds, device=device)

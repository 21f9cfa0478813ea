"""`benchmark`: bundles and students side by side, measured on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdray.export.bench import BATCHES, Benchmark, Device, run_benchmark
from kdray.export.trained import TrainedModel


def benchmark(
    candidates: Sequence[str | Path | TrainedModel] | str | Path,
    *,
    texts: str | Path | Sequence[Any] | None = None,
    batches: Sequence[int] = BATCHES,
    threads: Sequence[int] | None = None,
    seconds: float = 2.0,
    device: Device = "cpu",
) -> Benchmark:
    """Time bundles, students and folders of transformers in turns, in this process, on a quiet machine.

    Args:
        candidates: One or several. Factors are those to the first one. `FOLDER@bf16` runs a student in bf16.
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
    every = [candidates] if isinstance(candidates, str | Path) else candidates
    return run_benchmark(every, texts=given, batches=batches, threads=threads, seconds=seconds, device=device)

"""Which precision the hardware does fast.

bf16 autocast is some twenty times slower than fp32 on processors without instructions for it, and up to twice as fast
on some with them. So it is measured there, once for each machine, instruction set and version of torch. The answer is
kept in the cache folder (`KDRAY_CACHE`, `$XDG_CACHE_HOME/kdray` or `~/.cache/kdray`), because a second measurement
might give another one, and with it another digest.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import filelock
import torch

from kdray import compat
from kdray.models.encoders import drawn_from

log = logging.getLogger(__name__)

Precision = Literal["auto", "fp32", "bf16"]
Resolved = Literal["fp32", "bf16"]

LEAST_GAIN = 1.15  # fp32 is kept unless bf16 is so many times as fast
ROUNDS = 4
HOPELESS = 3.0  # times slower after the warm-up: no further round
ROWS, TOKENS, WIDTH = 16, 48, 384  # as in a training: with smaller matrices bf16 gains less

compat.keep_order_of_sums()


def resolve_precision(precision: Precision) -> Resolved:
    """`auto` becomes bf16 where the hardware is faster with it, else fp32; resolved before a digest, as it changes
    results."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return measured() if compat.has_bf16_instructions() else "fp32"


@cache
def measured() -> Resolved:
    """Of this machine's processor; read from the cache folder, or measured and kept there.

    Where nothing can be kept, nothing is measured: bf16 if the processor has units for its matrices (AMX).
    """
    file = answer_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(file.with_suffix(".lock")):
            if (known := _kept(file)) is not None:
                log.info("precision: auto is %s, as measured before (%s)", known, file)
                return known
            fp32, bf16 = step_seconds()
            found: Resolved = "bf16" if fp32 / bf16 >= LEAST_GAIN else "fp32"
            draft = file.with_suffix(".tmp")
            draft.write_text(json.dumps({"precision": found, "fp32_ms": 1000 * fp32, "bf16_ms": 1000 * bf16}))
            draft.replace(file)
    except OSError as error:
        found = "bf16" if compat.has_amx() else "fp32"
        log.warning(
            "precision: auto is %s, by the instruction set: %s cannot be written (%s), so it is not measured; set "
            "KDRAY_CACHE to a folder that can be written",
            found,
            file.parent,
            error.strerror or error,
        )
        return found
    log.info(
        "precision: auto is %s: a step of a small encoder takes %.1f ms in fp32, %.1f ms in bf16 (kept in %s)",
        found,
        1000 * fp32,
        1000 * bf16,
        file,
    )
    return found


def answer_file() -> Path:
    """Where the answer for this machine is kept."""
    above = os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache"  # noqa: PTH111 - never raises
    folder = Path(os.environ.get("KDRAY_CACHE") or Path(above) / "kdray")
    return folder / f"precision-{_machine()}.json"


def step_seconds(clock: Callable[[], float] = time.process_time) -> tuple[float, float]:
    """The fastest of a few training steps of a small encoder on one thread, in fp32 and in bf16, in turns.

    CPU time is measured, because other processes may be at work.
    """
    from transformers import BertConfig, BertModel

    with drawn_from(0):
        config = BertConfig(
            vocab_size=64,
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=12,
            intermediate_size=4 * WIDTH,
        )
        model: Any = BertModel(config, add_pooling_layer=False)  # with dropout, as in a training
        ids = torch.randint(64, (ROWS, TOKENS))

    def step(precision: Resolved) -> float:
        start = clock()
        with autocast(ids.device, precision):
            loss = model(input_ids=ids).last_hidden_state.float().square().mean()
        loss.backward()
        return clock() - start

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with drawn_from(0):
            step("fp32")
            step("bf16")
            fp32, bf16 = [step("fp32")], [step("bf16")]
            while len(fp32) < ROUNDS and bf16[0] < HOPELESS * fp32[0]:
                fp32.append(step("fp32"))
                bf16.append(step("bf16"))
    finally:
        torch.set_num_threads(threads)
    return min(fp32), min(bf16)


def autocast(device: torch.device, precision: Resolved) -> AbstractContextManager[object]:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def _machine() -> str:
    """Equal where bf16 is equally fast: processor, instruction set, version of torch, and what is measured."""
    shape = f"{ROWS} x {TOKENS} x {WIDTH}, dropout"
    facts = [torch.__version__, torch.backends.cpu.get_cpu_capability(), shape, *_processor()]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _processor() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return []
    kept = ("model name", "cpu family", "model", "stepping", "flags", "Features", "CPU part")
    return [line for line in lines if line.partition(":")[0].strip() in kept]


def _kept(file: Path) -> Resolved | None:
    """None where there is no answer, or one that cannot be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8")).get("precision")
    except (FileNotFoundError, ValueError, AttributeError):
        return None
    return found if found in ("fp32", "bf16") else None

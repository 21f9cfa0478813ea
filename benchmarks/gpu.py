"""What distillation steps cost on a CUDA device, and whether their numbers are right there.

    PYTHONPATH=. python benchmarks/gpu.py [--quick] [--cpu] [--compile] [--out FILE.json]

The losses, signals and the optimizer are kdray's own. A checkout of kdray is enough, with torch, transformers, numpy,
pyarrow, pydantic and jaxtyping; Ray is not needed. Weights, tokens and cached outputs are random, so nothing is read or
downloaded. Three parts:

1. Numerics. Loss and gradients of a small BERT on the device, in float32 and under bf16 autocast, with SDPA and with
   eager attention, against eager float32 on the CPU. Differences are relative: |a - b| / |b| of losses; of gradients
   the largest, over parameters, of ‖a - b‖ / max(‖b‖, 1e-3 · the norm of the whole gradient) - a few gradients are
   zero but for rounding (a key's bias moves all scores of a query alike). Beyond the tolerance the exit code is 1.
2. The rate of a large square matmul, in the precision of the steps: what the shares below are of.
3. Training steps of a shallow student of a 12-layer BERT-base: the copy to the device from pinned memory, forward,
   loss, backward, clipping and AdamW. Every window runs the same batches; the median window counts, between
   synchronizations of the device.

Steps (kdray/methods has the formulas; settings are the defaults):
    plain           cross-entropy
    kd              vanilla KD from cached logits of the teacher
    kd_online       vanilla KD, the teacher runs inside the step
    dekd            DeKD from cached logits of teacher and assistant and cached [CLS] vectors of the teacher
    tinybert        TinyBERT's intermediate step, teacher online, hidden states and attention scores before softmax:
                    scores are computed again, in float32, from the queries and keys of an SDPA pass
    tinybert_eager  the same with the attention probabilities that an eager pass returns (after dropout, in training),
                    with which kdray does not train

TFLOP/s are counted, one multiply-add as 2, from the padded tokens n of a row, L layers of width d and inner width f:
    forward = 2·(L·(n·(4d² + 2df) + 2n²d) + d² + d·classes),     step = 3·student + 1·teacher if it is online.
The scores that `tinybert` computes again, losses, embeddings and the optimizer are not counted.

`bucketed` rows have log-normal lengths (median 0.3 of the longest, 38 of 128; few reach it); batches group rows of like
length out of a stretch of 50 batches and are padded to their longest row, rounded up to 8.

Exit codes: 0, 1 if a check failed or a loss is not finite, 2 without a CUDA device.
"""

import argparse
import copy
import gc
import itertools
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, BertConfig

from kdray.methods import KD, DeKD, FineTune, Method, TinyBERT
from kdray.methods import Batch as Step
from kdray.models.attention import record_qkv
from kdray.models.forward import STATES, signals_of
from kdray.signals import Signals
from kdray.train import SingleRank, StepLoss, TrainSettings, objective
from kdray.train.optimizer import make_optimizer

CLASSES = 3
SETTINGS = TrainSettings(learning_rate=2e-5)
MEDIAN_LENGTH, LENGTH_SIGMA = 0.3, 0.6  # the median as a share of the longest
SHORTEST, PAD_MULTIPLE, STRETCH = 8, 8, 50
GRADIENT_FLOOR = 1e-3
# Largest relative difference of loss and of gradients. float32 differs by the order of sums, a few 1e-6; bf16 keeps 8
# bits (4e-3 an operation), and differences of nearly equal numbers, which gradients of KL and MSE are, lose some more.
TOLERANCES = {torch.float32: (1e-5, 1e-4), torch.bfloat16: (5e-2, 2e-1)}

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Kind:
    """A kind of step.

    Attributes:
        kernels: Of the attention; the first is measured, all are checked.
        online: The teacher runs inside the step.
        probabilities: The attention maps are those after softmax.
        cached: What the step reads of the teachers' outputs.
    """

    name: str
    method: Method
    kernels: tuple[str, ...] = ("sdpa", "eager")
    online: bool = False
    probabilities: bool = False
    cached: tuple[str, ...] = ()


LAYER_COPY = TinyBERT().phases(1)[0].method
KINDS = (
    Kind("plain", FineTune()),
    Kind("kd", KD(), cached=("teacher",)),
    Kind("kd_online", KD(), online=True),
    Kind("dekd", DeKD(), cached=("teacher", "assistant", "cls")),
    Kind("tinybert", LAYER_COPY, online=True),
    Kind("tinybert_eager", LAYER_COPY, ("eager",), online=True, probabilities=True),
)


@dataclass(frozen=True)
class Shape:
    """A BERT without its depth."""

    width: int
    heads: int
    inner: int
    vocabulary: int

    def build(self, layers: int, kernel: str, *, seed: int, dropout: float, spread: float = 0.02) -> Any:
        """On the CPU, in training mode; the same weights for every kernel."""
        torch.manual_seed(seed)
        config_of: Any = BertConfig
        config = config_of(
            vocab_size=self.vocabulary,
            hidden_size=self.width,
            num_hidden_layers=layers,
            num_attention_heads=self.heads,
            intermediate_size=self.inner,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            initializer_range=spread,
            num_labels=CLASSES,
        )
        factory: Any = AutoModelForSequenceClassification
        return factory.from_config(config, attn_implementation=kernel).train()

    def flops(self, layers: int, tokens: int) -> float:
        """Of a forward pass over one row; see the module's docstring."""
        linear = tokens * (4 * self.width**2 + 2 * self.width * self.inner)
        attention = 2 * tokens**2 * self.width
        return 2.0 * (layers * (linear + attention) + self.width**2 + self.width * CLASSES)


BASE = Shape(width=768, heads=12, inner=3072, vocabulary=30522)
TINY = Shape(width=64, heads=4, inner=256, vocabulary=1000)


@dataclass(frozen=True)
class Setting:
    """What is measured, and on what."""

    device: torch.device
    dtype: torch.dtype
    shape: Shape
    teacher_layers: int
    student_layers: tuple[int, ...]
    batch_rows: tuple[int, ...]
    longest: int
    steps: int  # in a window
    windows: int
    squares: tuple[int, ...]  # sides of the matmuls
    compiled: bool


def setting_of(*, quick: bool, cpu: bool, compiled: bool) -> Setting:
    if cpu:
        return Setting(
            torch.device("cpu"),
            torch.float32,
            TINY,
            teacher_layers=4,
            student_layers=(2,) if quick else (2, 1),
            batch_rows=(8,) if quick else (8, 16),
            longest=32,
            steps=3 if quick else 10,
            windows=3,
            squares=(512,),
            compiled=compiled,
        )
    return Setting(
        torch.device("cuda"),
        torch.bfloat16 if has_bf16() else torch.float32,
        BASE,
        teacher_layers=12,
        student_layers=(6,) if quick else (6, 3),
        batch_rows=(32, 128) if quick else (32, 64, 128, 256),
        longest=128,
        steps=5 if quick else 10,
        windows=3 if quick else 5,
        squares=(8192,) if quick else (4096, 8192, 16384),
        compiled=compiled,
    )


def has_bf16() -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)


# --- Models and losses -----------------------------------------------------------------------------------------------


class Reader:
    """A model, ready for one kind of step: it gives the signals that the step's method needs."""

    def __init__(self, model: Any, kind: Kind, dtype: torch.dtype, *, compiled: bool = False) -> None:
        self.model = model
        self._needs, self._probabilities, self._dtype = kind.method.needs, kind.probabilities, dtype
        self._states = bool(self._needs & STATES)
        self._hooks, self._qkv = ExitStack(), list[list[Tensor]]()
        if "attn" in self._needs and not kind.probabilities:
            # Set before the model is compiled, because a compiled model does not notice later hooks.
            layers = range(model.config.num_hidden_layers)
            self._qkv = self._hooks.enter_context(record_qkv(model, layers))
        self._call: Any = model
        if compiled:
            self._warm_up()
            # The whole model as one graph: what cannot be compiled, or would be too often, is an error and not slow.
            self._call = torch.compile(model, fullgraph=True)

    def _warm_up(self) -> None:
        """transformers sets its own hooks in the first pass that returns states, and that is not to be compiled."""
        token = torch.ones(1, 1, dtype=torch.long, device=next(self.model.parameters()).device)
        with torch.no_grad():
            self({"input_ids": token, "attention_mask": token})

    def __call__(self, batch: Batch) -> Signals:
        ids, mask = batch["input_ids"], batch["attention_mask"]
        for layer in self._qkv:
            layer.clear()
        with torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            out = self._call(
                input_ids=ids,
                attention_mask=mask,
                output_hidden_states=self._states,
                output_attentions=self._probabilities,
            )
            if not self._probabilities:
                return signals_of(self.model, out, self._qkv, mask, self._needs)
            signals = signals_of(self.model, out, [], mask, self._needs - {"attn"})
        return replace(signals, attn=torch.stack(out.attentions, dim=1).float())


@dataclass(frozen=True)
class TeacherStudent:
    kind: Kind
    student: Reader
    teacher: Reader | None

    def loss(self, batch: Batch, ranks: SingleRank) -> StepLoss:
        """Of one batch on the device."""
        student = self.student(batch)
        if self.teacher is not None:
            with torch.no_grad():
                teachers = (self.teacher(batch),)
        else:
            teachers = (Signals(batch["teacher"], cls=batch.get("cls")),) if "teacher" in batch else ()
        step = Step(
            student=student,
            teachers=teachers,
            assistant=Signals(batch["assistant"]) if "assistant" in batch else None,
            labels=batch["labels"],
            ranks=ranks,
            key=(0, 0, 0),
            adapters=nn.ModuleDict(),  # none: teacher and student are equally wide
        )
        return objective(self.kind.method, step, ranks)


class Ranked(SingleRank):
    """One worker that keeps by what DeKD ranks rows, and ranks them by `given` instead if there is any."""

    def __init__(self, given: Sequence[Tensor] = ()) -> None:
        self.kept: list[Tensor] = []
        self._given = list(given)

    def gather(self, values: Tensor) -> tuple[Tensor, Tensor]:
        self.kept.append(values.detach().cpu())
        return super().gather(self._given.pop(0).to(values) if self._given else values)


def pair_of(
    kind: Kind, student: Any, teacher: Any, *, device: torch.device, dtype: torch.dtype, compiled: bool = False
) -> TeacherStudent:
    """Copies of both models on the device; the teacher only if the step runs it."""
    ours = Reader(copy.deepcopy(student).to(device), kind, dtype, compiled=compiled)
    if not kind.online:
        return TeacherStudent(kind, ours, None)
    frozen = copy.deepcopy(teacher).eval().requires_grad_(False).to(device)
    return TeacherStudent(kind, ours, Reader(frozen, kind, dtype, compiled=compiled))


# --- Batches ---------------------------------------------------------------------------------------------------------


def lengths_of(how: str, *, batch_rows: int, batches: int, longest: int, seed: int) -> list[Tensor]:
    """The lengths of rows, batch by batch."""
    if how != "bucketed":
        return [torch.full((batch_rows,), longest) for _ in range(batches)]
    generator = torch.Generator().manual_seed(seed)
    assert batches <= STRETCH
    normal = torch.randn(STRETCH * batch_rows, generator=generator)
    drawn = (MEDIAN_LENGTH * longest * (LENGTH_SIGMA * normal).exp()).round().long().clamp(SHORTEST, longest)
    groups = drawn.sort().values.view(STRETCH, batch_rows)
    # spread evenly over short and long batches, each from the middle of its part, in an order that is not by length
    taken = [int((i + 0.5) * STRETCH / batches) for i in range(batches)]
    order = torch.randperm(batches, generator=generator).tolist()
    return [groups[taken[i]] for i in order]


def random_batch(
    lengths: Tensor,
    shape: Shape,
    *,
    cached: Sequence[str],
    teacher_layers: int,
    seed: int,
    multiple: int = PAD_MULTIPLE,
) -> Batch:
    """On the CPU, with the cached outputs that a step needs: logits, and [CLS] vectors in the precision of a store."""
    generator = torch.Generator().manual_seed(seed)
    rows, tokens = len(lengths), -(-int(lengths.max()) // multiple) * multiple
    mask = (torch.arange(tokens) < lengths.unsqueeze(1)).long()
    ids = torch.randint(1, shape.vocabulary, (rows, tokens), generator=generator)
    outputs = {
        "teacher": 2 * torch.randn(rows, CLASSES, generator=generator),
        "assistant": 2 * torch.randn(rows, CLASSES, generator=generator),
        "cls": torch.randn(rows, teacher_layers + 1, shape.width, generator=generator).half().float(),
    }
    return {
        "input_ids": ids * mask,
        "attention_mask": mask,
        "labels": torch.randint(CLASSES, (rows,), generator=generator),
        **{name: outputs[name] for name in cached},
    }


def on_device(batch: Batch, device: torch.device) -> Batch:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


# --- Part 1: numerics ------------------------------------------------------------------------------------------------

# Without padding transformers passes no mask, and SDPA takes another implementation than with one.
PADDED = (24, 3, 9, 17, 24, 5, 12, 20, 8, 11, 23, 6, 15, 19, 4, 10)
FULL = (24,) * 16


@dataclass(frozen=True)
class Outcome:
    """
    Attributes:
        gradients: On the CPU, float64.
        queries: By kind of model, the rows that the method selects by itself, [rows].
        ranked: By what it ranked them.
    """

    loss: float
    gradients: Mapping[str, Tensor]
    queries: Mapping[str, list[int]]
    ranked: Sequence[Tensor]


@dataclass(frozen=True)
class Variant:
    """How a kind of step is computed."""

    kernel: str
    numbers: str  # float32 or bfloat16
    padding: bool
    compiled: bool = False

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.numbers == "bfloat16" else torch.float32


@dataclass(frozen=True)
class Check:
    """How far one kind of step on the device is from the CPU's float32."""

    kind: str
    variant: Variant
    loss: float
    gradient: float
    worst: str
    verdict: str
    failed: bool


def outcome_of(kind: Kind, variant: Variant, device: torch.device, *, ranked: Sequence[Tensor] = ()) -> Outcome:
    """Of random models of 2 and 4 layers without dropout; `ranked` in place of DeKD's own ranking."""
    student = TINY.build(2, variant.kernel, seed=1, dropout=0.0, spread=0.1)
    teacher = TINY.build(4, variant.kernel, seed=2, dropout=0.0, spread=0.1)
    lengths = torch.tensor(PADDED if variant.padding else FULL)
    batch = on_device(random_batch(lengths, TINY, cached=kind.cached, teacher_layers=4, seed=3), device)
    pair = pair_of(kind, student, teacher, device=device, dtype=variant.dtype, compiled=variant.compiled)
    own = Ranked()
    with torch.no_grad():
        queries = pair.loss(batch, own).output.queries
    loss = pair.loss(batch, Ranked(ranked)).loss
    loss.backward()
    # a parameter without part in the loss has no gradient, or zeros when compiled
    gradients = {
        name: (torch.zeros_like(p) if p.grad is None else p.grad).double().cpu()
        for name, p in pair.student.model.named_parameters()
    }
    selected = {name: rows.long().tolist() for name, rows in queries.items()}
    return Outcome(float(loss.detach()), gradients, selected, own.kept)


def differences(mine: Outcome, reference: Outcome) -> tuple[float, float, str]:
    """Relative differences of loss and gradients, and the parameter whose gradient differs most."""
    whole = math.sqrt(sum(float(g.square().sum()) for g in reference.gradients.values()))
    apart = {
        name: float((mine.gradients[name] - g).norm() / max(float(g.norm()), GRADIENT_FLOOR * whole))
        for name, g in reference.gradients.items()
    }
    worst = max(apart, key=lambda name: math.inf if math.isnan(apart[name]) else apart[name])
    return abs(mine.loss - reference.loss) / abs(reference.loss), apart[worst], worst


def check(kind: Kind, variant: Variant, device: torch.device, reference: Outcome) -> Check:
    """Under bf16 DeKD is given the reference's ranking: rows of nearly equal entropy may change places."""
    given = reference.ranked if variant.dtype == torch.bfloat16 else ()
    try:
        mine = outcome_of(kind, variant, device, ranked=given)
    except Exception as error:
        if not variant.compiled:
            raise
        return Check(kind.name, variant, math.nan, math.nan, "", f"not compiled: {brief(error)}", failed=False)
    loss, gradient, worst = differences(mine, reference)
    loss_limit, gradient_limit = TOLERANCES[variant.dtype]
    near = loss <= loss_limit and gradient <= gradient_limit  # NaN is not
    alike = mine.queries == reference.queries
    verdict = ("ok" if near else "BEYOND TOLERANCE") + ("" if alike else ", WOULD CHOOSE OTHERWISE")
    return Check(kind.name, variant, loss, gradient, worst, verdict, failed=not (near and (alike or bool(given))))


def variants_of(kind: Kind, numbers: Sequence[str], *, compiled: bool) -> list[Variant]:
    """All combinations; compiling takes long, so only what is measured is compiled."""
    plain = [Variant(*each) for each in itertools.product(kind.kernels, numbers, (True, False))]
    return [*plain, Variant(kind.kernels[0], numbers[-1], padding=True, compiled=True)] if compiled else plain


CHECK_LINE = "{:14}  {:6}  {:8}  {:7}  {:8}  {:>7}  {:>9}  {}"


def check_all(device: torch.device, *, compiled: bool) -> list[Check]:
    torch.set_float32_matmul_precision("highest")  # no TF32
    numbers = ["float32", "bfloat16"] if device.type == "cpu" or has_bf16() else ["float32"]
    limits = "; ".join("{}: {:g}, {:g}".format(name_of(dtype), *limit) for dtype, limit in TOLERANCES.items())
    print(f"\nDifferences from eager float32 on the CPU (at most, of loss and of gradients: {limits})")
    print(CHECK_LINE.format("step", "kernel", "numbers", "padding", "compiled", "loss", "gradients", "verdict"))
    done: list[Check] = []
    for kind in KINDS:
        references = {
            padding: outcome_of(kind, Variant("eager", "float32", padding), torch.device("cpu"))
            for padding in (True, False)
        }
        for variant in variants_of(kind, numbers, compiled=compiled):
            done.append(check(kind, variant, device, references[variant.padding]))
            print(check_line(done[-1]), flush=True)
        release(device)
    return done


def check_line(one: Check) -> str:
    variant = one.variant
    how = variant.kernel, variant.numbers, *("yes" if each else "no" for each in (variant.padding, variant.compiled))
    verdict = f"{one.verdict} (worst: {one.worst})" if one.worst else one.verdict
    return CHECK_LINE.format(one.kind, *how, f"{one.loss:.1e}", f"{one.gradient:.1e}", verdict)


def brief(error: Exception) -> str:
    """Its first words in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# --- Part 2: the reference rate --------------------------------------------------------------------------------------


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_tflops(setting: Setting) -> float:
    """The best rate of square products of the given sides, each the median of windows."""
    return max(_square_tflops(side, setting) for side in setting.squares)


def _square_tflops(side: int, setting: Setting, *, windows: int = 7, products: int = 10) -> float:
    generator = torch.Generator(setting.device).manual_seed(0)
    a, b = (
        torch.randn(side, side, generator=generator, device=setting.device).to(setting.dtype).requires_grad_(False)
        for _ in range(2)
    )
    out = torch.empty_like(a)
    seconds: list[float] = []
    for _ in range(windows):
        synchronize(setting.device)
        start = time.perf_counter()
        for _ in range(products):
            torch.mm(a, b, out=out)
        synchronize(setting.device)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 * products / statistics.median(seconds[2:]) / 1e12  # the first two warm up


# --- Part 3: steps ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    kind: Kind
    layers: int
    rows: int
    lengths: str


@dataclass(frozen=True)
class Timing:
    """Attributes:
    windows: Milliseconds a step, of every window.
    real: Share of the padded tokens that are real.
    peak_gib: The most memory that tensors took; None on a CPU.
    """

    windows: list[float]
    tflop: float
    real: float
    peak_gib: float | None
    loss: float


@dataclass(frozen=True)
class Row:
    """One case in the table; numbers are None where it did not fit."""

    step: str
    kernel: str
    layers: int
    rows: int
    lengths: str
    compiled: bool
    ms: float | None = None
    windows_ms: list[float] = field(default_factory=list[float])
    rows_per_second: float | None = None
    times_plain: float | None = None
    tflops: float | None = None
    share: float | None = None
    peak_gib: float | None = None
    real_tokens: float | None = None
    note: str = ""
    failed: bool = False


Stock = Mapping[tuple[int, str], Any]  # models on the CPU, by depth and attention kernel


def stock_of(setting: Setting) -> Stock:
    return {
        (layers, kernel): setting.shape.build(layers, kernel, seed=layers, dropout=0.1)
        for layers in (setting.teacher_layers, *setting.student_layers)
        for kernel in ("sdpa", "eager")
    }


def batches_of(case: Case, setting: Setting) -> list[Batch]:
    """One window's batches, in pinned memory if there is a device to copy to."""
    lengths = lengths_of(
        case.lengths, batch_rows=case.rows, batches=setting.steps, longest=setting.longest, seed=case.rows
    )
    batches = [
        random_batch(each, setting.shape, cached=case.kind.cached, teacher_layers=setting.teacher_layers, seed=number)
        for number, each in enumerate(lengths)
    ]
    if setting.device.type == "cpu":
        return batches
    return [{name: value.pin_memory() for name, value in batch.items()} for batch in batches]


def train_step(pair: TeacherStudent, optimizer: torch.optim.Optimizer, batch: Batch, device: torch.device) -> Tensor:
    loss = pair.loss(on_device(batch, device), SingleRank()).loss
    loss.backward()
    nn.utils.clip_grad_norm_(pair.student.model.parameters(), SETTINGS.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


def timed(case: Case, setting: Setting, stock: Stock, *, compiled: bool) -> Timing:
    """One window warms up: it meets every length. The others count."""
    device, kernel = setting.device, case.kind.kernels[0]
    student, teacher = stock[case.layers, kernel], stock[setting.teacher_layers, kernel]
    batches = batches_of(case, setting)
    pair = pair_of(case.kind, student, teacher, device=device, dtype=setting.dtype, compiled=compiled)
    optimizer = make_optimizer(pair.student.model, SETTINGS)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    windows: list[float] = []
    loss = torch.zeros(())
    for _ in range(setting.windows + 1):
        synchronize(device)
        start = time.perf_counter()
        for batch in batches:
            loss = train_step(pair, optimizer, batch, device)
        synchronize(device)
        windows.append(1000 * (time.perf_counter() - start) / len(batches))
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    masks = [batch["attention_mask"] for batch in batches]
    real = sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)
    return Timing(windows[1:], _step_tflop(case, setting, masks), real, peak, float(loss))


def _step_tflop(case: Case, setting: Setting, masks: Sequence[Tensor]) -> float:
    """The mean over batches, in 10¹²."""
    shape, teacher = setting.shape, setting.teacher_layers if case.kind.online else 0
    per_batch = [
        len(mask)
        * (3 * shape.flops(case.layers, mask.shape[1]) + (shape.flops(teacher, mask.shape[1]) if teacher else 0))
        for mask in masks
    ]
    return statistics.mean(per_batch) / 1e12


def is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "alloc_failed")
    return isinstance(error, torch.OutOfMemoryError) or any(sign in text for sign in signs)


def release(device: torch.device) -> None:
    """What a case that is over held."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def measure(case: Case, setting: Setting, stock: Stock, *, peak: float) -> Row:
    """A case without its ratio to plain. What cannot be compiled runs without, and says why."""
    note = ""
    for compiled in (True, False) if setting.compiled else (False,):
        bare = Row(case.kind.name, case.kind.kernels[0], case.layers, case.rows, case.lengths, compiled)
        try:
            return _filled(bare, timed(case, setting, stock, compiled=compiled), peak, note)
        except Exception as error:
            if is_out_of_memory(error):
                return replace(bare, note="out of memory")
            if not compiled:
                raise
            note = f"not compiled: {brief(error)}"
            print(f"{case.kind.name}: torch.compile failed, measured without: {error}", file=sys.stderr)
        finally:
            release(setting.device)
    raise AssertionError("the last attempt returns or raises")


def _filled(bare: Row, timing: Timing, peak: float, note: str) -> Row:
    ms = statistics.median(timing.windows)
    rate = timing.tflop / (ms / 1000)
    finite = math.isfinite(timing.loss)
    notes = [note, "" if finite else f"THE LOSS IS {timing.loss}", "ABOVE THE MATMUL RATE" if rate > peak else ""]
    return replace(
        bare,
        ms=ms,
        windows_ms=timing.windows,
        rows_per_second=bare.rows / (ms / 1000),
        tflops=rate,
        share=rate / peak,
        peak_gib=timing.peak_gib,
        real_tokens=timing.real,
        note="; ".join(each for each in notes if each),
        failed=not finite,
    )


def beside_plain(row: Row, rows: Sequence[Row]) -> Row:
    """With its ratio to the plain step of the same student, batch and lengths, if that was measured before it."""
    alike = (row.layers, row.rows, row.lengths)
    plain = [
        each.ms for each in [*rows, row] if each.step == "plain" and (each.layers, each.rows, each.lengths) == alike
    ]
    if row.ms is None or not plain or plain[0] is None:
        return row
    return replace(row, times_plain=row.ms / plain[0])


ROW_LINE = "{:15} {:6} {:>6} {:>5} {:9} {:>9} {:>15} {:>9} {:>7} {:>8} {:>6} {:>8} {:>6}  {}"
HEAD = ("step", "kernel", "layers", "rows", "lengths", "ms/step", "windows", "rows/s", "×plain", "TFLOP/s")
HEADINGS = (*HEAD, "share", "peak GiB", "real", "")


def line_of(row: Row) -> str:
    def text(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    spread = f"{min(row.windows_ms):.2f}-{max(row.windows_ms):.2f}" if row.windows_ms else "-"
    numbers = (
        text(row.ms, ".2f"),
        spread,
        text(row.rows_per_second, ".0f"),
        text(row.times_plain, ".3f"),
        text(row.tflops, ".3g"),
        text(row.share, ".1%"),
        text(row.peak_gib, ".2f"),
        text(row.real_tokens, ".0%"),
    )
    note = f"{'compiled ' if row.compiled else ''}{row.note}"
    return ROW_LINE.format(row.step, row.kernel, row.layers, row.rows, row.lengths, *numbers, note).rstrip()


def cases_of(setting: Setting) -> list[Case]:
    return [
        Case(kind, layers, rows, lengths)
        for layers in setting.student_layers
        for lengths in (str(setting.longest), "bucketed")
        for rows in setting.batch_rows
        for kind in KINDS
    ]


def measure_all(setting: Setting, peak: float) -> Iterator[Row]:
    """Prints every row before it yields it."""
    print(f"\nSteps of students of a {setting.teacher_layers}-layer teacher, {setting.steps} a window")
    print(ROW_LINE.format(*HEADINGS).rstrip())
    stock = stock_of(setting)
    before: list[Row] = []
    for case in cases_of(setting):
        row = beside_plain(measure(case, setting, stock, peak=peak), before)
        print(line_of(row), flush=True)
        before.append(row)
        yield row


# --- All of it -------------------------------------------------------------------------------------------------------


def machine_of(setting: Setting) -> dict[str, Any]:
    cuda = setting.device.type == "cuda"
    properties: Any = torch.cuda.get_device_properties(setting.device) if cuda else None
    return {
        "device": properties.name if cuda else f"cpu, {torch.get_num_threads()} threads",
        "memory_gib": round(properties.total_memory / 2**30, 1) if cuda else None,
        "capability": f"{properties.major}.{properties.minor}" if cuda else None,
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "precision": name_of(setting.dtype),
    }


@dataclass
class Report:
    """What was found so far."""

    machine: Mapping[str, Any]
    checks: list[Check] = field(default_factory=list[Check])
    matmul_tflops: list[float] = field(default_factory=list[float])
    rows: list[Row] = field(default_factory=list[Row])

    def failures(self) -> int:
        return sum(each.failed for each in [*self.checks, *self.rows])

    def save(self, path: Path | None) -> None:
        if path is not None:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def run(setting: Setting, out: Path | None) -> Report:
    """All three parts. The file is written after every row: a run that is killed leaves what it measured."""
    report = Report(machine_of(setting))
    print(", ".join(f"{name} {value}" for name, value in report.machine.items() if value is not None))
    report.checks.extend(check_all(setting.device, compiled=setting.compiled))
    report.matmul_tflops.append(matmul_tflops(setting))
    print(f"\nSquare matmul, {name_of(setting.dtype)}: {report.matmul_tflops[0]:.4g} TFLOP/s")
    for row in measure_all(setting, report.matmul_tflops[0]):
        report.rows.append(row)
        report.save(out)
    report.matmul_tflops.append(matmul_tflops(setting))
    print(f"\nSquare matmul again: {report.matmul_tflops[1]:.4g} TFLOP/s")
    report.save(out)
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one student, two batch sizes, short windows")
    parser.add_argument("--cpu", action="store_true", help="tiny models on the CPU, to try the script itself")
    parser.add_argument("--compile", action="store_true", help="torch.compile student and teacher")
    parser.add_argument("--out", type=Path, help="write everything to this JSON file")
    options = parser.parse_args(arguments)
    if not options.cpu and not torch.cuda.is_available():
        print("There is no CUDA device that torch can use. To try the script without one: --cpu", file=sys.stderr)
        return 2
    report = run(setting_of(quick=options.quick, cpu=options.cpu, compiled=options.compile), options.out)
    if report.failures():
        total = len(report.checks) + len(report.rows)
        print(f"\n{report.failures()} of {total} checks and steps failed.", file=sys.stderr)
    return 1 if report.failures() else 0


if __name__ == "__main__":
    sys.exit(main())

"""int8: the ways to quantize a graph, in the order in which they are tried. The first that loses little is kept.

Dynamic quantization scales activations at each call, static quantization once, from calibration rows. Weights are int8,
one scale an output channel. How sensitive a node is, is measured: the mean difference in logits when it alone is int8.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdray.export.graph import quiet

QUANTIZED = ["MatMul", "Gather"]
LEFT_OUT = (0.1, 0.25, 0.5)  # shares of the nodes that stay in fp32
Run = Callable[[Path], np.ndarray]  # logits that a graph gives for some rows


@dataclass(frozen=True)
class Attempt:
    """One way to quantize: `write` makes the graph at a path."""

    name: str
    write: Callable[[Path], None]


def attempts(
    graph: Path, *, reduce_range: bool, run: Run, calibration: Sequence[dict[str, np.ndarray]], folder: Path
) -> Iterator[Attempt]:
    """Ways to quantize `graph`, from the usual one to those that cost more time to find.

    Args:
        reduce_range: 7-bit weights, for processors that saturate sums of int8 products.
        run: Logits of some rows by any graph, to measure which nodes are sensitive.
        calibration: Batches for static quantization.
        folder: For files in between.
    """
    prepared = _prepared(graph, folder / "prepared.onnx")
    yield Attempt("dynamic, per channel", lambda file: _dynamic(prepared, file, reduce_range))
    order = _by_sensitivity(prepared, run, reduce_range=reduce_range)
    counts = dict.fromkeys(max(1, round(share * len(order))) for share in LEFT_OUT)
    for count in (each for each in counts if each < len(order)):
        kept = order[:count]
        yield Attempt(
            f"dynamic, per channel, the {count} most sensitive of {len(order)} nodes in fp32",
            lambda file, kept=kept: _dynamic(prepared, file, reduce_range, leave=kept),
        )
    yield Attempt(
        f"static, per channel, {sum(len(each['input_ids']) for each in calibration)} calibration rows",
        lambda file: _static(prepared, file, reduce_range, calibration),
    )


def _prepared(graph: Path, file: Path) -> Path:
    """The graph with constants folded and every Gemm as a MatMul, so that nodes keep their names from here on."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.quantization.shape_inference import quant_pre_process

    onnxruntime.set_default_logger_severity(3)  # its advice on each step
    with quiet():
        quant_pre_process(str(graph), str(file), skip_symbolic_shape=True)
        model: Any = ONNXModel(onnx.load(str(file)))
        model.replace_gemm_with_matmul()
        onnx.save(model.model, str(file))
    return file


def _nodes(graph: Path) -> list[str]:
    """Nodes with constant weights that are quantized."""
    import onnx

    found: Any = onnx.load(str(graph)).graph
    weights = {each.name for each in found.initializer}
    return [
        node.name
        for node in found.node
        if (node.op_type == "MatMul" and node.input[1] in weights)
        or (node.op_type == "Gather" and node.input[0] in weights)
    ]


def _by_sensitivity(graph: Path, run: Run, *, reduce_range: bool) -> list[str]:
    exact = run(graph)
    difference: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="kdray-int8-") as folder:
        for name in (every := _nodes(graph)):
            file = Path(folder) / "one.onnx"
            _dynamic(graph, file, reduce_range, leave=[other for other in every if other != name])
            difference[name] = float(np.nanmean(np.abs(run(file) - exact)))
    return sorted(every, key=lambda name: -difference[name])


def _dynamic(graph: Path, file: Path, reduce_range: bool, *, leave: Sequence[str] = ()) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():
        quantize_dynamic(
            str(graph),
            str(file),
            op_types_to_quantize=QUANTIZED,
            per_channel=True,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(leave),
        )


def _static(graph: Path, file: Path, reduce_range: bool, calibration: Sequence[dict[str, np.ndarray]]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Batches(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(calibration)

        def get_next(self) -> Any:  # None ends them
            return next(self.left, None)

    with quiet():
        quantize_static(
            str(graph),
            str(file),
            Batches(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )

"""int8 graphs are tried in a fixed order; the first that loses little is kept, with the table of all."""

import json
import shutil
from pathlib import Path
from typing import Any

import made
import numpy as np
import onnx
import pytest

from kdray.errors import RunError
from kdray.export import bundle as bundles
from kdray.export import predict, quantize
from kdray.export.bundle import export_bundle
from kdray.export.evidence import Evidence
from kdray.export.proof import Agreement, _differences, fault_of_fp32, fault_of_int8
from kdray.export.trained import TrainedModel


@pytest.fixture(scope="module")
def evidence(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return made.evidence(model, tmp_path_factory.mktemp("rows"))


def operators(graph: Path) -> set[str]:
    return {node.op_type for node in onnx.load(str(graph)).graph.node}


def attempts(onnx_bundle: Path, folder: Path, **more: Any) -> list[quantize.Attempt]:
    exact = predict.load(onnx_bundle)

    def run(graph: Path) -> np.ndarray:
        return predict.load(onnx_bundle, graph=graph).logits(made.TEXTS[:8])

    calibration = [exact.encode([(text,) for text in made.TEXTS[:8]])]
    settings = {"reduce_range": False, "run": run, "calibration": calibration, "folder": folder, **more}
    return list(quantize.attempts(onnx_bundle / "model.onnx", **settings))


def test_a_trained_model_becomes_int8_by_the_first_way(
    model: TrainedModel, evidence: Evidence, same_graph: None, tmp_path: Path
) -> None:
    about = export_bundle(model, tmp_path / "out", format="onnx-int8", evidence=evidence)
    assert about["int8"]["kept"] == about["int8"]["tried"][0]["name"] == "dynamic, per channel"
    assert about["proof"]["lost_points"] <= 0.5
    assert about["proof"]["equal_labels"] >= 0.99
    assert {"MatMulInteger", "DynamicQuantizeLinear"} <= operators(tmp_path / "out" / "model.onnx")
    assert json.loads((tmp_path / "out" / "bundle.json").read_text()) == about
    assert "| dynamic, per channel | 1.0000 | 0.00 | 100.00 % |" in (tmp_path / "out" / "README.md").read_text()
    labels = [row["label"] for row in predict.load(tmp_path / "out").predict(made.TEXTS)]
    assert labels == made.LABELS


def test_the_next_way_is_taken_where_the_first_loses_too_much(
    model: TrainedModel, evidence: Evidence, same_graph: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = iter(["it loses 7.00 points, more than 0.5", None])
    monkeypatch.setattr(bundles, "fault_of_int8", lambda found, tolerance: next(verdicts))
    about = export_bundle(model, tmp_path / "out", format="onnx-int8", evidence=evidence)
    assert [each["fault"] for each in about["int8"]["tried"]] == ["it loses 7.00 points, more than 0.5", None]
    assert about["int8"]["kept"].endswith("most sensitive of 11 nodes in fp32")
    assert "it loses 7.00 points" in (tmp_path / "out" / "README.md").read_text()


def test_where_nothing_passes_the_export_is_refused_with_all_figures(
    model: TrainedModel, evidence: Evidence, same_graph: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "fault_of_int8", lambda found, tolerance: f"it loses {found.rows} points")
    few = r"compare on more rows \(--rows FILE, .*\), since of 60 all labels must be equal, or take the format onnx\.$"
    with pytest.raises(RunError, match=rf"at most 0\.5 points of accuracy .*; static, per channel, 60 .*; {few}"):
        export_bundle(model, tmp_path / "out", format="onnx-int8", evidence=evidence)
    assert list(tmp_path.iterdir()) == []


def test_a_way_that_fails_is_a_line_of_the_table(
    model: TrainedModel,
    evidence: Evidence,
    onnx_bundle: Path,
    same_graph: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(file: Path) -> None:
        raise OSError("disk")

    ways = [
        quantize.Attempt("one", broken),
        quantize.Attempt("two", lambda file: shutil.copy(onnx_bundle / "model.onnx", file)),
    ]
    monkeypatch.setattr(bundles, "attempts", lambda *args, **more: iter(ways))
    about = export_bundle(model, tmp_path / "out", format="onnx-int8", evidence=evidence)
    assert [each["fault"] for each in about["int8"]["tried"]] == ["it fails (OSError)", None]
    assert "| one | | | | | it fails (OSError) |" in (tmp_path / "out" / "README.md").read_text()


def test_the_ways_are_dynamic_then_with_sensitive_nodes_in_fp32_then_static(onnx_bundle: Path, tmp_path: Path) -> None:
    ways = attempts(onnx_bundle, tmp_path)
    assert [way.name for way in ways] == [
        "dynamic, per channel",
        *(f"dynamic, per channel, the {count} most sensitive of 11 nodes in fp32" for count in (1, 3, 6)),
        "static, per channel, 8 calibration rows",
    ]
    integers: list[int] = []
    for way in ways:
        way.write(tmp_path / "q.onnx")
        nodes = onnx.load(str(tmp_path / "q.onnx")).graph.node
        integers.append(sum(node.op_type == "MatMulInteger" for node in nodes))
    assert integers[0] == 8
    assert integers[-1] == 0
    assert integers == sorted(integers, reverse=True)
    assert "QuantizeLinear" in operators(tmp_path / "q.onnx")


def test_the_node_that_changes_the_logits_most_is_left_out_first(
    onnx_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = quantize._prepared(onnx_bundle / "model.onnx", tmp_path / "p.onnx")
    nodes = quantize._nodes(prepared)

    def run(graph: Path) -> np.ndarray:
        left = set(json.loads(graph.read_text())) if graph.suffix == ".json" or graph.name == "one.onnx" else set(nodes)
        return np.array([float(nodes.index(node)) for node in nodes if node not in left] or [0.0])

    monkeypatch.setattr(
        quantize, "_dynamic", lambda graph, file, reduce_range, leave=(): file.write_text(json.dumps(list(leave)))
    )
    assert quantize._by_sensitivity(prepared, run, reduce_range=False) == nodes[::-1]


@pytest.mark.parametrize("reduce_range", [False, True])
def test_reduced_weights_have_seven_bits(reduce_range: bool, onnx_bundle: Path, tmp_path: Path) -> None:
    attempts(onnx_bundle, tmp_path, reduce_range=reduce_range)[0].write(tmp_path / "q.onnx")
    weights = [
        np.abs(onnx.numpy_helper.to_array(each).astype(int)).max()
        for each in onnx.load(str(tmp_path / "q.onnx")).graph.initializer
        if each.data_type == onnx.TensorProto.INT8 and each.name.endswith("_quantized")
    ]
    assert (max(weights) <= 64) == reduce_range


@pytest.mark.parametrize(("vnni", "given", "reduced"), [(True, None, False), (False, None, True), (True, True, True)])
def test_the_range_is_reduced_without_vnni_or_on_request(
    vnni: bool,
    given: bool | None,
    reduced: bool,
    model: TrainedModel,
    evidence: Evidence,
    same_graph: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predict, "has_vnni", lambda flags: vnni)
    about = export_bundle(model, tmp_path / "out", format="onnx-int8", evidence=evidence, reduce_range=given)
    assert (about["int8"]["reduce_range"], about["int8"]["vnni"]) == (reduced, vnni)


def found(**changes: Any) -> Agreement:
    plain = {
        "rows": 100,
        "edge_cases": 9,
        "labels": 100,
        "difference": 1e-5,
        "relative": 1e-5,
        "equal_labels": 1.0,
        "equal_edges": 1.0,
    }
    return Agreement(**{**plain, "metric": "accuracy", "model_score": 0.9, "score": 0.9, "lost_points": 0.0, **changes})


def test_differences_of_large_logits_are_also_shares_of_them() -> None:
    theirs = np.array([[400.0, -0.5], [0.25, 2.0]])
    absolute, relative = _differences(theirs + np.array([[0.02, 0.0], [-1e-5, 4e-5]]), theirs)
    assert absolute == pytest.approx(0.02)
    assert relative == pytest.approx(0.02 / 400)
    assert all(np.isnan(_differences(theirs * np.nan, theirs)))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"equal_labels": None, "equal_edges": None}, None),
        ({"difference": 3e-4}, None),  # of logits of 30
        ({"relative": 1.1e-4}, "logits differ by more than 0.0001, or that share of a logit above 1"),
        ({"relative": float("nan")}, "logits differ by more than 0.0001, or that share of a logit above 1"),
        ({"equal_labels": 0.999}, "labels differ"),
        ({"equal_edges": 0.9}, "labels differ"),
    ],
)
def test_fp32_must_agree_in_logits_and_labels(changes: dict[str, Any], fault: str | None) -> None:
    assert fault_of_fp32(found(**changes)) == fault


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"difference": 0.7, "equal_labels": 0.99, "lost_points": 0.5}, None),
        ({"lost_points": -1.0}, None),
        ({"lost_points": 0.51}, "it loses 0.51 points, more than 0.5"),
        ({"equal_labels": 0.989}, "only 98.90 % of the labels are equal"),
        ({"labels": 90, "equal_labels": 89 / 90}, None),
        ({"labels": 90, "equal_labels": 88 / 90}, "only 97.78 % of the labels are equal"),
        ({"labels": 49, "equal_labels": 48 / 49}, "only 97.96 % of the labels are equal"),
        ({"difference": float("inf")}, "logits are not finite"),
        ({"lost_points": float("nan")}, "it loses nan points, more than 0.5"),
    ],
)
def test_int8_may_lose_the_tolerance_and_one_label_in_a_hundred(changes: dict[str, Any], fault: str | None) -> None:
    assert fault_of_int8(found(**changes), 0.5) == fault

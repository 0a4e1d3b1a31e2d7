"""Whole models as onnxruntime's own quantiser writes them, to the last unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

import scratch_onnx.interpreter as so


def weights(name: str, *shape: int) -> Any:
    values = np.random.default_rng(len(name) + sum(shape)).normal(0, 0.3, shape)
    return numpy_helper.from_array(values.astype(np.float32), name)


def network() -> onnx.ModelProto:
    """Two convolutions with a residual, pooling, and two dense layers."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1], group=2),
        helper.make_node("Add", ["c2", "r1"], ["sum"]),
        helper.make_node("LeakyRelu", ["sum"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["d1"], transB=1),
        helper.make_node("Sigmoid", ["d1"], ["s"]),
        helper.make_node("MatMul", ["s", "w4"], ["y"]),
    ]
    initializers = [
        weights("w1", 8, 3, 3, 3), weights("b1", 8), weights("w2", 8, 4, 3, 3), weights("b2", 8),
        weights("w3", 6, 8), weights("b3", 6), weights("w4", 6, 5),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 10, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Samples(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.batches = iter(
            [{"x": random.normal(size=(4, 3, 10, 10)).astype(np.float32)} for _ in range(3)]
        )

    def get_next(self) -> Any:
        return next(self.batches, None)


def assert_close_to_onnxruntime(path: Path, step: float) -> None:
    """The outputs differ by less than half a step of quantisation: none in the last unit."""
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    x = np.random.default_rng(1).normal(size=(5, 3, 10, 10)).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(str(path), settings).run(None, {"x": x})
    for optimize in (False, True):
        (actual,) = so.InferenceSession(str(path), optimize=optimize).run(None, {"x": x})
        assert actual.dtype == expected.dtype
        assert np.abs(actual - expected).max() < step / 2


@pytest.mark.parametrize("quant_format", [QuantFormat.QOperator, QuantFormat.QDQ])
@pytest.mark.parametrize(
    ("activations", "weight_type"),
    [
        (QuantType.QUInt8, QuantType.QInt8),
        (QuantType.QUInt8, QuantType.QUInt8),
        (QuantType.QInt8, QuantType.QInt8),
    ],
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_static(
    tmp_path: Path, quant_format: Any, activations: Any, weight_type: Any, per_channel: bool
) -> None:
    source, target = tmp_path / "float.onnx", tmp_path / "quantised.onnx"
    onnx.save(network(), source)
    quantize_static(
        source,
        target,
        Samples(),
        quant_format=quant_format,
        activation_type=activations,
        weight_type=weight_type,
        per_channel=per_channel,
    )
    model = onnx.load(target)
    kinds = {node.op_type for node in model.graph.node}
    assert ("QLinearConv" if quant_format == QuantFormat.QOperator else "QuantizeLinear") in kinds
    scales = [
        numpy_helper.to_array(value)
        for value in model.graph.initializer
        if value.name.startswith("y_") and value.name.endswith("scale")
    ]
    assert_close_to_onnxruntime(target, step=float(scales[0]) if scales else 1e-5)


@pytest.mark.parametrize("weight_type", [QuantType.QInt8, QuantType.QUInt8])
def test_dynamic(tmp_path: Path, weight_type: Any) -> None:
    source, target = tmp_path / "float.onnx", tmp_path / "quantised.onnx"
    onnx.save(network(), source)
    quantize_dynamic(source, target, weight_type=weight_type)
    kinds = {node.op_type for node in onnx.load(target).graph.node}
    assert {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"} <= kinds
    assert_close_to_onnxruntime(target, step=1e-5)

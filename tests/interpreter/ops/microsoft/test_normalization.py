from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from drawing import fill
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from oracles import FLOAT32, assert_same, check_node, run_onnxruntime, run_ours

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter.ops.microsoft import normalization as kernels

MS = {"domain": "com.microsoft", "opset": 1}
OUTPUTS = ["y0", "", "", "y3"]  # onnxruntime gives no statistics on CPU


@given(
    st.sampled_from([(2, 3, 8), (1, 3, 8), (3, 8)]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1e-12, 1e-2]),
)
@pytest.mark.parametrize("op_type", ["SkipLayerNormalization", "SkipSimplifiedLayerNormalization"])
def test_skip(op_type: str, skip: Any, with_beta: bool, with_bias: bool, epsilon: float) -> None:
    if "Simplified" in op_type and len(skip) < 3:
        return
    inputs = [fill((2, 3, 8), seed=1), fill(skip, seed=2), fill((8,), seed=3)]
    if "Simplified" not in op_type and (with_beta or with_bias):
        inputs.append(fill((8,), seed=4) if with_beta else None)
    if with_bias:
        inputs.append(fill((8,), seed=5))
    check_node(op_type, inputs, outputs=OUTPUTS, epsilon=epsilon, **MS)


def test_statistics() -> None:
    x = np.array([[[1, 3], [2, 2]]], np.float32)
    ones = np.ones(2, np.float32)
    y, mean, inverse, total = kernels.skip_layer_normalization(x, x, ones, epsilon=1.0)
    assert_same([total, mean], [2 * x, np.array([[[4], [4]]], np.float32)])
    root = np.float32(1 / np.sqrt(5))
    assert_same([inverse], [np.array([[[root], [1]]], np.float32)])
    assert_same([y], [np.array([[[-2 * root, 2 * root], [0, 0]]], np.float32)])
    y, none, inverse, _ = kernels.skip_simplified_layer_normalization(x, x, ones, epsilon=5.0)
    assert none is None
    assert_same([inverse[0, 0]], [np.array([0.2], np.float32)])  # 1 / sqrt((4 + 36) / 2 + 5)


@pytest.mark.parametrize("axis", [-1, 1, 0])
@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_simplified_layer_normalization(axis: int, epsilon: float) -> None:
    # It is in the standard's domain: shape inference does not know it, so the model says its types.
    x = fill((2, 3, 4), seed=1)
    scale = fill(x.shape[axis:] if axis else x.shape, seed=2)
    attributes = {"axis": axis, "epsilon": epsilon}
    node = helper.make_node("SimplifiedLayerNormalization", ["x", "s"], ["y", "i"], **attributes)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in [("x", x.shape), ("s", scale.shape), ("y", None), ("i", None)]
    ]
    graph = helper.make_graph([node], "g", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feed = {"x": x, "s": scale}
    oracle = onnxruntime.InferenceSession(model.SerializeToString())
    actual = so.InferenceSession(model).run(None, feed)
    assert_same(actual, oracle.run(None, feed), **FLOAT32)


@given(st.booleans(), st.booleans(), st.booleans())
def test_embed_layer_normalization(segments: bool, mask: bool, positions: bool) -> None:
    random = np.random.default_rng(0)

    def ids(limit: int) -> Any:
        return random.integers(0, limit, (2, 5)).astype(np.int32)

    inputs = [ids(10), ids(2) if segments else None, fill((10, 8), seed=1), fill((6, 8), seed=2)]
    inputs += [fill((2, 8), seed=3) if segments else None, fill((8,), seed=4), fill((8,), seed=5)]
    inputs.append(np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], np.int32) if mask else None)
    inputs.append(ids(6) if positions else None)
    while inputs[-1] is None:
        inputs.pop()
    check_node("EmbedLayerNormalization", inputs, outputs=3, epsilon=1e-6, **MS)


def test_embedding_refuses_ids_out_of_range() -> None:
    table, row = fill((3, 2)), fill((2,))
    ids = np.array([[0, 3]], np.int32)
    inputs = [ids, None, table, table, None, row, row]
    with pytest.raises(so.errors.RunError, match="ids must lie in 0 to 2"):
        run_ours("EmbedLayerNormalization", inputs, **MS)
    with pytest.raises(Exception, match="out of range"):
        run_onnxruntime("EmbedLayerNormalization", inputs, **MS)

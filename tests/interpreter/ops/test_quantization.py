from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import shapes
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from oracles import assert_same, check_node, feeds, node_model, run_ours

from scratch_onnx.interpreter.ops import quantization as kernels
from scratch_onnx.interpreter.types import enum_of_dtype

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

BYTES = [np.uint8, np.int8]
WORDS = [np.uint16, np.int16]
FLOAT8 = [
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e5m2fnuz,
]


@st.composite
def granularities(draw: Any, opset: int, dtype: Any) -> tuple[tuple[int, ...], Any, Any, dict]:  # type: ignore[type-arg]
    """The shape of a tensor, random scales and zero points that belong to it, and attributes."""
    shape = draw(shapes(1, 3, st.integers(1, 5)))
    axis = draw(st.integers(0, len(shape) - 1))
    kinds = ["tensor"] + ["axis"] * (opset >= 13) + ["block"] * (opset >= 21)
    kind = draw(st.sampled_from(kinds))
    attributes: dict[str, int] = {}
    scale_shape: tuple[int, ...] = ()
    if kind != "tensor":
        attributes["axis"] = axis - len(shape) * draw(st.integers(0, 1))
        scale_shape = (shape[axis],)
    block = draw(st.integers(1, 3))
    blocks = (*shape[:axis], -(-shape[axis] // block), *shape[axis + 1 :])
    if kind == "block" and np.prod(blocks) > 1:  # onnxruntime refuses a single block
        attributes["block_size"], scale_shape = block, blocks
    random = np.random.default_rng(draw(st.integers(0, 100)))
    scale = np.asarray(random.uniform(0.01, 2, scale_shape))
    zero_point = np.asarray(random.integers(0, 5, scale_shape)).astype(dtype)
    return shape, scale, zero_point, attributes


def run_through_float(op_type: str, inputs: Any, **options: Any) -> Any:
    """onnxruntime's result as float32: it does not hand out the small types."""
    import onnxruntime as ort

    model = node_model(op_type, inputs, **options)
    model.graph.node.append(helper.make_node("Cast", ["y0"], ["z"], to=TensorProto.FLOAT))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds(inputs, options.get("constants", ())))[0]


@given(st.data())
def test_quantize_linear(data: Any) -> None:
    opset = data.draw(st.sampled_from([10, 13, 19, 21, 23, 24, 25]))
    dtype = data.draw(st.sampled_from(BYTES + (WORDS if opset >= 21 else [])))
    source = data.draw(st.sampled_from([np.float32] + [np.float16] * (opset >= 19)))
    shape, scale, zero_point, attributes = data.draw(granularities(opset, dtype))
    x = np.random.default_rng(1).normal(0, 100, shape).astype(source)
    inputs = [x, scale.astype(source), zero_point]
    if data.draw(st.booleans()) and dtype == np.uint8:
        inputs = inputs[:2]
    check_node("QuantizeLinear", inputs, opset=opset, ir_version=10, **attributes)


@given(st.data())
def test_quantize_to_small_types(data: Any) -> None:
    opset = data.draw(st.sampled_from([21, 23]))
    dtype = data.draw(st.sampled_from([ml_dtypes.int4, ml_dtypes.uint4, *FLOAT8]))
    shape, scale, zero_point, attributes = data.draw(granularities(opset, dtype))
    if dtype in FLOAT8:
        # Only one scale a tensor is implemented in onnxruntime for all of them.
        scale, attributes = np.array(0.3), {}
        zero_point = np.zeros((), dtype)
        attributes["saturate"] = data.draw(st.integers(0, 1))
    x = np.random.default_rng(1).normal(0, 3, shape).astype(np.float32)
    inputs = [x, np.asarray(scale, np.float32), zero_point]
    options = {"opset": opset, "ir_version": 10, "constants": [2], **attributes}
    actual = run_ours("QuantizeLinear", inputs, **options)[0]
    assert actual.dtype == dtype
    expected = run_through_float("QuantizeLinear", inputs, **options)
    assert_same([actual.astype(np.float32)], [expected])


HAND = [
    # x / 2 rounded half to even, plus the zero point, clipped.
    (np.uint8, 1, [0, 1, 3, 255, 1]),
    (np.int8, -1, [-3, -1, 1, 127, -1]),
    (np.uint16, 1, [0, 1, 3, 5001, 1]),
    (np.int16, -1, [-3, -1, 1, 4999, -1]),
    (ml_dtypes.uint4, 1, [0, 1, 3, 15, 1]),
    (ml_dtypes.int4, -1, [-3, -1, 1, 7, -1]),
    (ml_dtypes.uint2, 1, [0, 1, 3, 3, 1]),
    (ml_dtypes.int2, -1, [-2, -1, 1, 1, -1]),
    (ml_dtypes.float8_e4m3fn, 0, [-2.5, 0.5, 1.5, 448, 0]),
    (ml_dtypes.float8_e5m2, 0, [-2.5, 0.5, 1.5, 5120, 0]),
    (ml_dtypes.float4_e2m1fn, 0, [-2, 0.5, 1.5, 6, 0]),
    (ml_dtypes.float6_e2m3fn, 0, [-2.5, 0.5, 1.5, 7.5, 0]),
    (ml_dtypes.float6_e3m2fn, 0, [-2.5, 0.5, 1.5, 28, 0]),
]


@pytest.mark.parametrize(("dtype", "zero_point", "expected"), HAND)
@pytest.mark.parametrize("source", [np.float32, np.float16, ml_dtypes.bfloat16, np.int32])
def test_quantize_by_hand(dtype: Any, zero_point: int, expected: Any, source: Any) -> None:
    x = np.array([-5, 1, 3, 10000, 0], np.float32).astype(source)
    scale = np.array(2).astype(source)
    if source == ml_dtypes.bfloat16 and dtype in WORDS:
        expected = [*expected[:3], float(x[3]) / 2 + zero_point, expected[4]]
    zero = np.array(zero_point).astype(dtype)
    wanted = np.array(expected, np.float32).astype(dtype)
    assert_same(run_ours("QuantizeLinear", [x, scale, zero], opset=28), [wanted])
    if zero_point == 0:
        to = enum_of_dtype(dtype)
        by_attribute = run_ours("QuantizeLinear", [x, scale], opset=28, output_dtype=to)
        assert_same(by_attribute, [wanted])


def test_quantize_special_values() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 2.5, 3.5, -0.5], np.float32)
    for dtype in BYTES + WORDS:
        zero_point = np.array(3, dtype)
        inputs = [np.tile(x, 5), np.array(1, np.float32), zero_point]
        check_node("QuantizeLinear", inputs, opset=21, ir_version=10)


def test_precision_of_the_division() -> None:
    # 127.49 in float32 is 127; float16 has steps of 1/16 there and its quotient is 127.5.
    x, scale = np.array([127.49 * 0.731, 92.9], np.float16), np.array(0.731, np.float16)
    exact = x.astype(np.float32) / np.float32(scale)
    assert (np.rint(exact) != np.rint(x / scale)).any()
    fine = run_ours("QuantizeLinear", [x, scale], opset=25, precision=TensorProto.FLOAT)
    assert fine[0].tolist() == np.rint(exact).tolist()
    assert run_ours("QuantizeLinear", [x, scale], opset=21)[0].tolist() == np.rint(exact).tolist()
    coarse = run_ours("QuantizeLinear", [x, scale], opset=25)
    assert coarse[0].tolist() == np.rint(x / scale).tolist()


def test_quantize_with_power_of_two_scale() -> None:
    x = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
    scale = np.array([[0.5, 2], [4, 1]], np.float32).astype(ml_dtypes.float8_e8m0fnu)
    attributes = {"axis": 1, "block_size": 2}
    to = TensorProto.INT8
    (q,) = run_ours("QuantizeLinear", [x, scale], opset=24, output_dtype=to, **attributes)
    assert_same([q], [np.array([[2, 4, 2, 2], [1, 2, 7, 8]], np.int8)])
    attributes["output_dtype"] = TensorProto.BFLOAT16
    (y,) = run_ours("DequantizeLinear", [q, scale], opset=24, **attributes)
    assert_same([y], [np.array([[1, 2, 4, 4], [4, 8, 7, 8]], ml_dtypes.bfloat16)])


def test_quantize_refuses() -> None:
    x, scales = np.zeros((2, 3), np.float32), np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"scales of axis 0 of \[2, 3\] must have the shape \[2\]"):
        kernels.quantize_linear(x, scales, axis=0)
    with pytest.raises(
        ValueError, match=r"blocks of 2 along axis 1 .* must have the shape \[2, 2\]"
    ):
        kernels.quantize_linear(x, scales, block_size=2)
    with pytest.raises(ValueError, match="opset 10 has one scale for all"):
        kernels.quantize_linear_10(x, scales)
    with pytest.raises(ValueError, match="output_dtype int8 must be the zero point's dtype, uint8"):
        kernels.quantize_linear(x, scales, scales.astype(np.uint8), output_dtype=TensorProto.INT8)


@given(st.data())
def test_dequantize_linear(data: Any) -> None:
    opset = data.draw(st.sampled_from([10, 13, 19, 21, 23, 24, 25]))
    small = [ml_dtypes.int4, ml_dtypes.uint4]
    dtype = data.draw(st.sampled_from(BYTES + [np.int32] + (WORDS + small) * (opset >= 21)))
    target = data.draw(st.sampled_from([np.float32] + [np.float16] * (opset >= 19)))
    shape, scale, zero_point, attributes = data.draw(granularities(opset, dtype))
    if dtype == np.int32:
        zero_point = np.zeros_like(zero_point)
    x = np.random.default_rng(1).integers(0, 250, shape).astype(dtype)
    inputs = [x, scale.astype(target), zero_point]
    if data.draw(st.booleans()):
        inputs = inputs[:2]
    constants = [0, 2][: len(inputs) - 1] if dtype in small else []
    options = {"opset": opset, "ir_version": 10, "constants": constants}
    check_node("DequantizeLinear", inputs, **options, **attributes)


@pytest.mark.parametrize("dtype", [*FLOAT8, ml_dtypes.float4_e2m1fn, ml_dtypes.float6_e3m2fn])
@pytest.mark.parametrize("target", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_dequantize_small_floats(dtype: Any, target: Any) -> None:
    x = np.array([[0, 1, -0.5], [2, 4, -6]], np.float32)
    scale = np.array([2, 0.25, 1], np.float32).astype(target)
    expected = (x * scale.astype(np.float32)).astype(target)
    actual = run_ours("DequantizeLinear", [x.astype(dtype), scale], opset=28)
    assert_same(actual, [expected])


def test_dequantize_two_bits() -> None:
    for dtype, values in [(ml_dtypes.uint2, [0, 1, 2, 3]), (ml_dtypes.int2, [-2, -1, 0, 1])]:
        x, zero_point = np.array(values).astype(dtype), np.array(1).astype(dtype)
        (y,) = run_ours("DequantizeLinear", [x, np.array(0.5, np.float32), zero_point], opset=25)
        assert y.tolist() == [(value - 1) / 2 for value in values]


@given(shapes(0, 3, st.integers(0, 5)), st.integers(0, 20), st.sampled_from([-3, 0, 3]))
def test_dynamic_quantize_linear(shape: tuple[int, ...], seed: int, shift: int) -> None:
    x = np.asarray(np.random.default_rng(seed).normal(shift, 1, shape), dtype=np.float32)
    check_node("DynamicQuantizeLinear", [x], opset=11, outputs=3)


def test_dynamic_quantize_linear_at_the_edges() -> None:
    for values in ([0, 0], [np.nan, 1], [5, 5], [-5, -5]):
        check_node("DynamicQuantizeLinear", [np.array(values, np.float32)], opset=11, outputs=3)
    # 1.275 of range in 255 steps of 0.005, which begin 51 below zero.
    y, scale, zero_point = kernels.dynamic_quantize_linear(np.array([-0.255, 1.02], np.float32))
    assert np.isclose(scale, 0.005)
    assert (int(zero_point), y.tolist()) == (51, [0, 255])

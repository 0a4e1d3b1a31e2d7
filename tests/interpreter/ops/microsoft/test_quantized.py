from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from oracles import assert_same, check_node, run_ours

from scratch_onnx.interpreter.ops.microsoft import quantized as kernels

MS = {"domain": "com.microsoft", "opset": 1}
BYTES = st.sampled_from([np.uint8, np.int8])
# No round ratios: where a result is half-way between two units, float32's last digit decides.
SCALES = st.sampled_from([0.0213, 0.01371, 0.3717, 0.2473])
SHAPES = mutually_broadcastable_shapes(num_shapes=2, min_dims=1, max_dims=4, min_side=1, max_side=5)


def integers(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    limits = np.iinfo(dtype)
    values = np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape)
    return np.asarray(values).astype(dtype)


def float32(value: float) -> Any:
    return np.array(value, np.float32)


@given(st.sampled_from([np.uint8, np.int8, np.uint16, np.int16]), st.booleans(), st.booleans())
def test_quantize_and_dequantize(dtype: Any, half: bool, by_axis: bool) -> None:
    source = np.float16 if half else np.float32
    shape, attributes = ((3,), {"axis": 0}) if by_axis else ((), {})
    scale = np.asarray(np.linspace(0.3, 1.1, 3)[: 3 if by_axis else 1].reshape(shape), source)
    zero_point = integers(shape, dtype, 1)
    x = (np.random.default_rng(0).normal(size=(3, 4)) * 100).astype(source)
    check_node("QuantizeLinear", [x, scale, zero_point], **attributes, **MS)
    q = integers((3, 4), dtype, 2)
    check_node("DequantizeLinear", [q, scale, zero_point], **attributes, **MS)


@given(st.data())
@pytest.mark.parametrize("op_type", ["QLinearAdd", "QLinearMul"])
def test_binary(op_type: str, data: Any) -> None:
    dtype = data.draw(BYTES)
    inputs: list[Any] = []
    for seed, shape in enumerate(data.draw(SHAPES).input_shapes):
        inputs += [integers(shape, dtype, seed), float32(data.draw(SCALES))]
        inputs.append(integers((), dtype, seed + 5))
    inputs += [float32(data.draw(SCALES)), integers((), dtype, 9)]
    check_node(op_type, inputs, **MS)


@given(BYTES, SCALES, SCALES)
@pytest.mark.parametrize("op_type", ["QLinearSigmoid", "QLinearLeakyRelu"])
def test_function(op_type: str, dtype: Any, x_scale: float, y_scale: float) -> None:
    x, zero_points = integers((300,), dtype), [integers((), dtype, 1), integers((), dtype, 2)]
    scales = [float32(x_scale), float32(y_scale / 10)]
    inputs = [x, scales[0], zero_points[0], scales[1], zero_points[1]]
    attributes = {"alpha": 0.2} if op_type == "QLinearLeakyRelu" else {}
    check_node(op_type, inputs, **MS, **attributes)
    # Zero points that are absent are 0 (onnxruntime crashes on them).
    zero = np.zeros((), dtype)
    without = run_ours(op_type, [x, scales[0], None, scales[1]], **MS, **attributes)
    zeros = [x, scales[0], zero, scales[1], zero]
    assert_same(without, run_ours(op_type, zeros, **MS, **attributes))


@given(BYTES, SCALES, st.sampled_from([0, 1, -1]), st.sampled_from([12, 13]))
def test_softmax(dtype: Any, scale: float, axis: int, opset: int) -> None:
    x = integers((3, 4, 5), dtype)
    zero_point = np.array(np.iinfo(dtype).min, dtype)
    inputs = [x, float32(scale), integers((), dtype, 1), float32(1 / 256), zero_point]
    options = {"opset": 1, "domain": "com.microsoft"}
    (actual,) = run_node_with_opset("QLinearSoftmax", inputs, axis, opset, ours=True, **options)
    (expected,) = run_node_with_opset("QLinearSoftmax", inputs, axis, opset, ours=False, **options)
    assert actual.dtype == expected.dtype
    # onnxruntime sums a table of rounded exponentials: the last unit may differ.
    assert np.abs(actual.astype(int) - expected.astype(int)).max() <= 1


def run_node_with_opset(
    op_type: str, inputs: Any, axis: int, softmax_opset: int, ours: bool, **options: Any
) -> Any:
    """``opset`` is an attribute here, and a parameter of ``node_model``: the model is changed."""
    import onnxruntime
    from onnx import helper
    from oracles import feeds, node_model

    import scratch_onnx.interpreter as so

    model = node_model(op_type, inputs, axis=axis, constants=[1, 2, 3, 4], **options)
    model.graph.node[0].attribute.append(helper.make_attribute("opset", softmax_opset))
    feed = feeds(inputs, [1, 2, 3, 4])
    if ours:
        return so.InferenceSession(model).run(None, feed)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)


@given(BYTES, SCALES, SCALES, st.integers(0, 1), st.sampled_from([(7, 5), (1, 1), (9, 9)]))
def test_global_average_pool(
    dtype: Any, x_scale: float, y_scale: float, channels_last: int, spatial: Any
) -> None:
    shape = (2, *spatial, 3) if channels_last else (2, 3, *spatial)
    x = integers(shape, dtype)
    inputs = [x, float32(x_scale), integers((), dtype, 1), float32(y_scale), integers((), dtype, 2)]
    check_node("QLinearGlobalAveragePool", inputs, channels_last=channels_last, **MS)


@given(BYTES, SCALES, SCALES, st.integers(0, 1), st.integers(0, 1), st.integers(0, 1))
def test_average_pool(
    dtype: Any, x_scale: float, y_scale: float, ceil: int, count_pads: int, last: int
) -> None:
    x = integers((2, 6, 7, 3) if last else (2, 3, 6, 7), dtype)
    inputs = [x, float32(x_scale), integers((), dtype, 1)]
    inputs += [float32(y_scale * 1.0173), integers((), dtype, 2)]
    attributes = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 1, 1, 0]}
    attributes |= {"ceil_mode": ceil, "count_include_pad": count_pads, "channels_last": last}
    if ceil and count_pads:
        return  # onnxruntime counts here what hangs over the padding: AveragePool does not
    check_node("QLinearAveragePool", inputs, **attributes, **MS)


@given(st.data())
def test_concat(data: Any) -> None:
    dtype, axis = data.draw(BYTES), data.draw(st.integers(-2, 1))
    inputs = [float32(data.draw(SCALES)), integers((), dtype, 1)]
    for seed in range(data.draw(st.integers(1, 3))):
        shape = [3, 4]
        shape[axis] = data.draw(st.integers(1, 4))
        inputs += [integers(tuple(shape), dtype, seed), float32(data.draw(SCALES))]
        inputs.append(integers((), dtype, seed + 5))
    # onnxruntime needs constant scales and zero points for its table.
    fixed = [i for i in range(len(inputs)) if i < 2 or i % 3 != 2]
    check_node("QLinearConcat", inputs, axis=axis, constants=fixed, **MS)


def test_by_hand() -> None:
    a, b = np.array([10, 250], np.uint8), np.array([[3], [0]], np.uint8)
    scales = [float32(0.5), float32(2), float32(1)]
    zero = np.array(2, np.uint8)
    # (a - 2) / 2 = [4, 124]; (b - 2) · 2 = [2, -4].
    total = kernels.qlinear_add(a, scales[0], zero, b, scales[1], zero, scales[2], zero)
    assert_same([total], [np.array([[8, 128], [2, 122]], np.uint8)])
    product = kernels.qlinear_mul(a, scales[0], zero, b, scales[1], zero, scales[2], zero)
    assert_same([product], [np.array([[10, 250], [0, 0]], np.uint8)])
    # 19 · 1 / 2 = 9.5 is rounded to 10, and 10.5, with the zero point in it, to 10 as well.
    x, two = np.array([21], np.uint8), float32(2)
    one = float32(1)
    for zero_point, expected in [(0, 10), (1, 10)]:
        inputs = [x, one, zero, np.array([3], np.uint8), one, zero, two]
        inputs.append(np.array(zero_point, np.uint8))
        assert kernels.qlinear_mul(*inputs).tolist() == [expected]
        check_node("QLinearMul", inputs, **MS)
    with pytest.raises(ValueError, match="each followed by its scale and zero point"):
        kernels.qlinear_concat(scales[0], zero, a, axis=0)

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays, axis_of, fill, shapes
from hypothesis import given
from hypothesis import strategies as st
from oracles import FLOAT32, assert_same, check_node, run_ours
from rounded import check_rounded
from typed import dtypes

from scratch_onnx.interpreter.ops import normalization as kernels

SIDES = st.integers(1, 4)


def parameters(data: Any, shape: tuple[int, ...], dtype: Any, count: int) -> list[Any]:
    return [data.draw(arrays(shape, (dtype,))) for _ in range(count)]


def positive(x: Any) -> Any:
    return np.abs(x) + np.asarray(0.125, x.dtype)


@given(st.data())
def test_batch_normalization(data: Any) -> None:
    opset = data.draw(st.sampled_from([7, 9, 14, 15]))
    dtype = data.draw(st.sampled_from(dtypes("BatchNormalization", opset)))
    shape = (data.draw(st.integers(0, 3)), *data.draw(shapes(1, 4, SIDES)))
    scale, b, mean, var = parameters(data, (shape[1],), dtype, 4)
    inputs = [data.draw(arrays(shape, (dtype,))), scale, b, mean, positive(var)]
    # onnxruntime folds mean and variance into scale and bias, which cancels some digits.
    limits = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {}
    check_rounded("BatchNormalization", inputs, opset=opset, epsilon=0.01, **limits)


@given(st.data())
def test_batch_normalization_of_each_element(data: Any) -> None:
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    shape = (data.draw(st.integers(0, 3)), *data.draw(shapes(3, 3, SIDES)))
    scale, b, mean, var = parameters(data, shape[1:], dtype, 4)
    inputs = [data.draw(arrays(shape, (dtype,))), scale, b, mean, positive(var)]
    limits = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {}
    check_node("BatchNormalization", inputs, opset=7, spatial=0, **limits)


def test_batch_normalization_of_a_vector() -> None:
    one = np.ones(1, np.float32)
    x = np.array([1, 2, 3], np.float32)
    inputs = [x, 2 * one, 5 * one, 1 * one, 4 * one]
    (y,) = run_ours("BatchNormalization", inputs, opset=15, epsilon=0.0)
    assert y.tolist() == [5, 6, 7]


X = np.array([[[1, 3], [10, 20]], [[5, 7], [30, 40]]], np.float32)
"""[N, C, D]: means 4 and 25, variances 5 and 125."""
RUNNING_MEAN, RUNNING_VAR = [0 * 0.75 + 4 * 0.25, 25 * 0.25], [0.75 + 5 * 0.25, 0.75 + 125 * 0.25]


def training_inputs(dtype: Any = np.float32) -> list[Any]:
    two = np.ones(2, dtype)
    return [X.astype(dtype), 2 * two, 3 * two, 0 * two, two]


def trained(x: Any) -> Any:
    mean = np.array([4, 25]).reshape(2, 1)
    var = np.array([5, 125]).reshape(2, 1)
    return (x - mean) / np.sqrt(var) * 2 + 3


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("opset", [14, 15])
def test_batch_normalization_training(opset: int, dtype: Any) -> None:
    options = {"opset": opset, "training_mode": 1, "momentum": 0.75, "epsilon": 0.0}
    actual = run_ours("BatchNormalization", training_inputs(dtype), outputs=3, **options)
    expected = [trained(X.astype(np.float64)), np.array(RUNNING_MEAN), np.array(RUNNING_VAR)]
    limits = FLOAT32 if dtype == np.float64 else {}
    assert_same(actual, [y.astype(dtype) for y in expected], **limits)


@pytest.mark.parametrize(
    ("opset", "options"), [(1, {}), (6, {}), (6, {"is_test": 0}), (7, {}), (9, {})]
)
def test_batch_normalization_training_before_14(opset: int, options: dict[str, Any]) -> None:
    options = options | {"momentum": 0.75, "epsilon": 0.0, "opset": opset}
    if opset == 1:
        options["consumed_inputs"] = [0, 0, 0, 1, 1]
    actual = run_ours("BatchNormalization", training_inputs(), outputs=5, **options)
    expected = [trained(X), RUNNING_MEAN, RUNNING_VAR, [4, 25], [5, 125]]
    assert_same(actual, [np.asarray(y, np.float32) for y in expected])


@pytest.mark.parametrize(("opset", "options"), [(1, {"is_test": 1}), (6, {"is_test": 1}), (9, {})])
def test_batch_normalization_tests_with_one_output(opset: int, options: dict[str, Any]) -> None:
    # onnx's reference trains here in opsets 9 to 13.
    if opset == 1:
        options = options | {"consumed_inputs": [0, 0, 0, 1, 1]}
    inputs = training_inputs()
    inputs[3:] = [np.array([1, 10], np.float32), np.array([4, 100], np.float32)]
    (y,) = run_ours("BatchNormalization", inputs, opset=opset, epsilon=0.0, **options)
    expected = [[[3, 5], [3, 5]], [[7, 9], [7, 9]]]
    assert_same([y], [np.array(expected, np.float32)], rtol=1e-6)


def test_batch_normalization_training_of_each_element() -> None:
    x = np.array([[[1, 2]], [[3, 6]]], np.float32)  # means 2 and 4, variances 1 and 4
    ones = np.ones((1, 2), np.float32)
    y, mean, var, *_ = run_ours(
        "BatchNormalization",
        [x, ones, ones, ones, ones],
        opset=7,
        outputs=5,
        spatial=0,
        momentum=0.0,
        epsilon=0.0,
    )
    assert_same([y], [np.array([[[0, 0]], [[2, 2]]], np.float32)])
    assert_same([mean, var], [np.array([[2, 4]], np.float32), np.array([[1, 4]], np.float32)])


def test_batch_normalization_with_dtypes_of_their_own() -> None:
    x = X.astype(np.float16)
    scale, b, mean, var = (v.astype(np.float32) for v in training_inputs()[1:])
    y, new_mean, new_var = run_ours(
        "BatchNormalization", [x, scale, b, mean, var], opset=15, outputs=3, training_mode=1
    )
    assert (y.dtype, new_mean.dtype, new_var.dtype) == (np.float16, np.float32, np.float32)


def test_parameters_of_another_shape() -> None:
    two, three = fill((2,)), fill((3,))
    with pytest.raises(ValueError, match=r"must have the shape \[2\], and one has \[3\]"):
        kernels.batch_normalization(X, two, two, three, two)


@given(st.data())
def test_instance_normalization(data: Any) -> None:
    opset = data.draw(st.sampled_from([6, 22]))
    dtype = data.draw(st.sampled_from(dtypes("InstanceNormalization", opset)))
    shape = (data.draw(SIDES), *data.draw(shapes(2, 4, SIDES)))
    inputs = [data.draw(arrays(shape, (dtype,))), *parameters(data, (shape[1],), dtype, 2)]
    limits = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {}
    check_rounded("InstanceNormalization", inputs, opset=opset, epsilon=0.5, **limits)


def test_instance_normalization_by_hand() -> None:
    for opset in (1, 6, 22):
        (y,) = run_ours(
            "InstanceNormalization",
            [X, np.array([1, 2], np.float32), np.array([0, 5], np.float32)],
            opset=opset,
            epsilon=0.0,
        )
        assert_same([y], [np.array([[[-1, 1], [3, 7]], [[-1, 1], [3, 7]]], np.float32)])


@given(st.data())
def test_layer_normalization(data: Any) -> None:
    dtype = data.draw(st.sampled_from(dtypes("LayerNormalization", 17)))
    shape = data.draw(shapes(1, 4, SIDES))
    axis = axis_of(data.draw, len(shape))
    inputs = [data.draw(arrays(shape, (dtype,)))]
    inputs += parameters(data, shape[axis:], dtype, data.draw(st.integers(1, 2)))
    # The statistics are float32 in any dtype, and check_rounded would round them.
    outputs = 3 if dtype == np.float32 else 1
    # In float32, double too, and onnxruntime takes the variance as a difference of squares.
    limits = {"rtol": 1e-4, "atol": 1e-4} if dtype.itemsize > 2 else {}
    check_rounded(
        "LayerNormalization", inputs, opset=17, outputs=outputs, axis=axis, epsilon=0.25, **limits
    )


def test_layer_normalization_by_hand() -> None:
    x = np.array([[1, 3], [10, 30]], np.float32)
    inputs = [x, np.array([1, 2], np.float32), np.array([0, 1], np.float32)]
    y, mean, inverse = run_ours("LayerNormalization", inputs, opset=17, outputs=3, epsilon=0.0)
    assert_same([y], [np.array([[-1, 3], [-1, 3]], np.float32)])
    assert_same([mean, inverse], [np.array([[2], [20]], "f4"), np.array([[1], [0.1]], "f4")])
    y, mean, inverse = run_ours(
        "LayerNormalization", inputs, opset=17, outputs=3, epsilon=0.0, axis=0
    )
    assert mean.tolist() == [[11]]
    np.testing.assert_allclose(inverse, [[1 / math.sqrt((100 + 64 + 1 + 361) / 4)]], rtol=1e-6)


def test_statistics_have_the_stash_type() -> None:
    x, scale = fill((2, 3), np.float16), np.ones(3, np.float16)
    for stash, dtype in ((1, np.float32), (16, ml_dtypes.bfloat16)):
        y, mean, inverse = run_ours(
            "LayerNormalization", [x, scale], opset=17, outputs=3, stash_type=stash
        )
        assert (y.dtype, mean.dtype, inverse.dtype) == (np.float16, dtype, dtype)


@given(st.data())
def test_rms_normalization(data: Any) -> None:
    dtype = data.draw(st.sampled_from(dtypes("RMSNormalization", 23)))
    shape = data.draw(shapes(1, 4, SIDES))
    axis = axis_of(data.draw, len(shape))
    inputs = [data.draw(arrays(shape, (dtype,))), *parameters(data, shape[axis:], dtype, 1)]
    limits = {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float64 else {}
    check_rounded("RMSNormalization", inputs, opset=23, axis=axis, epsilon=0.25, **limits)


def test_rms_normalization_takes_the_dtype_of_the_scale() -> None:
    x, scale = np.array([[3, 4]], np.float16), np.array([1, 2], np.float32)
    y = kernels.rms_normalization(x, scale, epsilon=0.0)  # onnx's type inference refuses it
    root = math.sqrt(12.5)
    assert_same([y], [np.array([[3 / root, 8 / root]], np.float32)])


@given(st.data())
def test_group_normalization(data: Any) -> None:
    opset = data.draw(st.sampled_from([18, 21]))
    dtype = data.draw(st.sampled_from(dtypes("GroupNormalization", opset)))
    groups, each = data.draw(SIDES), data.draw(SIDES)
    shape = (data.draw(SIDES), groups * each, *data.draw(shapes(1, 2, SIDES)))
    size = groups if opset == 18 else groups * each
    inputs = [data.draw(arrays(shape, (dtype,))), *parameters(data, (size,), dtype, 2)]
    limits = {"rtol": 1e-4, "atol": 1e-4} if dtype.itemsize > 2 else {}
    check_rounded(
        "GroupNormalization", inputs, opset=opset, num_groups=groups, epsilon=0.25, **limits
    )


def test_groups_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="num_groups 3 does not divide the 2 channels"):
        kernels.group_normalization(X, fill((2,)), fill((2,)), num_groups=3)


@given(st.data())
def test_lrn(data: Any) -> None:
    opset = data.draw(st.sampled_from([1, 13]))
    # onnxruntime takes images only, and odd sizes.
    shape = (data.draw(SIDES), data.draw(st.integers(1, 8)), data.draw(SIDES), data.draw(SIDES))
    x = data.draw(arrays(shape, dtypes("LRN", opset)))
    options = {"size": data.draw(st.sampled_from([1, 3, 5])), "alpha": 0.5, "bias": 2.0}
    check_rounded("LRN", [x], opset=opset, beta=data.draw(st.sampled_from([0.5, 0.75])), **options)


def test_lrn_of_an_even_size_takes_one_more_from_above() -> None:
    x = np.array([[1, 2, 3]], np.float32)
    (y,) = run_ours("LRN", [x], opset=13, size=2, alpha=2.0, beta=1.0, bias=0.0)
    assert_same([y], [np.array([[1 / 5, 2 / 13, 3 / 9]], np.float32)])


@given(st.data())
def test_lp_normalization(data: Any) -> None:
    opset = data.draw(st.sampled_from([1, 22]))
    shape = data.draw(shapes(1, 4, SIDES))
    x = data.draw(arrays(shape, dtypes("LpNormalization", opset)))
    options = {"p": data.draw(st.integers(1, 2)), "axis": axis_of(data.draw, len(shape))}
    check_rounded("LpNormalization", [x], opset=opset, **options)


def test_lp_normalization_of_zeros() -> None:
    x = np.array([[0, 0], [3, 4]], np.float32)
    (y,) = run_ours("LpNormalization", [x], opset=22)
    assert_same([y], [np.array([[0, 0], [0.6, 0.8]], np.float32)])
    with pytest.raises(ValueError, match="p must be 1 or 2, and is 3"):
        kernels.lp_normalization(x, p=3)


@given(st.data())
def test_mean_variance_normalization(data: Any) -> None:
    opset = data.draw(st.sampled_from([9, 13]))
    shape = tuple(data.draw(st.integers(2, 4)) for _ in range(4))
    # Distinct values: of a constant onnxruntime divides zero by zero.
    x = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=shape).astype(np.float32)
    check_rounded("MeanVarianceNormalization", [x], opset=opset, rtol=1e-4, atol=1e-5)
    for axes in ([0, 2, 3], [0, 1, 2, 3]):  # all that onnxruntime has
        check_rounded(
            "MeanVarianceNormalization", [x], opset=opset, axes=axes, rtol=1e-4, atol=1e-5
        )


def test_mean_variance_normalization_of_other_axes() -> None:
    x = np.array([[1, 3], [10, 30]], np.float32)
    (y,) = run_ours("MeanVarianceNormalization", [x], opset=13, axes=[-1])
    assert_same([y], [np.array([[-1, 1], [-1, 1]], np.float32)])
    (y,) = run_ours("MeanVarianceNormalization", [np.ones((2, 2), "f4")], opset=13, axes=[0])
    assert y.tolist() == [[0, 0], [0, 0]]

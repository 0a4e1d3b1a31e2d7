from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from drawing import arrays, axis_of, fill, shapes
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours
from rounded import check_rounded
from typed import dtypes

from scratch_onnx.interpreter.ops import softmax as kernels

OPS = ["Softmax", "LogSoftmax", "Hardmax"]


@given(st.data())
@pytest.mark.parametrize("op_type", OPS)
def test_against_onnxruntime(op_type: str, data: Any) -> None:
    opset = data.draw(st.sampled_from([1, 11, 13]))
    # onnxruntime takes no scalar, and of the axes of an empty tensor it checks nothing.
    shape = data.draw(shapes(1, 4))
    axis = axis_of(data.draw, len(shape))
    if opset == 1:
        axis %= len(shape)
    x = data.draw(arrays(shape, dtypes(op_type, opset)))
    check_rounded(op_type, [x], opset=opset, axis=axis)


@pytest.mark.parametrize("op_type", OPS)
def test_default_axis(op_type: str) -> None:
    x = fill((2, 3, 4))
    for opset in (1, 11, 13):
        check_node(op_type, [x], opset=opset)


def test_by_hand_before_and_since_13() -> None:
    x = np.log(np.array([[[1, 2], [3, 4]]], np.float32))
    (y,) = run_ours("Softmax", [x], opset=13)
    np.testing.assert_allclose(y, [[[1 / 3, 2 / 3], [3 / 7, 4 / 7]]], rtol=1e-6)
    (y,) = run_ours("Softmax", [x], opset=12)  # over all four at once
    np.testing.assert_allclose(y, [[[0.1, 0.2], [0.3, 0.4]]], rtol=1e-6)
    (y,) = run_ours("LogSoftmax", [x], opset=12)
    np.testing.assert_allclose(y, np.log([[[0.1, 0.2], [0.3, 0.4]]]), rtol=1e-6)
    (y,) = run_ours("Hardmax", [x], opset=12)
    assert y.tolist() == [[[0, 0], [0, 1]]]
    (y,) = run_ours("Hardmax", [x], opset=13)
    assert y.tolist() == [[[0, 1], [0, 1]]]


def test_first_of_equal_maxima() -> None:
    x = np.array([[3, 5, 5]], np.float32)
    assert_same(run_ours("Hardmax", [x], opset=13), [np.array([[0, 1, 0]], np.float32)])


def test_large_numbers_do_not_overflow() -> None:
    x = np.array([[1000, 1001], [-math.inf, 0]], np.float32)
    (y,) = run_ours("Softmax", [x], opset=13)
    first = 1 / (1 + math.e)
    np.testing.assert_allclose(y, [[first, 1 - first], [0, 1]], rtol=1e-6)
    (y,) = run_ours("LogSoftmax", [x], opset=13)
    np.testing.assert_allclose(y[0], [math.log(first), math.log(1 - first)], rtol=1e-5)
    assert y[1].tolist() == [-math.inf, 0]


def test_in_double() -> None:
    x = np.array([0.1, 0.2, 0.3])
    total = sum(map(math.exp, x))
    (y,) = run_ours("Softmax", [x], opset=13)
    np.testing.assert_allclose(y, [math.exp(v) / total for v in x], rtol=1e-14)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,)])
@pytest.mark.parametrize("op_type", OPS)
def test_empty(op_type: str, shape: tuple[int, ...]) -> None:
    for opset in (11, 13):
        (y,) = run_ours(op_type, [fill(shape)], opset=opset, axis=-1)
        assert y.shape == shape


@pytest.mark.parametrize("kernel", [kernels.softmax, kernels.softmax_1, kernels.hardmax])
def test_axis_out_of_range(kernel: Any) -> None:
    with pytest.raises(ValueError, match="axis 2 is out of range"):
        kernel(fill((2, 2)), axis=2)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import arrays, fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, run_ours
from rounded import HALF, check_rounded
from typed import check_typed, dtypes

from scratch_onnx.interpreter.ops import matmul as kernels

DIMS = st.integers(0, 4)


@given(st.data())
def test_matmul(data: Any) -> None:
    opset = data.draw(st.sampled_from([1, 9, 13]))
    dtype = data.draw(st.sampled_from(dtypes("MatMul", opset)))
    # onnxruntime fails on uint32 where nothing is summed.
    m, k, n = data.draw(DIMS), data.draw(st.integers(1, 4)), data.draw(DIMS)
    batch = data.draw(st.lists(st.integers(1, 3), max_size=2))
    left, right = data.draw(
        st.sampled_from(
            [
                ((k,), (k,)),
                ((k,), (k, n)),
                ((m, k), (k,)),
                ((*batch, m, k), (k, n)),
                ((m, k), (*batch, k, n)),
                ((*batch, m, k), (*batch, k, n)),
                ((*batch, m, k), (*[1] * len(batch), k, n)),
            ]
        )
    )
    inputs = [data.draw(arrays(left, (dtype,))), data.draw(arrays(right, (dtype,)))]
    check = check_rounded if dtype in HALF else check_typed
    check("MatMul", inputs, opset=opset)


@given(st.data())
def test_gemm(data: Any) -> None:
    opset = data.draw(st.sampled_from([7, 9, 11, 13]))
    dtype = data.draw(st.sampled_from(dtypes("Gemm", opset)))
    m, k, n = (data.draw(st.integers(1, 4)) for _ in range(3))
    ta, tb = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1))
    c = data.draw(st.sampled_from([(), (1,), (n,), (1, n), (m, 1), (m, n), None]))
    inputs = [
        data.draw(arrays((k, m) if ta else (m, k), (dtype,))),
        data.draw(arrays((n, k) if tb else (k, n), (dtype,))),
    ]
    if c is not None or opset < 11:
        inputs.append(data.draw(arrays(c or (), (dtype,))))
    if dtype.kind in "iu":
        alpha, beta = 2.0, 3.0
    else:
        alpha, beta = data.draw(st.sampled_from([(1.0, 1.0), (0.5, -2.0), (0.3, 0.7)]))
    options = {"alpha": alpha, "beta": beta, "transA": ta, "transB": tb}
    check = check_rounded if dtype in HALF else check_typed
    check("Gemm", inputs, opset=opset, **options)


@pytest.mark.parametrize("opset", [1, 6])
def test_gemm_before_broadcasting(opset: int) -> None:
    a = np.array([[1, 2], [3, 4]], np.float32)
    b = np.array([[1, 0], [0, 10]], np.float32)
    c = np.array([[1, 1], [2, 2]], np.float32)
    (y,) = run_ours("Gemm", [a, b, c], opset=opset, transA=1, alpha=2.0, beta=0.5)
    # a.T @ b = [[1, 30], [2, 40]]
    assert y.tolist() == [[2.5, 60.5], [5, 81]]
    (y,) = run_ours("Gemm", [a, b, c[1]], opset=opset, broadcast=1)
    assert y.tolist() == [[3, 22], [5, 42]]
    with pytest.raises(ValueError, match="where broadcast is 0"):
        kernels.gemm_1(a, b, c[1])


def test_a_sum_of_nothing_is_zero() -> None:
    (y,) = run_ours("MatMul", [fill((2, 0)), fill((0, 3))], opset=13)
    assert_same([y], [np.zeros((2, 3), np.float32)])


def test_integers_wrap() -> None:
    big = np.array([[2**31 - 1]], np.int32)
    (y,) = run_ours("MatMul", [big, np.array([[2]], np.int32)], opset=9)
    assert_same([y], [np.array([[-2]], np.int32)])


def test_refusals() -> None:
    with pytest.raises(ValueError, match="two matrices, and was given ranks 1 and 2"):
        kernels.gemm(fill((2,)), fill((2, 2)))
    with pytest.raises(ValueError, match="does not broadcast to"):
        kernels.gemm(fill((1, 2)), fill((2, 2)), fill((2, 2)))
    with pytest.raises(ValueError, match=r"cannot be scaled by 0\.5"):
        kernels.gemm(fill((1, 2), np.int32), fill((2, 2), np.int32), alpha=0.5)

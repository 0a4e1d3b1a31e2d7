from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays, fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, run_ours
from rounded import HALF, check_rounded
from typed import check_typed, dtypes

from scratch_onnx.interpreter.ops import linear_algebra as kernels

SIZES = {"i": 2, "j": 3, "k": 4, "A": 2, "b": 3}
EQUATIONS = [
    "ij,jk->ik",
    "ij,jk",
    "i j , j k -> k i",
    "ii->i",
    "ii",
    "ij->",
    "ij->ji",
    "ijk->ik",
    "i,j->ij",
    "ij,ij->i",
    "bij,bjk->bik",
    "ij,jk,ki->",
    "Ab,bA->A",
    "Ab,ib->Ai",
    "...ij,...jk->...ik",
    "...ij->...ji",
    "...i,...i",
    "...,i->...i",
]


@given(st.data())
@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum(equation: str, data: Any) -> None:
    dtype = data.draw(st.sampled_from(dtypes("Einsum", 12)))
    if dtype.kind in "iu" and dtype.itemsize < 4:
        dtype = np.dtype(np.int32)  # onnxruntime has no others; see below
    batch = data.draw(st.sampled_from([(), (2,), (2, 1)]))
    inputs = []
    for term in equation.split("->")[0].replace(" ", "").split(","):
        letters = [SIZES[letter] for letter in term.replace("...", "")]
        shape = (*batch, *letters) if "..." in term else tuple(letters)
        inputs.append(data.draw(arrays(shape, (dtype,))))
    check = check_rounded if dtype in HALF else check_typed
    check("Einsum", inputs, opset=12, equation=equation)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int64, ml_dtypes.bfloat16])
def test_einsum_of_other_dtypes(dtype: Any) -> None:
    a, b = np.array([[1, 2], [3, 4]], dtype), np.array([[5, 6], [7, 8]], dtype)
    opset = 28 if dtype is ml_dtypes.bfloat16 else 12
    (y,) = run_ours("Einsum", [a, b], opset=opset, equation="ij,jk")
    assert_same([y], [np.array([[19, 22], [43, 50]], dtype)])


def test_output_letters_are_in_ascii_order() -> None:
    x = fill((2, 3))
    (y,) = run_ours("Einsum", [x], opset=28, equation="bA")  # "A" < "b": a transposition
    assert_same([y], [x.T])


def test_size_1_broadcasts_under_the_ellipsis() -> None:
    a, b = fill((1, 2, 3)), fill((4, 3, 2))
    (y,) = run_ours("Einsum", [a, b], opset=12, equation="...ij,...jk->...ik")
    assert_same([y], [np.matmul(a, b)])


@given(st.data())
def test_det(data: Any) -> None:
    opset = data.draw(st.sampled_from([11, 22]))
    size = data.draw(st.integers(1, 4))
    batch = data.draw(st.lists(st.integers(1, 3), max_size=2))
    x = data.draw(arrays((*batch, size, size), dtypes("Det", opset)))
    limits = {"rtol": 1e-3, "atol": 1e-2} if x.dtype.itemsize > 2 else {"rtol": 2e-2, "atol": 1e-2}
    check_rounded("Det", [x], opset=opset, **limits)


def test_det_by_hand() -> None:
    x = np.array([[[1, 2], [3, 4]], [[2, 0], [0, 3]]])
    for dtype in (np.float64, np.float32):
        assert_same(run_ours("Det", [x.astype(dtype)], opset=22), [np.array([-2, 6], dtype)])
    (y,) = run_ours("Det", [np.zeros((2, 0, 0), np.float32)], opset=22)
    assert y.tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"square matrices \[..., M, M\], and was given \[2, 3\]"):
        kernels.det(fill((2, 3)))

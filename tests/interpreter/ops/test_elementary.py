from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays
from hypothesis import given
from hypothesis import strategies as st
from oracles import FLOAT16, assert_same, check_node, run_ours
from typed import cases, check_typed

from scratch_onnx.interpreter.ops import elementary as kernels
from scratch_onnx.interpreter.ops._erf import erf

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

EVERYWHERE = ["Neg", "Abs", "Sign", "Ceil", "Floor", "Round", "Reciprocal", "Exp", "Erf"]
EVERYWHERE += ["Sin", "Cos", "Atan", "Sinh", "Cosh", "Asinh"]
WITHIN = ["Sqrt", "Log", "Asin", "Acos", "Acosh", "Atanh", "Tan"]


@given(st.data())
@pytest.mark.parametrize("op_type", EVERYWHERE + WITHIN)
def test_function(op_type: str, data: Any) -> None:
    _, opset, dtype = data.draw(st.sampled_from(cases([op_type], first=6)))
    x = data.draw(arrays(dtypes=[dtype]))
    if op_type in ("Asin", "Acos", "Atanh"):
        x = np.asarray(x / 8).astype(dtype)  # on the ends of the domain and within it
    if op_type == "Erf" and dtype.kind in "iu":
        return
    check_typed(op_type, [x], opset=opset)


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e30, -1e30]


@pytest.mark.parametrize("op_type", EVERYWHERE + WITHIN)
def test_special_values(op_type: str) -> None:
    x = np.array(SPECIAL, np.float32)
    if op_type in ("Sin", "Cos", "Tan"):
        x = x[np.abs(x) != np.float32(1e30)]  # their reduction of so large an angle differs
    if op_type == "Sign":
        x = x[1:]  # onnxruntime says 0 for NaN
    check_node(op_type, [x], opset=23)


@pytest.mark.parametrize("op_type", EVERYWHERE + WITHIN)
def test_half_precision_is_rounded_once(op_type: str) -> None:
    # Of every dtype the nearest to the float64 result, but for one unit in the last place.
    wide = np.linspace(-0.99, 0.99, 41)
    reference = {"Asin": np.arcsin, "Acos": np.arccos, "Atan": np.arctan, "Asinh": np.arcsinh}
    reference |= {"Acosh": np.arccosh, "Atanh": np.arctanh, "Neg": np.negative, "Round": np.rint}
    if op_type == "Erf":
        expected = np.vectorize(math.erf)
    else:
        expected = reference.get(op_type) or getattr(np, op_type.lower())
    for dtype in (np.float16, ml_dtypes.bfloat16):
        x = wide.astype(dtype)
        # Opset 22 has bfloat16 in all of them.
        y = expected(x.astype(np.float64)).astype(dtype)
        if dtype == np.float16:
            assert_same(run_ours(op_type, [x], opset=22), [y], **FLOAT16)
        else:
            assert_same(run_ours(op_type, [x], opset=22), [y], rtol=2**-7)


def test_round_half_to_even() -> None:
    x = np.array([0.9, 2.5, 2.3, 1.5, -4.5, -0.4], np.float32)
    expected = np.array([1, 2, 2, 2, -4, -0.0], np.float32)
    assert_same([kernels.round_(x)], [expected])
    assert np.signbit(kernels.round_(x)[-1])


@pytest.mark.parametrize(("dtype", "units"), [(np.float32, 3), (np.float64, 6)])
def test_erf_is_accurate(dtype: Any, units: int) -> None:
    tiny = np.float64(np.finfo(dtype).tiny)
    x = np.concatenate([np.linspace(0, 6.5, 20001), np.geomspace(tiny, 1, 3001)]).astype(dtype)
    exact = np.array([math.erf(value) for value in x.tolist()])
    error = np.abs(erf(x).astype(np.float64) - exact) / np.spacing(exact.astype(dtype))
    assert error.max() <= units
    assert_same([erf(-x)], [-erf(x)])
    ends = erf(np.array([np.nan, np.inf, -np.inf, -0.0, 1e38], dtype))
    assert_same([ends], [np.array([np.nan, 1, -1, -0.0, 1], dtype)])
    assert np.signbit(ends[3])


def test_erf_of_integers() -> None:
    # Opset 9 has erf of integers: of 6 it rounds to 1 in float64, of less it is below.
    for dtype in (np.int8, np.int64):
        (result,) = run_ours("Erf", [np.array([-9, -1, 0, 1, 2, 9], dtype)], opset=9)
        assert_same([result], [np.array([-1, 0, 0, 0, 0, 1], dtype)])


@given(st.data())
def test_is_nan(data: Any) -> None:
    _, opset, dtype = data.draw(st.sampled_from(cases(["IsNaN"])))
    x = np.array([np.nan, 1, 0, -2], np.float32).astype(dtype)
    assert run_ours("IsNaN", [x], opset=opset)[0].tolist() == [True, False, False, False]
    if dtype in (np.float32, np.float16, np.float64):
        check_node("IsNaN", [np.array(SPECIAL, dtype)], opset=opset)


@pytest.mark.parametrize("negative", [0, 1])
@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("opset", [10, 20])
def test_is_inf(negative: int, positive: int, opset: int) -> None:
    attributes = {"detect_negative": negative, "detect_positive": positive}
    for dtype in (np.float32, np.float64):
        check_node("IsInf", [np.array(SPECIAL, dtype)], opset=opset, **attributes)
    if opset == 20:
        x = np.array([-np.inf, np.inf, np.nan, 1], ml_dtypes.float8_e5m2)
        (found,) = run_ours("IsInf", [x], opset=20, **attributes)
        assert found.tolist() == [bool(negative), bool(positive), False, False]
        without = x.astype(ml_dtypes.float8_e4m3fn)  # which has no infinity
        assert not run_ours("IsInf", [without], opset=20, **attributes)[0].any()

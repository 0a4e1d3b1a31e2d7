from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto
from oracles import assert_same, check_node, run_ours

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter.ops import cast as kernels
from scratch_onnx.interpreter.types import enum_of_dtype

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

NUMBERS = [np.float32, np.float64, np.float16, np.bool_]
NUMBERS += [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
FLOAT8 = [
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e5m2fnuz,
]
OPSETS = st.sampled_from([6, 9, 13, 19, 21, 23, 24, 25, 28])


def cast(x: Any, dtype: Any, **attributes: Any) -> Any:
    (result,) = run_ours("Cast", [x], opset=28, to=enum_of_dtype(dtype), **attributes)
    assert result.dtype == dtype
    return result


@given(arrays(dtypes=NUMBERS), st.sampled_from(NUMBERS), OPSETS)
def test_cast(x: Any, dtype: Any, opset: int) -> None:
    check_node("Cast", [x], opset=opset, to=enum_of_dtype(dtype), ir_version=10)


@given(arrays(dtypes=NUMBERS), st.sampled_from(NUMBERS), st.sampled_from([15, 19, 21, 23, 25]))
def test_cast_like(x: Any, dtype: Any, opset: int) -> None:
    # onnxruntime reads the target's dtype where it builds the model, not from the value.
    check_node("CastLike", [x, np.zeros((1,), dtype)], opset=opset, ir_version=10)


@pytest.mark.parametrize("source", NUMBERS[:3])
@pytest.mark.parametrize("target", NUMBERS[3:])
def test_floats_that_do_not_fit(source: Any, target: Any) -> None:
    # Left undefined by the standard; the same as onnxruntime here.
    x = np.array([np.nan, np.inf, -np.inf, 300, -1, -1.9, 6e4, -6e4, 3e9, -3e9], source)
    if source != np.float16:
        x = np.append(x, np.array([1e19, -1e19], source))
    check_node("Cast", [x], opset=13, to=enum_of_dtype(target))


def test_integers_drop_their_high_bits() -> None:
    assert cast(np.array([200, -200], np.int16), np.int8).tolist() == [-56, 56]
    assert cast(np.array([200, 7, -9], np.int16), ml_dtypes.int4).tolist() == [-8, 7, 7]
    assert cast(np.array([18, -1], np.int64), ml_dtypes.uint4).tolist() == [2, 15]


def test_floats_become_infinite() -> None:
    assert cast(np.array([1e6, -1e6], np.float32), np.float16).tolist() == [np.inf, -np.inf]
    assert cast(np.array([1e300]), ml_dtypes.bfloat16).tolist() == [np.inf]


def test_old_name_of_the_type() -> None:
    x = np.array([1.7, -2.2], np.float32)
    assert_same(run_ours("Cast", [x], opset=1, to="INT64"), [np.array([1, -2])])
    assert_same(run_ours("Cast", [x], opset=1, to="DOUBLE"), [x.astype(np.float64)])
    with pytest.raises(ValueError, match="'FLOAT128' is not the name of an element type"):
        kernels.cast_1(x, to="FLOAT128")
    with pytest.raises(ValueError, match="no tensor element type has the number 99"):
        kernels.cast(x, to=99)


# The table of the specification, a row each: x, saturated, and not saturated.
INF, NAN = np.inf, np.nan
LARGEST = {kind: float(ml_dtypes.finfo(kind).max) for kind in FLOAT8}
HAS_INFINITY = ml_dtypes.float8_e5m2


@pytest.mark.parametrize("kind", FLOAT8)
@pytest.mark.parametrize("source", [np.float32, np.float16, np.float64, ml_dtypes.bfloat16])
def test_float8(kind: Any, source: Any) -> None:
    largest = LARGEST[kind]
    x = np.array([0, NAN, INF, -INF, 6e4, -6e4, 0.3, -largest], np.float32).astype(source)
    nearest = float(np.float32(x[6]).astype(kind))
    expected = [0, NAN, largest, -largest, largest, -largest, nearest, -largest]
    if kind == HAS_INFINITY:
        expected[4:6] = [57344, -57344]  # 6e4 rounds to the largest
    assert_same([cast(x, kind).astype(np.float32)], [np.array(expected, np.float32)])
    lost = INF if kind == HAS_INFINITY else NAN
    expected = [0, NAN, lost, -lost, lost, -lost, nearest, -largest]
    if kind in (HAS_INFINITY, ml_dtypes.float8_e5m2fnuz):
        expected[4:6] = [57344, -57344]
    open_ended = cast(x, kind, saturate=0)
    assert_same([open_ended.astype(np.float32)], [np.array(expected, np.float32)])


@pytest.mark.parametrize("kind", FLOAT8)
def test_float8_round_half_to_even_and_zero(kind: Any) -> None:
    bits = 3 if "e4m3" in np.dtype(kind).name else 2
    step = 2.0**-bits
    x = np.array([1 + step / 2, 1 + step * 1.5, -0.0], np.float32)
    result = cast(x, kind).astype(np.float32)
    assert result.tolist() == [1, 1 + 2 * step, 0]
    assert bool(np.signbit(result[2])) is ("fnuz" not in np.dtype(kind).name)


@pytest.mark.parametrize("kind", FLOAT8)
@pytest.mark.parametrize("other", [*FLOAT8, np.int32, np.bool_, ml_dtypes.bfloat16])
def test_float8_to_and_from_others(kind: Any, other: Any) -> None:
    values = np.array([0, 1, 2, 96], np.float32)
    x = values.astype(other)
    assert_same([cast(x, kind)], [x.astype(np.float32).astype(kind)])
    assert_same([cast(values.astype(kind), other)], [x])


SCALES = [0.0, 0.124, 0.25, 0.5, 1.1, 2.0, 1.5, 3.0, 2.0**-127, 2.0**127]
CODES = {
    "up": [0, 0.125, 0.25, 0.5, 2, 2, 2, 4, 2.0**-127, 2.0**127],
    "down": [0, 0.0625, 0.25, 0.5, 1, 2, 1, 2, 2.0**-127, 2.0**127],
    "nearest": [0, 0.125, 0.25, 0.5, 1, 2, 2, 4, 2.0**-127, 2.0**127],
}


@pytest.mark.parametrize("round_mode", list(CODES))
def test_float8e8m0_rounds_to_powers_of_two(round_mode: str) -> None:
    x = np.array(SCALES, np.float64)
    result = cast(x, kernels.SCALE8, round_mode=round_mode)
    # Saturated, 0 is the code 0, which stands for 2^-127.
    expected = [max(value, 2.0**-127) for value in CODES[round_mode]]
    assert result.astype(np.float64).tolist() == expected


def test_float8e8m0_at_its_limits() -> None:
    x = np.array([0, NAN, INF, 2.0**127 * 1.5, 2.0**-130, 1.0])
    saturated = cast(x, kernels.SCALE8).view(np.uint8)
    assert saturated.tolist() == [0, 255, 254, 254, 0, 127]
    strict = cast(x, kernels.SCALE8, saturate=0, round_mode="nearest").view(np.uint8)
    assert strict.tolist() == [255, 255, 255, 255, 255, 127]
    with pytest.raises(ValueError, match="round_mode must be up, down or nearest, not 'even'"):
        kernels.cast(x, to=24, round_mode="even")


SMALL = [
    (ml_dtypes.int4, [-8, -1, 0, 7]),
    (ml_dtypes.uint4, [0, 1, 9, 15]),
    (ml_dtypes.int2, [-2, -1, 0, 1]),
    (ml_dtypes.uint2, [0, 1, 2, 3]),
    (ml_dtypes.float4_e2m1fn, [-6, 0.5, 1.5, 4]),
    (ml_dtypes.float6_e2m3fn, [-7.5, 0.125, 1, 7.5]),
    (ml_dtypes.float6_e3m2fn, [-28, 0.0625, 1, 28]),
]


@pytest.mark.parametrize(("dtype", "values"), SMALL)
def test_types_narrower_than_a_byte(dtype: Any, values: list[float]) -> None:
    x = np.array(values, np.float32)
    narrow = cast(x, dtype)
    for wide in (np.float32, np.float16, np.float64, ml_dtypes.bfloat16):
        assert_same([cast(narrow, wide)], [x.astype(wide)])
    assert cast(narrow, np.bool_).tolist() == [value != 0 for value in values]
    assert cast(cast(x, object), dtype).tolist() == narrow.tolist()
    if all(value == int(value) for value in values):
        assert cast(narrow, np.int8).tolist() == values


@given(arrays(dtypes=[np.float32, np.float16, np.int32, np.int64, np.uint8, np.bool_]))
def test_to_strings(x: Any) -> None:
    check_node("Cast", [x], opset=13, to=TensorProto.STRING)


def test_to_strings_by_hand() -> None:
    x = np.array([1.5, 0.1, 1e20, 1e-7, NAN, INF, -INF, 314.15926, -0.0, 16777216], np.float32)
    check_node("Cast", [x], opset=13, to=TensorProto.STRING)
    texts = ["1.5", "0.1", "1e+20", "1e-07", "NaN", "INF", "-INF", "314.15927", "-0", "16777216"]
    assert cast(x, object).tolist() == texts
    check_node("Cast", [np.array([0.1, 1 / 3, 1e300])], opset=13, to=TensorProto.STRING)


def test_from_strings() -> None:
    texts = ["3.14", "1000", "1e-5", "1E8", "+INF", "inf", "-Inf", "NaN", "nan"]
    x = np.array(texts, dtype=object).reshape(3, 3)
    for dtype in (np.float32, np.float64, np.float16):
        expected = np.array([3.14, 1000, 1e-5, 1e8, INF, INF, -INF, NAN, NAN]).reshape(3, 3)
        assert_same([cast(x, dtype)], [expected.astype(dtype)])
    check_node("Cast", [x], opset=13, to=TensorProto.FLOAT)
    whole = np.array(["9223372036854775807", "-3", "100.5", "300"], dtype=object)
    assert cast(whole, np.int64).tolist() == [2**63 - 1, -3, 100, 300]
    assert cast(whole[1:], np.uint8).tolist() == [253, 100, 44]
    assert cast(np.array(["0", "2"], dtype=object), np.bool_).tolist() == [False, True]
    with pytest.raises(so.errors.RunError, match="could not convert string to float: 'Hello'"):
        cast(np.array(["Hello"], dtype=object), np.float32)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (np.float32, np.int32),
        (np.float64, np.complex64),
        (np.complex128, np.complex128),
        (np.float16, ml_dtypes.bfloat16),
        (np.int8, ml_dtypes.float8_e8m0fnu),
        (np.bool_, np.uint8),
        (ml_dtypes.float8_e5m2, np.int8),
    ],
)
def test_bit_cast(source: Any, target: Any) -> None:
    x = np.array([[1, 0], [1, 1]]).astype(source).T
    (result,) = run_ours("BitCast", [x], opset=26, to=enum_of_dtype(target))
    assert result.dtype == target
    assert result.shape == x.shape
    assert result.tobytes() == np.ascontiguousarray(x).tobytes()


def test_bit_cast_below_a_byte() -> None:
    x = np.array([-8, -1, 0, 7], ml_dtypes.int4)
    to = enum_of_dtype(ml_dtypes.uint4)
    unsigned = run_ours("BitCast", [x], opset=26, to=to)[0]
    assert unsigned.astype(int).tolist() == [8, 15, 0, 7]
    back = run_ours("BitCast", [unsigned], opset=26, to=enum_of_dtype(ml_dtypes.int4))[0]
    assert back.astype(int).tolist() == [-8, -1, 0, 7]
    # Sign, two bits of exponent (bias 1), one of mantissa: 1111 is -6, 0111 is 6.
    to = enum_of_dtype(ml_dtypes.float4_e2m1fn)
    assert run_ours("BitCast", [x], opset=26, to=to)[0].astype(float).tolist() == [-0.0, -6, 0, 6]
    with pytest.raises(ValueError, match="the bits of int4 cannot be read as int8"):
        kernels.bit_cast(x, to=TensorProto.INT8)
    with pytest.raises(ValueError, match="the bits of string cannot be read as float"):
        kernels.bit_cast(np.array(["a"], dtype=object), to=TensorProto.FLOAT)

"""Casts and quantisation of what does not fit, is half-way or is not a number; bfloat16 beside
float32."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from oracles import EXACT, assert_same, run_onnxruntime, run_ours, tolerance_of
from special import (
    BFLOAT16,
    BINARY,
    FLOATS,
    INF,
    NAN,
    SIGNED,
    UNARY,
    UNSIGNED,
    check,
    in_dtype,
    pairs,
    takes,
    values,
)

from scratch_onnx.interpreter.types import enum_of_dtype


def test_half_to_even() -> None:
    halves = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5], np.float32)
    assert run_ours("Round", [halves], opset=11)[0].tolist() == [-2, -2, 0, 0, 2, 2, 4]
    for dtype, shift in ((np.int8, 0), (np.uint8, 10)):
        scale, zero = np.array(1, np.float32), np.array(shift, dtype)
        result = run_ours("QuantizeLinear", [halves, scale, zero], opset=13)[0]
        assert (result.astype(int) - shift).tolist() == [-2, -2, 0, 0, 2, 2, 4]
    # bfloat16 has 8 bits: 257 and 259 lie half-way between two of its numbers.
    tied = np.array([257, 259, -257], np.float32)
    cut = run_ours("Cast", [tied], opset=13, to=enum_of_dtype(BFLOAT16))[0]
    assert cut.astype(np.float32).tolist() == [256, 260, -256]


# fmt: off
CAST_FLOATS = [
    NAN, INF, -INF, 0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -1.5, 127.5, 128, -128.5, -129, 255.5, 256, 300,
    -1, -300, 32767.5, 32768, 65504, 65519, 65520, 70000, -70000, 2147483520, 2147483647,
    2147483648, -2147483648, -2147483904, 4294967295, 4294967296, 9.2e18, 9.3e18, -9.3e18, 1.8e19,
    1.9e19, 1e-8, 6e-8, 3e-8, 1e30, -1e30, 3.5e38, 1e300,
]
# fmt: on
CAST_TO = [*FLOATS, *SIGNED, *UNSIGNED, np.bool_]


@pytest.mark.parametrize("source", CAST_TO)
def test_casts(source: Any) -> None:
    """All numbers to all types. What does not fit is undefined in the standard; then too ours is
    onnxruntime's, which is the processor's."""
    floating = np.dtype(source).kind == "f"
    x = in_dtype(CAST_FLOATS, source) if floating else values(source)
    for target in CAST_TO:
        options: dict[str, Any] = {"opset": 13, "to": enum_of_dtype(target)}
        assert_same(
            run_ours("Cast", [x], **options), run_onnxruntime("Cast", [x], **options), **EXACT
        )


@pytest.mark.parametrize(
    ("name", "largest", "saturated", "overflown"),
    [
        ("float8_e4m3fn", 448, {INF: 448, -INF: -448, 1e6: 448}, {INF: NAN, 480: NAN, 1e6: NAN}),
        ("float8_e4m3fnuz", 240, {INF: 240, -INF: -240, 1e6: 240}, {INF: NAN, 256: NAN, 1e6: NAN}),
        (
            "float8_e5m2",
            57344,
            {INF: 57344, -INF: -57344, 1e6: 57344},
            {INF: INF, 61440: INF, 1e6: INF, -1e6: -INF},
        ),
        (
            "float8_e5m2fnuz",
            57344,
            {INF: 57344, -INF: -57344, 1e6: 57344},
            {INF: NAN, 61440: NAN, 1e6: NAN},
        ),
    ],
)
def test_casts_to_float8(
    name: str, largest: float, saturated: dict[float, float], overflown: dict[float, float]
) -> None:
    """The standard's table. 480 and 61440 lie half-way to the next power of two, or have NaN's
    own code: onnxruntime gives 448 and NaN for them without saturation."""
    target = np.dtype(getattr(ml_dtypes, name))
    to = enum_of_dtype(target)
    for saturate, table in ((1, saturated), (0, overflown)):
        table = {**table, NAN: NAN, largest: largest, 0.0: 0.0, 1.0625: 1.0}
        if not saturate and name in ("float8_e5m2",):
            table[61439.0] = 57344
        x = np.array(list(table), np.float32)
        (result,) = run_ours("Cast", [x], opset=19, to=to, saturate=saturate)
        np.testing.assert_array_equal(result.astype(np.float32), np.array(list(table.values())))


# fmt: off
QUANTISED = [
    NAN, INF, -INF, 0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 127, 127.5, 128, 128.5, -128, -128.5, -129,
    255, 255.5, 256, 1e10, -1e10, 300, 3e9,
]
# fmt: on


@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize("scale", [1.0, 2.0, 0.0, INF, NAN])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_quantisation_saturates(dtype: Any, scale: float, zero: int) -> None:
    inputs = [np.array(QUANTISED, np.float32), np.array(scale, np.float32), np.array(zero, dtype)]
    check("QuantizeLinear", inputs, opset=21)
    check("DequantizeLinear", [values(dtype), *inputs[1:]], opset=21)


@pytest.mark.parametrize(
    "x", [[0, 0], [-1, -2], [1, 2], [NAN, 1], [INF, 1], [1e38, -2e38], [3e38, -3e38]]
)
def test_dynamic_quantisation(x: list[float]) -> None:
    check("DynamicQuantizeLinear", [np.array(x, np.float32)], opset=11, outputs=3)


BFLOAT16_UNARY = [op for op in [*UNARY, "Softmax", "LogSoftmax"] if takes(op, BFLOAT16, 24)]


@pytest.mark.parametrize("op_type", BFLOAT16_UNARY)
def test_bfloat16_is_float32_rounded(op_type: str) -> None:
    x = values(BFLOAT16)
    (short,) = run_ours(op_type, [x], opset=24)
    (long,) = run_onnxruntime(op_type, [x.astype(np.float32)], opset=20)
    assert_same([short], [long.astype(short.dtype)], **tolerance_of(BFLOAT16))


@pytest.mark.parametrize("op_type", [op for op in BINARY if takes(op, BFLOAT16, 24)])
def test_bfloat16_of_two_is_float32_rounded(op_type: str) -> None:
    a, b = pairs(BFLOAT16)
    (short,) = run_ours(op_type, [a, b], opset=24)
    (long,) = run_onnxruntime(op_type, [a.astype(np.float32), b.astype(np.float32)], opset=20)
    assert_same([short], [long.astype(short.dtype)], **tolerance_of(BFLOAT16))


def test_top_k_of_bfloat16() -> None:
    rows = np.array([[1, NAN, 2], [NAN, 3, INF], [NAN, 1, NAN]])
    values, indices = run_ours(
        "TopK", [rows.astype(BFLOAT16), np.array([3])], opset=24, outputs=2, largest=0
    )
    assert indices.tolist() == [[0, 2, 1], [1, 2, 0], [1, 0, 2]]
    np.testing.assert_array_equal(
        values.astype(np.float64), [[1, 2, NAN], [3, INF, NAN], [1, NAN, NAN]]
    )

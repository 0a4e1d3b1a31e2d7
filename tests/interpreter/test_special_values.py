"""NaN, infinities, signed zeros, overflow, division by zero and empty reductions, operator by
operator: against onnxruntime where it has the operator and keeps to the specification, by hand
elsewhere."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graphs import model, node
from oracles import assert_same, run_onnxruntime, run_ours
from special import (
    BFLOAT16,
    BINARY,
    FLOATS,
    INF,
    NAN,
    SIGNED,
    SPECIAL,
    UNARY,
    UNSIGNED,
    check,
    in_dtype,
    oracle,
    pairs,
    takes,
    values,
)

import scratch_onnx.interpreter as so


@pytest.mark.parametrize(
    ("op_type", "dtype"),
    [(name, dtype) for name in UNARY for dtype in FLOATS if takes(name, dtype, 20)],
)
def test_functions_of_one(op_type: str, dtype: Any) -> None:
    x = values(dtype)
    expected = oracle(op_type, [x], opset=20)
    if expected is not None:
        assert_same(run_ours(op_type, [x], opset=20), expected)
        return
    # Only float32 has a kernel: where that neither overflows nor rounds to 0, it tells.
    assert dtype == np.float64
    x = x[~np.isfinite(x) | (x == 0) | ((abs(x) > 1e-30) & (abs(x) < 88))]
    (ours,) = run_ours(op_type, [x], opset=20)
    (theirs,) = run_onnxruntime(op_type, [x.astype(np.float32)], opset=20)
    assert ours.dtype == dtype or ours.dtype == np.bool_
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("op_type", BINARY)
@pytest.mark.parametrize("dtype", FLOATS)
def test_functions_of_two(op_type: str, dtype: Any) -> None:
    inputs = [*pairs(dtype)]
    expected = oracle(op_type, inputs, opset=20)
    if expected is None:  # a little wider than float32, which rounds the same
        assert op_type in ("PRelu", "Mean")
        inputs = [x.astype(np.float32).astype(dtype) for x in inputs]
        fine = np.prod([np.isinf(x) | (abs(x) < 1e15) & (abs(x) > 1e-15) for x in inputs], 0) > 0
        inputs = [x[fine] for x in inputs]
        (ours,) = run_ours(op_type, inputs, opset=20)
        (theirs,) = run_onnxruntime(op_type, [x.astype(np.float32) for x in inputs], opset=20)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        return
    assert_same(run_ours(op_type, inputs, opset=20), expected)


INTEGERS: dict[str, Callable[..., int]] = {
    "Neg": operator.neg,
    "Abs": abs,
    "Relu": lambda x: max(x, 0),
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Max": max,
    "Min": min,
}


@pytest.mark.parametrize(
    ("op_type", "dtype"),
    [(name, d) for name in INTEGERS for d in SIGNED + UNSIGNED if takes(name, d, 20)],
)
def test_integers_wrap_around(op_type: str, dtype: Any) -> None:
    """Python's own integers, modulo 2^bits."""
    inputs = [*pairs(dtype)] if op_type in BINARY else [values(dtype)]
    exact = map(INTEGERS[op_type], *(x.tolist() for x in inputs))
    expected = np.array([x % 2**64 for x in exact], np.uint64).astype(dtype)
    assert_same(run_ours(op_type, inputs, opset=20), [expected])


@pytest.mark.parametrize("fmod", [0, 1])
@pytest.mark.parametrize("dtype", SIGNED + UNSIGNED)
def test_integer_division(dtype: Any, fmod: int) -> None:
    """All pairs but the two on which the processor itself, and so onnxruntime, would stop."""
    a, b = pairs(dtype)
    fine = (b != 0) & ~((a == np.iinfo(dtype).min) & (b + 1 == 0))
    if fmod == 0:
        check("Div", [a[fine], b[fine]], opset=14)
    check("Mod", [a[fine], b[fine]], opset=13, fmod=fmod)


@pytest.mark.parametrize("dtype", SIGNED)
def test_integer_division_on_which_a_processor_stops(dtype: Any) -> None:
    least = np.iinfo(dtype).min
    a, b = np.array([least, 7, -7, 0, least], dtype), np.array([-1, 0, 0, 0, 0], dtype)
    # -least wraps around to itself; a division by 0 gives 0.
    assert run_ours("Div", [a, b], opset=14)[0].tolist() == [least, 0, 0, 0, 0]
    for fmod in (0, 1):
        assert run_ours("Mod", [a, b], opset=13, fmod=fmod)[0].tolist() == [0] * 5


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_sign_of_mod(dtype: Any) -> None:
    a = np.array([5, -5, 5, -5, 5.5, -5.5, INF, 3, -3, NAN, -0.0, 3], dtype)
    b = np.array([3, 3, -3, -3, -2, 2, 2, INF, INF, 1, 1, 0], dtype)
    check("Mod", [a, b], opset=13, fmod=1)  # the sign of a
    floored = run_ours("Mod", [a, b], opset=28)[0]  # the sign of b
    expected = [2, 1, -1, -2, -0.5, 0.5, NAN, 3, INF, NAN, 0, NAN]
    assert_same([floored], [np.array(expected, dtype)])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_powers_of_integers(dtype: Any) -> None:
    x = np.array([2, -1, -1, 1, 0, -2, 0, 3, -2], dtype)
    y = np.array([-1, -3, -2, -3, -1, -1, 0, 4, 31], dtype)
    # A negative power is a fraction, which is cut: 0 but for 1 and -1. The last wraps in int32.
    assert run_ours("Pow", [x, y], opset=15)[0].tolist() == [0, -1, 1, 1, 0, 0, 1, 81, -(2**31)]
    x, y = np.meshgrid(np.arange(-7, 8, dtype=dtype), np.arange(8, dtype=dtype))
    check("Pow", [x.copy(), y.copy()], opset=15)
    # 3 ^ 41 is above 2^64: the product modulo 2^bits.
    big = run_ours("Pow", [np.array([3], dtype), np.array([41], dtype)], opset=15)[0]
    bits = np.iinfo(dtype).bits
    wrapped = 3**41 % 2**bits
    assert big.item() == wrapped - (2**bits if wrapped >= 2 ** (bits - 1) else 0)


def test_signed_zeros() -> None:
    zero = np.array([0.0, -0.0], np.float32)
    for op_type, signs in {
        "Neg": [True, False],
        "Abs": [False, False],
        "Floor": [False, True],
        "Ceil": [False, True],
        "Round": [False, True],
        "Sqrt": [False, True],
        "Sin": [False, True],
        "Tanh": [False, True],
        "Reciprocal": [False, True],  # infinities
    }.items():
        result = run_ours(op_type, [zero], opset=20)[0]
        assert np.signbit(result).tolist() == signs, op_type
    small = np.array([-0.5, -0.2, 0.2], np.float32)
    assert np.signbit(run_ours("Round", [small], opset=11)[0]).tolist() == [True, True, False]
    assert np.signbit(run_ours("Ceil", [small], opset=13)[0]).tolist() == [True, True, False]


ROWS: list[list[float]] = [
    [1, 2, NAN], [INF, 1, 2], [-INF, 1, 0], [INF, -INF, 0], [-INF, -INF, -INF], [NAN, NAN, NAN],
    [INF, INF, 1], [0, -0.0, 0], [-0.0, -0.0, -0.0], [1e30, 1e30, -1e30], [88, 89, 90],
    [-1000, -1000, -1000],
]  # fmt: skip
REDUCTIONS = (
    "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum "
    "ReduceLogSumExp ReduceSumSquare"
).split()
ONE = np.array([1], np.int64)


@pytest.mark.parametrize("op_type", REDUCTIONS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_reductions(op_type: str, dtype: Any) -> None:
    rows = in_dtype(ROWS, dtype)
    (ours,) = run_ours(op_type, [rows, ONE], opset=20, constants=(1,))
    (theirs,) = run_onnxruntime(op_type, [rows, ONE], opset=20, constants=(1,))
    if op_type in ("ReduceMax", "ReduceMin"):
        # NaN wherever one is; in onnxruntime it depends on where in the row it stands.
        theirs[np.isnan(rows).any(1)] = NAN
    assert_same([ours], [theirs])


@pytest.mark.parametrize("op_type", REDUCTIONS)
@pytest.mark.parametrize("dtype", [*FLOATS, np.int32, np.int64])
def test_reductions_of_nothing(op_type: str, dtype: Any) -> None:
    """Each gives its identity; the mean of nothing is not a number, and 0 among integers."""
    floating = np.dtype(dtype).kind == "f"
    least, greatest = (-INF, INF) if floating else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    identity = {
        "ReduceMax": least,
        "ReduceMin": greatest,
        "ReduceProd": 1,
        "ReduceMean": NAN if floating else 0,
        "ReduceLogSum": least,
        "ReduceLogSumExp": least,
    }.get(op_type, 0)
    for shape, rows in (((2, 0), 2), ((0, 3), 0), ((0, 0), 0)):
        nothing = np.zeros(shape, dtype)
        (result,) = run_ours(op_type, [nothing, ONE], opset=18, constants=(1,))
        assert_same([result], [np.full((rows, 1), identity, dtype)])
    (everything,) = run_ours(op_type, [np.zeros((2, 0), dtype)], opset=18, keepdims=0)
    assert_same([everything], [np.full((), identity, dtype)])


@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceProd", "ReduceSumSquare"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.uint64])
def test_reductions_of_integers_wrap(op_type: str, dtype: Any) -> None:
    """Modulo 2^bits, as Add and Mul; onnxruntime saturates some, by way of float64."""
    top = int(np.iinfo(dtype).max)
    rows = [[top, top, 1], [top, 2, 0], [3, 4, 5]]
    made = {
        "ReduceSum": [sum(row) for row in rows],
        "ReduceProd": [row[0] * row[1] * row[2] for row in rows],
        "ReduceSumSquare": [sum(x * x for x in row) for row in rows],
    }[op_type]
    expected = np.array([x % 2**64 for x in made], np.uint64).astype(dtype)
    result = run_ours(op_type, [np.array(rows, dtype), ONE], opset=20, constants=(1,), keepdims=0)
    assert_same(result, [expected])


@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("dtype", [*FLOATS, np.int32, np.int8])
def test_ties(op_type: str, dtype: Any) -> None:
    tied = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [5, 5, 5, 5]], dtype)
    first = {"ArgMax": [0, 1, 0], "ArgMin": [2, 0, 0]}[op_type]
    last = {"ArgMax": [1, 2, 3], "ArgMin": [3, 3, 3]}[op_type]
    for select, expected in ((0, first), (1, last)):
        (found,) = run_ours(op_type, [tied], opset=13, axis=1, keepdims=0, select_last_index=select)
        assert found.tolist() == expected


@pytest.mark.parametrize("dtype", [*FLOATS, BFLOAT16])
@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
def test_nan_is_the_extreme_of_all(op_type: str, dtype: Any) -> None:
    """As ReduceMax and ReduceMin have it; onnxruntime finds one only where it stands first."""
    rows = np.array([[1, NAN, 2], [NAN, 1, 2], [1, 2, NAN], [INF, NAN, -INF]]).astype(dtype)
    (found,) = run_ours(op_type, [rows], opset=13, axis=1, keepdims=0)
    assert found.tolist() == [1, 0, 2, 1]


@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
def test_nothing_to_find(op_type: str) -> None:
    with pytest.raises(so.RunError, match=r"axis 1 of \[2, 0\] is empty"):
        run_ours(op_type, [np.zeros((2, 0), np.float32)], opset=13, axis=1)
    (none,) = run_ours(op_type, [np.zeros((0, 0), np.float32)], opset=13, axis=1)
    assert none.shape == (0, 1)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("dtype", [*FLOATS, np.int32, np.int64])
def test_top_k(dtype: Any, largest: int) -> None:
    tied = [[1, 1, 0], [0, 1, 1], [0, 0, 0], [5, 5, 5]]
    rows = in_dtype(ROWS if np.dtype(dtype).kind == "f" else tied, dtype)
    for k in range(4):
        check("TopK", [rows, np.array([k])], opset=11, outputs=2, largest=largest)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [11, 13])
def test_softmax(op_type: str, opset: int, dtype: Any) -> None:
    rows: list[list[float]] = ROWS
    if dtype == np.float64:  # onnxruntime's LogSoftmax forgets NaN and infinity in float64
        rows = [row for row in ROWS if INF not in row and not np.isnan(row).any()]
    check(op_type, [in_dtype(rows, dtype)], opset=opset, axis=1)


def test_a_row_of_minus_infinity() -> None:
    """0 / 0: a row that is masked out altogether is not a number, in Hardmax its first element."""
    row = np.full((1, 3), -INF, np.float32)
    assert np.isnan(run_ours("Softmax", [row], opset=13)[0]).all()
    assert run_ours("Hardmax", [row], opset=13)[0].tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("dtype", FLOATS + SIGNED + UNSIGNED)
def test_clip(dtype: Any) -> None:
    for low, high in ((3, 1), (0, 5), (2, 2)):
        check("Clip", [values(dtype), np.array(low, dtype), np.array(high, dtype)], opset=13)


@pytest.mark.parametrize("dtype", FLOATS)
def test_clip_without_a_bound(dtype: Any) -> None:
    """The function body compares with the bounds that are there: what is absent, or NaN, bounds
    nothing. onnxruntime clips to the dtype's finite limits, and lets NaN win over infinity."""
    x = values(dtype)
    one = np.array(1, dtype)
    for inputs, expected in (
        ([x, one, None], np.where(x < 1, one, x)),
        ([x, None, one], np.where(x > 1, one, x)),
        ([x, np.array(NAN, dtype), one], np.where(x > 1, one, x)),
        ([x, one, np.array(NAN, dtype)], np.where(x < 1, one, x)),
        ([x, None, None], x),
    ):
        assert_same(run_ours("Clip", inputs, opset=13), [expected])
        bounds = [i for i in (1, 2) if inputs[i] is not None]
        assert_same(run_ours("Clip", inputs, opset=13, constants=bounds), [expected])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("op_type", "expected"), [("MaxPool", INF), ("GlobalMaxPool", INF)])
def test_pools_hand_nan_on(op_type: str, expected: float, dtype: Any) -> None:
    """onnxruntime drops NaN, and gives the least finite number where all are minus infinity."""
    x = np.array([[[NAN, 1], [INF, 2], [-INF, -INF]]]).astype(dtype)
    window = {"kernel_shape": [2]} if op_type == "MaxPool" else {}
    (result,) = run_ours(op_type, [x], opset=12, **window)
    assert_same([result], [np.array([[[NAN], [expected], [-INF]]]).astype(dtype)])


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("op_type", ["ScatterND", "ScatterElements"])
def test_scatter(op_type: str, reduction: str) -> None:
    data = np.array([NAN, 1, 2, 3, INF], np.float32)
    indices = np.array([0, 1, 2, 4])
    updates = np.array([1, NAN, -INF, -INF], np.float32)
    expected = {
        "none": [1, NAN, -INF, 3, -INF],
        "add": [NAN, NAN, -INF, 3, NAN],
        "mul": [NAN, NAN, -INF, 3, -INF],
        "max": [NAN, NAN, 2, 3, INF],
        "min": [NAN, NAN, -INF, 3, -INF],
    }[reduction]
    shaped = indices[:, None] if op_type == "ScatterND" else indices
    (result,) = run_ours(op_type, [data, shaped, updates], opset=18, reduction=reduction)
    np.testing.assert_array_equal(result, np.array(expected, np.float32))


def test_choices() -> None:
    special = np.array([NAN, 0, -0.0, INF], np.float32)
    assert run_ours("NonZero", [special], opset=13)[0].tolist() == [[0, 3]]
    triangle = run_ours("Trilu", [np.array([[INF, NAN], [NAN, INF]], np.float32)], opset=14)[0]
    assert triangle[1, 0] == 0  # not 0 · NaN
    repeated = np.array([NAN, 1, NAN, 0, -0.0, INF], np.float32)
    distinct, first, inverse, counts = run_ours("Unique", [repeated], opset=11, outputs=4)
    np.testing.assert_array_equal(distinct, [0, 1, INF, NAN])  # each NaN is the same one
    assert first.tolist() == [3, 1, 5, 0]
    assert inverse.tolist() == [3, 1, 3, 0, 0, 2]
    assert counts.tolist() == [2, 1, 1, 2]
    where = [np.array([True, False]), np.array([1, NAN]), np.array([NAN, 2])]
    assert run_ours("Where", where, opset=16)[0].tolist() == [1, 2]


def test_products_with_infinity() -> None:
    a = np.array([[INF, 0], [NAN, 0], [0, 0]], np.float32)
    b = np.array([[0, 1], [1, 1]], np.float32)
    check("MatMul", [a, b], opset=13)
    check("Gemm", [a, b], opset=13)
    check("Einsum", [a, b], opset=13, equation="ij,jk->ik")
    singular = np.array([[[0, 0], [0, 0]], [[NAN, 1], [1, 1]], [[INF, 1], [1, 0]]], np.float32)
    assert_same(run_ours("Det", [singular], opset=11), [np.array([0, NAN, NAN], np.float32)])


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("Relu", {}),
        ("Sigmoid", {}),
        ("Tanh", {}),
        ("LeakyRelu", {}),
        ("HardSigmoid", {}),
        ("HardSwish", {}),
        ("Clip", {"min": 0.0, "max": 6.0}),
    ],
)
def test_fused_into_a_convolution(op_type: str, attributes: dict[str, float]) -> None:
    """The fast kernels, to which a convolution hands its sums, treat them as the plain ones do."""
    nodes = [node("Conv", "x w", "c"), node(op_type, "c", "y", **attributes)]
    if op_type == "Clip":
        nodes[1] = node("Clip", "c low high", "y")
    special = np.array(SPECIAL, np.float32)
    shape = (1, 1, 1, len(special))
    constants = {
        "w": np.ones((1, 1, 1, 1), np.float32),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
    }
    proto = model(nodes, {"x": shape}, ["y"], constants)
    feed = {"x": special.reshape(shape)}
    plain = so.InferenceSession(proto, optimize=False).run(None, feed)
    assert_same(so.InferenceSession(proto).run(None, feed), plain, 1e-5, 1e-7)
    inputs = [special]
    if op_type == "Clip":
        inputs, attributes = [special, constants["low"], constants["high"]], {}
    expected = run_onnxruntime(op_type, inputs, opset=18, **attributes)[0].reshape(shape)
    assert_same(plain, [expected], 1e-5, 1e-7)


@pytest.mark.parametrize("dtype", UNSIGNED)
def test_shifts(dtype: Any) -> None:
    bits = np.iinfo(dtype).bits
    x = np.array([1, 3, np.iinfo(dtype).max, 7], dtype)
    y = np.array([0, 1, bits - 1, 2], dtype)
    for direction in ("LEFT", "RIGHT"):
        check("BitShift", [x, y], opset=11, direction=direction)
        far = np.array([bits, bits + 1, 255, bits], dtype)  # in C this is undefined
        assert run_ours("BitShift", [x, far], opset=11, direction=direction)[0].tolist() == [0] * 4


@pytest.mark.parametrize(
    ("limits", "rule"),
    [((0.0, -1.0, 0.0), "delta is 0"), ((0.0, NAN, 1.0), "no finite length"),
     ((0.0, INF, 1.0), "no finite length")],
)  # fmt: skip
def test_a_range_without_end(limits: tuple[float, ...], rule: str) -> None:
    with pytest.raises(so.RunError, match=rule):
        run_ours("Range", [np.array(limit, np.float32) for limit in limits], opset=11)

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from oracles import assert_same, check_node, run_ours
from typed import cases, check_typed

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter.ops import arithmetic as kernels

# Sessions silence NumPy's warnings; kernels called directly do not.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

SHAPES = mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=4)
THREE_SHAPES = mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=4)


def no_zeros(x: Any) -> Any:
    return np.where(x == 0, np.asarray(3, x.dtype), x)


@given(st.data())
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div"])
def test_binary(op_type: str, data: Any) -> None:
    _, opset, dtype = data.draw(st.sampled_from(cases([op_type])))
    a, b = (data.draw(arrays(shape, (dtype,))) for shape in data.draw(SHAPES).input_shapes)
    if op_type == "Div" and dtype.kind in "iu":
        b = no_zeros(b)
    check_typed(op_type, [a, b], opset=opset)


@given(st.data())
@pytest.mark.parametrize("op_type", ["Sum", "Mean", "Max", "Min"])
def test_variadic(op_type: str, data: Any) -> None:
    _, opset, dtype = data.draw(st.sampled_from(cases([op_type], first=8)))
    shapes = data.draw(THREE_SHAPES).input_shapes[: data.draw(st.integers(1, 3))]
    check_typed(op_type, [data.draw(arrays(s, (dtype,))) for s in shapes], opset=opset)


@pytest.mark.parametrize("op_type", ["Sum", "Mean", "Max", "Min"])
@pytest.mark.parametrize("opset", [1, 6])
def test_variadic_of_one_shape(op_type: str, opset: int) -> None:
    a, b = np.array([[1.0, 5.0]], np.float32), np.array([[3.0, -1.0]], np.float32)
    expected = {"Sum": [4, 4], "Mean": [2, 2], "Max": [3, 5], "Min": [1, -1]}[op_type]
    assert_same(run_ours(op_type, [a, b], opset=opset), [np.array([expected], np.float32)])
    function = getattr(kernels, f"{op_type.lower()}_1")
    with pytest.raises(ValueError, match="all inputs must have one shape"):
        function(a, b[0])


@given(st.data())
def test_mod(data: Any) -> None:
    _, opset, dtype = data.draw(st.sampled_from(cases(["Mod"])))
    a, b = (data.draw(arrays(shape, (dtype,))) for shape in data.draw(SHAPES).input_shapes)
    fmod = 1 if dtype.kind not in "iu" else data.draw(st.integers(0, 1))
    if dtype.kind in "iu":
        b = no_zeros(b)
    # A wider dtype does for integers too: the remainder fits.
    check_typed("Mod", [a, b], opset=min(opset, 13), fmod=fmod)
    if opset == 28:
        new = run_ours("Mod", [a, b], opset=28, fmod=fmod)
        assert_same(new, run_ours("Mod", [a, b], opset=13, fmod=fmod))


def test_mod_of_floats_rounds_down_since_28() -> None:
    # The specification's special cases: its own sentences, one a column.
    inf, nan = np.inf, np.nan
    x = np.array([-5.5, 5.5, -0.0, 0.0, inf, 1.0, 2.0, -2.0, nan, 2.0], np.float32)
    y = np.array([2.0, -2.0, 3.0, -3.0, 2.0, 0.0, inf, inf, 1.0, nan], np.float32)
    expected = np.array([0.5, -0.5, 0.0, -0.0, nan, nan, 2.0, inf, nan, nan], np.float32)
    (result,) = run_ours("Mod", [x, y], opset=28)
    assert_same([result], [expected])
    assert np.signbit(result[:4]).tolist() == [False, True, False, True]
    with pytest.raises(so.errors.RunError, match="fmod=1 before opset 28"):
        run_ours("Mod", [x, y], opset=13)


POW_DTYPES = [np.float32, np.float64, np.int32, np.int64]


@given(st.data())
def test_pow(data: Any) -> None:
    opset = data.draw(st.sampled_from([7, 12, 13, 15]))
    dtype = data.draw(st.sampled_from(POW_DTYPES if opset > 7 else POW_DTYPES[:2]))
    other = data.draw(st.sampled_from(POW_DTYPES)) if opset > 7 else dtype
    shape, other_shape = data.draw(SHAPES).input_shapes
    x = np.asarray(np.abs(data.draw(arrays(shape, (dtype,)))) % 6, dtype)
    y = np.asarray(np.abs(data.draw(arrays(other_shape, (other,)))) % 5, other)
    check_node("Pow", [x, y], opset=opset)


def test_pow_by_hand() -> None:
    integers = kernels.power(np.array([-1, -1, 2, -3, 0, 7]), np.array([-3, -2, -1, 3, 0, 0]))
    assert integers.tolist() == [-1, 1, 0, -27, 1, 1]
    wrapped = kernels.power(np.array([2, 3], np.int32), np.array([31, 40], np.int64))
    assert wrapped.tolist() == [-(2**31), (3**40 + 2**31) % 2**32 - 2**31]
    roots = kernels.power(np.array([9, 8], np.int64), np.array([0.5, 1 / 3]))
    assert roots.tolist() == [3, 2]
    half = np.array([1.5, 300], np.float16)
    assert_same([kernels.power(half, np.array(2))], [np.array([2.25, np.inf], np.float16)])
    brain = kernels.power(half.astype(ml_dtypes.bfloat16), np.array([2.0, 0.5], np.float64))
    assert_same([brain], [np.array([2.25, 17.25], ml_dtypes.bfloat16)])


def test_integer_division_truncates() -> None:
    a = np.array([-7, 7, -7, 7, -128, 5], np.int8)
    b = np.array([2, -2, -2, 2, -1, 0], np.int8)
    # C++ leaves the last two undefined: -128 / -1 wraps around here, and 5 / 0 is 0.
    assert kernels.div(a, b).tolist() == [-3, -3, 3, 3, -128, 0]
    largest = np.array([2**64 - 1], np.uint64)
    assert kernels.div(largest, np.array([2], np.uint64)).tolist() == [2**63 - 1]


def test_integers_wrap_around() -> None:
    a, b = np.array([200, 100], np.uint8), np.array([100, 200], np.uint8)
    assert kernels.add(a, b).tolist() == [44, 44]
    assert kernels.sub(a, b).tolist() == [100, 156]
    assert kernels.mul(a, b).tolist() == [20000 % 256] * 2


def test_nan_wins() -> None:
    a = np.array([np.nan, 1, np.inf], np.float32)
    b = np.array([0, np.nan, -np.inf], np.float32)
    for op_type in ("Max", "Min"):
        check_node(op_type, [a, b], opset=13)
        result = run_ours(op_type, [a.astype(ml_dtypes.bfloat16)] * 2, opset=13)[0]
        assert np.isnan(result).tolist() == [True, False, False]


# From the specification of opset 6: shapes of A and B, and the axis.
OLD_BROADCASTS = [
    ((2, 3, 4, 5), (), None),
    ((2, 3, 4, 5), (1, 1), None),
    ((2, 3, 4, 5), (5,), None),
    ((2, 3, 4, 5), (4, 5), None),
    ((2, 3, 4, 5), (3, 4), 1),
    ((2, 3, 4, 5), (2,), 0),
    ((2, 3), (2, 1), 0),
    ((0, 3), (0,), 0),
]


@pytest.mark.parametrize(("shape", "other_shape", "axis"), OLD_BROADCASTS)
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div", "Pow"])
@pytest.mark.parametrize("opset", [1, 6])
def test_old_broadcast(
    op_type: str, opset: int, shape: tuple[int, ...], other_shape: tuple[int, ...], axis: Any
) -> None:
    random = np.random.default_rng(0)
    a = random.uniform(1, 2, shape).astype(np.float32)
    b = random.uniform(1, 2, other_shape).astype(np.float32)
    attributes = {"broadcast": 1} if axis is None else {"broadcast": 1, "axis": axis}
    trailing = len(shape) - (axis or 0) - len(other_shape) if axis is not None else 0
    stretched = np.broadcast_to(b.reshape(other_shape + (1,) * trailing), shape)
    expected = {
        "Add": np.add,
        "Sub": np.subtract,
        "Mul": np.multiply,
        "Div": np.divide,
        "Pow": np.power,
    }[op_type](a, stretched)
    assert_same(run_ours(op_type, [a, b], opset=opset, **attributes), [expected])


def test_old_broadcast_refuses() -> None:
    a = np.ones((2, 3, 4), np.float32)
    with pytest.raises(ValueError, match="must be equal before opset 7"):
        kernels.add_1(a, a[0])
    with pytest.raises(ValueError, match="must be a contiguous part"):
        kernels.add_1(a, a[0, :, 0], broadcast=1)
    with pytest.raises(ValueError, match="axis 3 is out of range"):
        kernels.add_1(a, a[0], broadcast=1, axis=3)
    with pytest.raises(ValueError, match="must be a contiguous part"):
        kernels.add_1(a[0, 0], a, broadcast=1)

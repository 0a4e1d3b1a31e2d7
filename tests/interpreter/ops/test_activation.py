from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays, fill, shapes
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours
from rounded import HALF, check_rounded
from typed import check_typed, dtypes

from scratch_onnx.interpreter.ops import activation as kernels

# The versions that onnxruntime runs, and the attributes that are drawn.
POSITIVE, ANY = st.sampled_from([0.25, 1.0, 1.7]), st.sampled_from([-0.5, 0.0, 0.3, 1.5])
UNARY: dict[str, tuple[list[int], dict[str, Any]]] = {
    "Relu": ([6, 13, 14], {}),
    "LeakyRelu": ([6, 16], {"alpha": ANY}),
    "Elu": ([6, 22], {"alpha": ANY}),
    "Selu": ([6, 22], {"alpha": POSITIVE, "gamma": POSITIVE}),
    "Celu": ([12], {"alpha": POSITIVE}),
    "ThresholdedRelu": ([10, 22], {"alpha": ANY}),
    "Sigmoid": ([6, 13], {}),
    "HardSigmoid": ([6, 22], {"alpha": ANY, "beta": ANY}),
    "HardSwish": ([14, 22], {}),
    "Tanh": ([6, 13], {}),
    "Softplus": ([1, 22], {}),
    "Softsign": ([1, 22], {}),
    "Mish": ([18, 22], {}),
    "Swish": ([24], {"alpha": ANY}),
    "Gelu": ([20], {"approximate": st.sampled_from(["none", "tanh"])}),
}


@given(st.data())
@pytest.mark.parametrize("op_type", list(UNARY))
def test_unary(op_type: str, data: Any) -> None:
    opsets, attributes = UNARY[op_type]
    opset = data.draw(st.sampled_from(opsets))
    dtype = data.draw(st.sampled_from(dtypes(op_type, opset)))
    # With and without each attribute: the defaults are the standard's own numbers.
    given_ones = {
        name: data.draw(values) for name, values in attributes.items() if data.draw(st.booleans())
    }
    x = data.draw(arrays(dtypes=(dtype,)))
    if dtype.kind in "iu":
        check_typed(op_type, [x], opset=opset, **given_ones)
    elif op_type == "Gelu" and dtype == np.float64:
        # onnxruntime has the square root of 2 / pi in float32, in double too.
        check_rounded(op_type, [x], opset=opset, rtol=1e-6, atol=1e-6, **given_ones)
    else:
        check_rounded(op_type, [x], opset=opset, **given_ones)


@given(st.data())
def test_shrink(data: Any) -> None:
    dtype = data.draw(st.sampled_from([*dtypes("Shrink", 9)]))
    x = data.draw(arrays(dtypes=(dtype,)))
    lambd, bias = data.draw(st.sampled_from([(0.5, 0.0), (1.5, 1.0), (2.0, 1.5)]))
    if dtype.kind == "u":
        bias = 1.0  # onnxruntime's cast of a negative number to unsigned is the compiler's choice
    check_node("Shrink", [x], opset=9, lambd=lambd, bias=bias)


@given(st.data())
def test_prelu(data: Any) -> None:
    opset = data.draw(st.sampled_from([7, 9, 16]))
    dtype = data.draw(st.sampled_from(dtypes("PRelu", opset)))
    shape = data.draw(shapes(1, 4))
    kept = shape[data.draw(st.integers(0, len(shape))) :]
    slope = tuple(data.draw(st.sampled_from([1, n])) for n in kept)
    inputs = [data.draw(arrays(shape, (dtype,))), data.draw(arrays(slope, (dtype,)))]
    check = check_typed if dtype.kind in "iu" else check_rounded
    check("PRelu", inputs, opset=opset)


@given(st.data())
def test_clip(data: Any) -> None:
    opset = data.draw(st.sampled_from([11, 12, 13]))
    dtype = data.draw(st.sampled_from(dtypes("Clip", opset)))
    x = data.draw(arrays(dtypes=(dtype,)))
    bounds = [data.draw(st.none() | arrays((), (dtype,))) for _ in range(2)]
    check = check_rounded if dtype in HALF else check_typed
    check("Clip", [x, *bounds], opset=opset)


@given(st.data())
def test_clip_by_attributes(data: Any) -> None:
    x = data.draw(arrays(dtypes=dtypes("Clip", 6)))
    low, high = sorted([data.draw(ANY), data.draw(ANY)])
    check_rounded("Clip", [x], opset=6, min=low, max=high)


def vector(*values: float) -> Any:
    return np.array(values, np.float32)


SELU_1 = 1.0507 * 1.6732


@pytest.mark.parametrize(
    ("op_type", "x", "attributes", "expected"),
    [
        ("Relu", [-1, 0, 2], {}, [0, 0, 2]),
        ("LeakyRelu", [-1, 0, 2], {}, [-0.01, 0, 2]),
        ("LeakyRelu", [-1, 0, 2], {"alpha": 0.5}, [-0.5, 0, 2]),
        ("Elu", [-1, 2], {}, [math.expm1(-1), 2]),
        ("Selu", [-1, 2], {}, [SELU_1 * math.expm1(-1), 1.0507 * 2]),
        ("Sigmoid", [0, 1], {}, [0.5, 1 / (1 + math.exp(-1))]),
        ("HardSigmoid", [-9, 0.5, 9], {}, [0, 0.6, 1]),
        ("Tanh", [0, 1], {}, [0, math.tanh(1)]),
        ("Clip", [-1, 0, 2], {}, [-1, 0, 2]),
        ("Clip", [-1, 0, 2], {"min": 0.0}, [0, 0, 2]),
        ("Clip", [-1, 0, 2], {"max": 1.0}, [-1, 0, 1]),
        ("Clip", [-math.inf, math.inf], {}, [-math.inf, math.inf]),
    ],
)
def test_first_versions(
    op_type: str, x: list[float], attributes: dict[str, float], expected: list[float]
) -> None:
    (y,) = run_ours(op_type, [vector(*x)], opset=1, **attributes)
    assert_same([y], [vector(*expected)])


def test_clip_6_without_bounds_ends_at_the_extremes_of_float32() -> None:
    (y,) = run_ours("Clip", [np.array([-math.inf, 1e300, math.nan])], opset=6)
    largest = float(np.finfo(np.float32).max)
    np.testing.assert_array_equal(y, [-largest, largest, math.nan])


def test_clip_with_crossed_bounds_gives_the_upper_one() -> None:
    (y,) = run_ours("Clip", [vector(-9, 0, 9), vector(3)[0], vector(-3)[0]], opset=13)
    assert y.tolist() == [-3, -3, -3]
    with pytest.raises(ValueError, match="min must be a scalar"):
        kernels.clip(vector(1), vector(1, 2))


@pytest.mark.parametrize("opset", [1, 6])
def test_prelu_before_broadcasting(opset: int) -> None:
    x = np.full((1, 2, 2), -1, np.float32)
    (y,) = run_ours("PRelu", [x, vector(2, 3)], opset=opset)
    assert y.tolist() == [[[-2, -2], [-3, -3]]]  # a slope a channel, and not a column
    (y,) = run_ours("PRelu", [x, vector(2)], opset=opset)
    assert y.tolist() == [[[-2, -2], [-2, -2]]]
    with pytest.raises(ValueError, match="one for each channel"):
        kernels.prelu_1(x, vector(1, 2, 3))


def test_slope_larger_than_the_input() -> None:
    with pytest.raises(ValueError, match=r"the slope .2, 1. does not broadcast to .1."):
        kernels.prelu(vector(1), fill((2, 1)))


EXACT_IN_DOUBLE = {
    "Sigmoid": (13, lambda v: 1 / (1 + math.exp(-v))),
    "Softplus": (22, lambda v: math.log1p(math.exp(v))),
    "Elu": (22, lambda v: v if v > 0 else math.expm1(v)),
    "Mish": (22, lambda v: v * math.tanh(math.log1p(math.exp(v)))),
    "Gelu": (20, lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2)))),
    "Celu": (28, lambda v: v if v > 0 else math.expm1(v)),
    "Swish": (24, lambda v: v / (1 + math.exp(-v))),
    "HardSwish": (22, lambda v: v * max(0, min(1, v / 6 + 0.5))),
}


@pytest.mark.parametrize("op_type", list(EXACT_IN_DOUBLE))
def test_in_double(op_type: str) -> None:
    opset, function = EXACT_IN_DOUBLE[op_type]
    x = np.linspace(-8, 8, 101)
    (y,) = run_ours(op_type, [x], opset=opset)
    np.testing.assert_allclose(y, [function(v) for v in x], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("op_type", "opset", "expected"),
    [
        ("Sigmoid", 13, [0, 1, math.nan]),
        ("Tanh", 13, [-1, 1, math.nan]),
        ("Softplus", 22, [0, math.inf, math.nan]),
        ("Elu", 22, [-1, math.inf, math.nan]),
        ("Celu", 12, [-1, math.inf, math.nan]),
        ("Relu", 14, [0, math.inf, math.nan]),
        ("LeakyRelu", 16, [-math.inf, math.inf, math.nan]),
        ("HardSigmoid", 22, [0, 1, math.nan]),
        ("ThresholdedRelu", 22, [0, math.inf, 0]),
    ],
)
def test_infinities_and_nan(op_type: str, opset: int, expected: list[float]) -> None:
    x = vector(-math.inf, math.inf, math.nan)
    (y,) = run_ours(op_type, [x], opset=opset)
    np.testing.assert_array_equal(y, vector(*expected))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_celu_28_and_swiglu(dtype: Any) -> None:
    # Of opset 28, which onnxruntime does not have yet.
    gate, values = fill((3, 4), dtype, 1), fill((3, 4), dtype, 2)
    x = gate.astype(np.float64)
    (y,) = run_ours("Celu", [gate], opset=28, alpha=2.0)
    expected = np.where(x > 0, x, 2 * np.expm1(x / 2)).astype(dtype)
    assert_same([y], [expected])
    (y,) = run_ours("SwiGLU", [gate, values], opset=28, alpha=1.5)
    expected = (x / (1 + np.exp(-1.5 * x)) * values.astype(np.float64)).astype(dtype)
    assert_same([y], [expected])
    with pytest.raises(ValueError, match="must have one shape"):
        kernels.swiglu(gate, values[0])


def test_gelu_of_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="approximate must be none or tanh, and is 'erf'"):
        kernels.gelu(vector(1), approximate="erf")

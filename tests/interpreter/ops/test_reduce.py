from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays, axis_of, shapes
from hypothesis import given
from hypothesis import strategies as st
from oracles import FLOAT32, assert_same, check_node, run_ours
from typed import cases, check_typed

from scratch_onnx.interpreter.ops import reduce as kernels

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

KINDS = ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"]


def reduce_node(kind: str, opset: int, axes: Any, keepdims: int, noop: int = 0) -> Any:
    """The inputs beyond the data, and the attributes, of a reduction in that opset."""
    if opset < (13 if kind == "Sum" else 18):
        return [], {"keepdims": keepdims} | ({} if axes is None else {"axes": axes})
    extra = [] if axes is None else [np.array(axes, np.int64)]
    return extra, {"keepdims": keepdims} | ({"noop_with_empty_axes": noop} if noop else {})


@given(st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_reduce(kind: str, data: Any) -> None:
    _, opset, dtype = data.draw(st.sampled_from(cases([f"Reduce{kind}"], first=1)))
    x = data.draw(arrays(data.draw(shapes(dims=st.integers(1, 4))), (dtype,)))
    if kind in ("LogSum", "Prod", "Mean") or dtype.kind == "u":
        x = np.asarray(np.abs(x) % 3 + 1).astype(dtype)
    if kind == "LogSumExp" and dtype.kind in "iu":
        x = np.asarray(x % 4, dtype)
    axes = data.draw(st.none() | st.lists(st.integers(0, max(x.ndim - 1, 0)), unique=True))
    if axes and opset >= 11:
        axes = [axis - x.ndim if data.draw(st.booleans()) else axis for axis in axes]
    if x.ndim == 0 or axes == []:
        axes = None
    extra, attributes = reduce_node(kind, opset, axes, data.draw(st.integers(0, 1)))
    if dtype.kind in "iu" and kind in ("L2", "LogSum", "LogSumExp", "Mean"):
        # onnxruntime computes these of integers in integers, or not at all: by hand, truncated.
        chosen = tuple(axes) if axes is not None else tuple(range(x.ndim))
        keepdims = bool(attributes["keepdims"])
        wide = x.astype(np.float64)
        inner = {"L2": np.square, "LogSumExp": np.exp}.get(kind, np.asarray)(wide)
        total = np.sum(inner, axis=chosen, keepdims=keepdims)
        if kind == "Mean":
            total = np.mean(wide, axis=chosen, keepdims=keepdims)
        expected = {"L2": np.sqrt, "Mean": np.trunc}.get(kind, np.log)(total)
        nearest = np.rint(expected)  # a whole number that rounding may have missed from below
        expected = np.where(np.abs(expected - nearest) < 1e-12, nearest, expected)
        actual = run_ours(f"Reduce{kind}", [x, *extra], opset=opset, **attributes)
        assert actual[0].dtype == dtype
        assert np.abs(actual[0] - np.trunc(expected)).max(initial=0) <= (kind == "LogSumExp")
        return
    check_typed(f"Reduce{kind}", [x, *extra], opset=opset, **attributes)


IDENTITIES = {
    "Sum": 0,
    "Mean": np.nan,
    "Max": -np.inf,
    "Min": np.inf,
    "Prod": 1,
    "L1": 0,
    "L2": 0,
    "SumSquare": 0,
    "LogSum": -np.inf,
    "LogSumExp": -np.inf,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reduce_nothing(kind: str, keepdims: int) -> None:
    for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
        x = np.zeros((2, 0, 3), dtype)
        extra, attributes = reduce_node(kind, 20, [1], keepdims)
        expected = np.full((2, 1, 3) if keepdims else (2, 3), IDENTITIES[kind], dtype)
        assert_same(run_ours(f"Reduce{kind}", [x, *extra], opset=20, **attributes), [expected])
        # The other way round, nothing is left to reduce.
        extra, attributes = reduce_node(kind, 20, [0], keepdims)
        empty = np.zeros((1, 0, 3) if keepdims else (0, 3), dtype)
        assert_same(run_ours(f"Reduce{kind}", [x, *extra], opset=20, **attributes), [empty])


def test_reduce_nothing_of_integers() -> None:
    for dtype in (np.int32, np.uint8, np.int8, np.uint64):
        x = np.zeros((0,), dtype)
        limits = np.iinfo(dtype)
        assert run_ours("ReduceMax", [x], opset=20)[0].tolist() == [limits.min]
        assert run_ours("ReduceMin", [x], opset=20)[0].tolist() == [limits.max]
    nothing = np.zeros((0,), np.bool_)
    assert run_ours("ReduceMax", [nothing], opset=20)[0].tolist() == [False]
    assert run_ours("ReduceMin", [nothing], opset=20)[0].tolist() == [True]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given_axes", [True, False])
def test_noop_with_empty_axes(kind: str, given_axes: bool) -> None:
    x = np.array([[1.5, 2.0], [0.25, 3.0]], np.float32)
    extra, attributes = reduce_node(kind, 18, [] if given_axes else None, 1, noop=1)
    expected = {
        "L1": np.abs(x),
        "L2": np.abs(x),
        "SumSquare": x * x,
        "LogSum": np.log(x),
    }.get(kind, x)
    assert_same(run_ours(f"Reduce{kind}", [x, *extra], opset=18, **attributes), [expected])
    extra, attributes = reduce_node(kind, 18, [] if given_axes else None, 1)
    everything, all_axes = reduce_node(kind, 18, [0, 1], 1)
    assert_same(
        run_ours(f"Reduce{kind}", [x, *extra], opset=18, **attributes),
        run_ours(f"Reduce{kind}", [x, *everything], opset=18, **all_axes),
    )


def test_reduce_special_values() -> None:
    x = np.array([[np.nan, 1], [np.inf, -np.inf], [-np.inf, -np.inf], [1000, 999]], np.float32)
    for kind in KINDS:
        extra, attributes = reduce_node(kind, 18, [1], 0)
        check_node(f"Reduce{kind}", [x[[0, 3]], *extra], opset=18, **attributes)
    expected = np.array([np.nan, np.inf, -np.inf, 1000 + np.log1p(np.exp(-1.0))], np.float32)
    assert_same([kernels.reduce_log_sum_exp(x, (1,), keepdims=0)], [expected], **FLOAT32)


def test_reduce_wraps_and_accumulates() -> None:
    big = np.full(3, 2**31 - 1, np.int32)
    assert kernels.reduce_sum(big, keepdims=0) == 3 * (2**31 - 1) - 2**32
    assert kernels.reduce_mean(big, keepdims=0) == 2**31 - 1
    assert kernels.reduce_mean(np.array([-7, -8]), keepdims=0) == -7
    # Of 4096 ones and more, float16 by float16 would stop at 2048, bfloat16 at 256.
    for dtype in (np.float16, ml_dtypes.bfloat16):
        assert kernels.reduce_sum(np.ones(4096, dtype), keepdims=0) == 4096


def test_reduce_refuses_bad_axes() -> None:
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match="axes 2 is out of range for a tensor of rank 2"):
        kernels.reduce_sum(x, (2,))
    with pytest.raises(ValueError, match="name an axis twice"):
        kernels.reduce_sum_1(x, axes=(0, -2))


@given(st.data())
@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
def test_arg(op_type: str, data: Any) -> None:
    _, opset, dtype = data.draw(st.sampled_from(cases([op_type], first=1)))
    x = data.draw(arrays(data.draw(shapes(1, 4, st.integers(1, 4))), (dtype,)))
    x = np.asarray(x.astype(np.float32) % 3).astype(dtype)  # ties
    attributes = {"keepdims": data.draw(st.integers(0, 1)), "axis": axis_of(data.draw, x.ndim)}
    if opset < 11:
        attributes["axis"] %= x.ndim
    if opset >= 12:
        attributes["select_last_index"] = data.draw(st.integers(0, 1))
    check_typed(op_type, [x], fixed_output=True, opset=opset, **attributes)


def test_arg_of_nothing() -> None:
    assert kernels.arg_max(np.zeros((0, 3)), axis=1).shape == (0, 1)
    with pytest.raises(ValueError, match="empty"):
        kernels.arg_max(np.zeros((0, 3)), axis=0)


@given(st.data())
def test_cum_sum(data: Any) -> None:
    _, opset, dtype = data.draw(st.sampled_from(cases(["CumSum"])))
    x = data.draw(arrays(data.draw(shapes(1, 4, st.integers(1, 4))), (dtype,)))
    axis = np.array(axis_of(data.draw, x.ndim), data.draw(st.sampled_from([np.int32, np.int64])))
    attributes = {name: data.draw(st.integers(0, 1)) for name in ("exclusive", "reverse")}
    check_typed("CumSum", [x, axis], opset=opset, **attributes)
    # Files of other frameworks give the axis as [1]: the specification's own cases have both.
    scalar = run_ours("CumSum", [x, axis], opset=opset, **attributes)
    assert_same(run_ours("CumSum", [x, axis.reshape(1)], opset=opset, **attributes), scalar)


@pytest.mark.parametrize(
    ("exclusive", "reverse", "expected"),
    [(0, 0, [1, 2, 6]), (1, 0, [1, 1, 2]), (0, 1, [6, 6, 3]), (1, 1, [6, 3, 1])],
)
def test_cum_prod(exclusive: int, reverse: int, expected: list[int]) -> None:
    # The specification's example, along each axis and in each dtype.
    for _, opset, dtype in cases(["CumProd"]):
        x = np.array([1, 2, 3]).astype(dtype)
        attributes = {"exclusive": exclusive, "reverse": reverse}
        wanted = np.array(expected).astype(dtype)
        axis = np.array([0], np.int64)
        assert_same(run_ours("CumProd", [x, axis], opset=opset, **attributes), [wanted])
        tall = np.stack([x, x], axis=1)
        actual = run_ours("CumProd", [tall, np.array(-2)], opset=opset, **attributes)
        assert_same(actual, [np.stack([wanted, wanted], axis=1)])


def test_cumulate_at_the_edges() -> None:
    for attributes in ({}, {"exclusive": 1}, {"reverse": 1}):
        empty = run_ours(
            "CumSum", [np.zeros((2, 0), np.float32), np.array(1)], opset=14, **attributes
        )
        assert empty[0].shape == (2, 0)
    x = np.array([np.inf, 1], np.float32)
    exclusive = kernels.cum_sum(x, np.array(0), exclusive=1)
    assert_same([exclusive], [np.array([0, np.inf], np.float32)])
    with pytest.raises(ValueError, match="axis must be one number"):
        kernels.cum_sum(x, np.array([0, 0]))
    with pytest.raises(ValueError, match="axis 1 is out of range"):
        kernels.cum_sum(x, np.array(1))


@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceMean"])
@pytest.mark.parametrize("length", [63, 64, 1000, 4099])
def test_sums_along_any_axis_are_accurate(op_type: str, length: int) -> None:
    # A published model has a variance as E[x²] - E[x]², which magnifies a sum's rounding error.
    x = np.random.default_rng(0).uniform(1, 1.001, (2, length, 33)).astype(np.float32)
    exact = x.astype(np.float64).sum(1, keepdims=True)
    if op_type == "ReduceMean":
        exact /= length
    axes = np.array([1], np.int64)
    (actual,) = run_ours(op_type, [x, axes], opset=18, constants=[1])
    assert np.abs(actual / exact - 1).max() < 1e-6

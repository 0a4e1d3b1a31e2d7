from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays, fill, shapes
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from oracles import assert_same, check_node, run_ours

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter.ops import shape as kernels

DTYPES = [np.float32, np.int64, np.bool_, np.float64, object, np.uint8]
NEW = st.sampled_from([13, 14, 19, 21, 23])


def int64(*values: int) -> Any:
    return np.array(values, np.int64)


@st.composite
def reshapes(draw: Any) -> tuple[Any, list[int], bool]:
    """An array and a shape that fits it, told with 0 and -1 at times."""
    data = draw(arrays(dtypes=DTYPES))
    target = list(draw(st.permutations(data.shape)))
    if draw(st.booleans()):
        target.insert(draw(st.integers(0, len(target))), 1)
    allowzero = draw(st.booleans())
    if not allowzero:
        for axis, dim in enumerate(target):
            if axis < data.ndim and dim == data.shape[axis] and draw(st.booleans()):
                target[axis] = 0
        if any(d == 0 and (a >= data.ndim or data.shape[a] != 0) for a, d in enumerate(target)):
            target = [0] * data.ndim  # an empty dimension that moved cannot be told with 0
    if target and data.size and draw(st.booleans()):
        target[draw(st.integers(0, len(target) - 1))] = -1
    return data, target, allowzero


@given(reshapes(), st.sampled_from([5, 13, 14, 19, 21, 23]))
def test_reshape(case: tuple[Any, list[int], bool], opset: int) -> None:
    data, target, allowzero = case
    attributes = {"allowzero": int(allowzero)} if opset >= 14 else {}
    if allowzero and opset < 14 and 0 in target:
        return
    check_node("Reshape", [data, int64(*target)], opset=opset, constants=[1], **attributes)


def test_reshape_by_hand() -> None:
    data = np.arange(6).reshape(2, 3)
    assert kernels.reshape(data, int64(0, 1, -1)).shape == (2, 1, 3)
    assert kernels.reshape(np.ones((1, 1)), int64()).shape == ()
    assert kernels.reshape(np.ones((0, 3)), int64(3, 0), allowzero=1).shape == (3, 0)
    assert kernels.reshape(np.ones((0, 3)), int64(-1, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    ("target", "allowzero", "rule"),
    [
        ((-1, -1), 0, "one -1"),
        ((-2, 3), 0, "negative"),
        ((4, -1), 0, "do not fit"),
        ((7,), 0, "do not fit"),
        ((2, 3, 0), 0, "copies a dimension"),
        ((0, -1), 1, "may not hold both"),
        ((0, 3), 1, "do not fit"),
    ],
)
def test_reshape_refuses(target: tuple[int, ...], allowzero: int, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        kernels.reshape(np.zeros((2, 3)), int64(*target), allowzero=allowzero)


@pytest.mark.parametrize(
    ("target", "expected"),
    [((4, 6), (4, 6)), ((0, -1), (2, 12)), ((-1,), (24,)), ((2, 0, 4), (2, 3, 4))],
)
def test_reshape_1(target: tuple[int, ...], expected: tuple[int, ...]) -> None:
    data = fill((2, 3, 4))
    result = run_ours("Reshape", [data], opset=1, shape=target)
    assert_same(result, [data.reshape(expected)])  # row-major, as in every version


@given(arrays(dtypes=DTYPES), st.sampled_from([9, 11, 13, 21, 23]), st.data())
def test_flatten(data: Any, opset: int, draw: Any) -> None:
    least = -data.ndim if opset >= 11 else 0
    axis = draw.draw(st.integers(least, data.ndim))
    check_node("Flatten", [data], opset=opset, axis=axis)


def test_flatten_of_opset_1_and_default_axis() -> None:
    data = np.zeros((2, 3, 4), np.float32)
    assert run_ours("Flatten", [data], opset=1)[0].shape == (2, 12)
    assert kernels.flatten(np.float32(1).reshape(()), axis=0).shape == (1, 1)
    with pytest.raises(ValueError, match="axis 4 is out of range"):
        kernels.flatten(data, axis=4)


@given(arrays(dtypes=DTYPES), st.sampled_from([1, 13, 21, 23]), st.data())
def test_transpose(data: Any, opset: int, draw: Any) -> None:
    attributes = {}
    if draw.draw(st.booleans()) and data.ndim:
        attributes["perm"] = list(draw.draw(st.permutations(range(data.ndim))))
    check_node("Transpose", [data], opset=max(opset, 7), **attributes)


def test_transpose_refuses() -> None:
    with pytest.raises(ValueError, match="no permutation"):
        kernels.transpose(np.zeros((2, 3)), perm=(0, 0))


@given(arrays(shape=(1, 3, 1, 1), dtypes=DTYPES), st.sampled_from([7, 11, 13, 21, 23]), st.data())
def test_squeeze(data: Any, opset: int, draw: Any) -> None:
    axes = draw.draw(st.none() | st.lists(st.sampled_from([0, 2, 3]), unique=True, min_size=1))
    if axes is None:
        check_node("Squeeze", [data], opset=opset)
        return
    if opset < 13:
        check_node("Squeeze", [data], opset=opset, axes=axes)
        return
    axes = [axis - 4 if draw.draw(st.booleans()) else axis for axis in axes]
    check_node("Squeeze", [data, int64(*axes)], opset=opset, constants=[1])


def test_squeeze_refuses() -> None:
    with pytest.raises(ValueError, match=r"axis 1 of shape \[1, 3\] is not 1"):
        kernels.squeeze(np.zeros((1, 3)), int64(1))
    with pytest.raises(ValueError, match="twice"):
        kernels.squeeze(np.zeros((1, 3)), int64(0, -2))


@given(arrays(shape=None, dtypes=DTYPES), st.sampled_from([7, 11, 13, 21, 23]), st.data())
def test_unsqueeze(data: Any, opset: int, draw: Any) -> None:
    count = draw.draw(st.integers(1, 3))
    rank = data.ndim + count
    axes = draw.draw(
        st.lists(st.integers(0, rank - 1), unique=True, min_size=count, max_size=count)
    )
    if opset >= 11:
        axes = [axis - rank if draw.draw(st.booleans()) else axis for axis in axes]
    if opset < 13:
        check_node("Unsqueeze", [data], opset=opset, axes=axes)
    else:
        check_node("Unsqueeze", [data, int64(*axes)], opset=opset, constants=[1])


@given(arrays(dtypes=DTYPES), st.sampled_from([7, 13, 15, 19, 21, 23]), st.data())
def test_shape_and_size(data: Any, opset: int, draw: Any) -> None:
    bounds = {}
    if opset >= 15:
        bounds["start"] = draw.draw(st.integers(-6, 6))
        if draw.draw(st.booleans()):
            bounds["end"] = draw.draw(st.integers(-6, 6))
    expected = np.array(data.shape[bounds.get("start", 0) : bounds.get("end")], np.int64)
    assert_same(run_ours("Shape", [data], opset=opset, **bounds), [expected])
    check_node("Shape", [data], opset=opset, **bounds)
    check_node("Size", [data], opset=opset)


@given(shapes(), st.sampled_from([8, 13]), st.data())
def test_expand(target: tuple[int, ...], opset: int, draw: Any) -> None:
    rank = draw.draw(st.integers(0, len(target)))
    tail = target[len(target) - rank :]
    shape = tuple(1 if draw.draw(st.booleans()) else dim for dim in tail)
    wanted = [
        1 if dim == mine and dim and draw.draw(st.booleans()) else dim
        for dim, mine in zip(target, (0,) * (len(target) - rank) + shape, strict=True)
    ]
    data = draw.draw(arrays(shape=shape, dtypes=[np.float32, np.int64, np.bool_, object]))
    check_node("Expand", [data, int64(*wanted)], opset=opset, constants=[1])


def test_expand_refuses() -> None:
    with pytest.raises(ValueError, match="does not broadcast"):
        kernels.expand(np.zeros((2, 3)), int64(4))
    with pytest.raises(ValueError, match="negative"):
        kernels.expand(np.zeros((2, 3)), int64(-1, 3))


@given(arrays(dtypes=[*DTYPES, np.complex64, ml_dtypes.bfloat16]), NEW)
def test_identity_of_tensors(data: Any, opset: int) -> None:
    assert_same(run_ours("Identity", [data], opset=opset), [data])


@pytest.mark.parametrize("dtype", [ml_dtypes.int4, ml_dtypes.float8_e5m2, ml_dtypes.uint2])
def test_small_dtypes_keep_their_bits(dtype: Any) -> None:
    data = np.array([[0, 1], [2, 3]], np.int8).astype(dtype)
    opset = 25
    results = [
        run_ours("Transpose", [data], opset=opset)[0],
        run_ours("Flatten", [data], opset=opset, axis=0)[0],
        run_ours("Reshape", [data, int64(4)], opset=opset, constants=[1])[0],
        run_ours("Unsqueeze", [data, int64(0)], opset=opset, constants=[1])[0],
    ]
    assert [result.dtype for result in results] == [dtype] * 4
    assert [result.astype(int).tolist() for result in results] == [
        [[0, 2], [1, 3]],
        [[0, 1, 2, 3]],
        [0, 1, 2, 3],
        [[[0, 1], [2, 3]]],
    ]


@pytest.mark.parametrize("kind", ["sequence", "optional"])
def test_identity_of_sequences_and_optionals(kind: str) -> None:
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    sequence = helper.make_sequence_type_proto(tensor)
    type_ = sequence if kind == "sequence" else helper.make_optional_type_proto(sequence)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_value_info("x", type_)],
        [helper.make_value_info("y", type_)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    session = so.InferenceSession(model)
    value = [np.float32([1, 2]), np.float32([3, 4])]
    assert_same(session.run(None, {"x": value})[0], value)
    if kind == "optional":
        assert session.run(None, {"x": None}) == [None]

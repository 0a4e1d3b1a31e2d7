"""Quantised graphs: optimised they give the plain graph's numbers to the bit, and onnxruntime's.

What the passes make of a graph is held too, and of its look-alikes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import model, node, onnxruntime, steps
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter.passes.integer_weights import depth_pieces, is_exact
from scratch_onnx.interpreter.types import Array

BYTES = st.sampled_from([np.uint8, np.int8])


def run_both(proto: ModelProto, feed: Mapping[str, Any], oracle: bool = True) -> list[str]:
    """Optimised, on one thread and on two, equals plain to the bit, and onnxruntime; the
    operators that the optimised session runs."""
    plain = so.InferenceSession(proto, optimize=False).run(None, feed)
    expected = onnxruntime(proto, feed) if oracle else plain
    for threads in (1, 2):
        session = so.InferenceSession(proto, threads=threads)
        for actual, value, theirs in zip(session.run(None, feed), plain, expected, strict=True):
            assert actual.dtype == value.dtype
            np.testing.assert_array_equal(actual, value, strict=True)
            np.testing.assert_array_equal(np.signbit(actual), np.signbit(value))
            np.testing.assert_array_equal(actual, theirs)
    return steps(session)


def draw_bytes(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def draw_scale(rng: np.random.Generator, *shape: int) -> Array:
    return rng.uniform(0.001, 0.02, shape).astype(np.float32)


@st.composite
def convolutions(draw: Any) -> dict[str, Any]:
    group = draw(st.sampled_from([1, 1, 2, 3]))
    return {
        "seed": draw(st.integers(0, 2**16)),
        "x": draw(BYTES),
        "w": draw(BYTES),
        "images": draw(st.integers(1, 3)),
        "size": (draw(st.integers(3, 9)), draw(st.integers(3, 9))),
        "group": group,
        "channels": group * draw(st.integers(1, 5)),
        "filters": group * draw(st.integers(1, 5)),
        "kernel": draw(st.sampled_from([(1, 1), (3, 3), (2, 3), (1, 2)])),
        "strides": draw(st.sampled_from([(1, 1), (2, 1), (2, 2)])),
        "pads": draw(st.sampled_from([(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 1, 0)])),
        "per_channel": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "pool": draw(st.booleans()),
    }


def conv_parts(case: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Array]:
    rng = np.random.default_rng(case["seed"])
    M = case["filters"]
    shape = (M, case["channels"] // case["group"], *case["kernel"])
    several = (M,) if case["per_channel"] else ()
    constants = {
        "xs": draw_scale(rng),
        "xz": draw_bytes(rng, case["x"]),
        "w": draw_bytes(rng, case["w"], *shape),
        "ws": draw_scale(rng, *several),
        "wz": np.zeros(several, case["w"]) if case["w"] == np.int8 else draw_bytes(rng, np.uint8),
        "ys": draw_scale(rng) * np.float32(40),
        "yz": draw_bytes(rng, case["x"]),
        "b": rng.integers(-(2**15), 2**15, M).astype(np.int32),
    }
    if case["w"] == np.uint8 and case["per_channel"]:
        constants["wz"] = np.full(several, constants["wz"])
    attributes = {name: case[name] for name in ("group", "strides", "pads")}
    x = draw_bytes(rng, case["x"], case["images"], case["channels"], *case["size"])
    return constants, attributes, x


@settings(deadline=None, max_examples=60)
@given(convolutions())
def test_qlinear_conv(case: dict[str, Any]) -> None:
    constants, attributes, x = conv_parts(case)
    inputs = "x xs xz w ws wz ys yz" + (" b" if case["bias"] else "")
    nodes = [node("QLinearConv", inputs, "y", **attributes)]
    if case["pool"]:
        nodes.append(node("MaxPool", "y", "p", kernel_shape=[1, 2], strides=[1, 2]))
    last = nodes[-1].output[0]
    proto = model(nodes, {"x": ["N", *x.shape[1:]]}, [last], constants, dtypes={"x": x.dtype})
    known = (case["x"], case["w"]) != (np.int8, np.uint8)  # onnxruntime has no such kernel
    try:
        names = run_both(proto, {"x": x}, oracle=known)
    except so.ScratchOnnxError:  # a window of 2 in a result of 1 column
        assert case["pool"]
        return
    assert "QuantizedConv*" in names
    assert "QLinearConv" not in names


@settings(deadline=None, max_examples=40)
@given(convolutions())
def test_conv_integer(case: dict[str, Any]) -> None:
    constants, attributes, x = conv_parts(case)
    constants["wz"] = constants["wz"].reshape(-1)[0]  # onnxruntime has one for all
    nodes = [
        node("ConvInteger", "x w xz wz", "i", **attributes),
        node("Cast", "i", "f", to=onnx.TensorProto.FLOAT),
        node("Mul", "f ws0", "y"),
    ]
    constants["ws0"] = draw_scale(np.random.default_rng(1))
    proto = model(nodes, {"x": ["N", *x.shape[1:]]}, ["y"], constants, dtypes={"x": x.dtype})
    if x.dtype == np.uint8:
        names = run_both(proto, {"x": x}, oracle=case["w"] == np.uint8)
        assert "QuantizedConv*" in names
        assert "Cast" not in names
    run_both(proto, {"x": x}, oracle=False)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**16), BYTES, BYTES, st.booleans(), st.integers(0, 5), st.integers(1, 70),
    st.integers(1, 40), st.booleans(),
)  # fmt: skip
def test_products(
    seed: int, a: Any, b: Any, per_column: bool, rows: int, depth: int, width: int, stack: bool
) -> None:
    rng = np.random.default_rng(seed)
    several = (width,) if per_column else ()
    x = draw_bytes(rng, a, *((2,) if stack else ()), rows, depth)
    constants = {
        "as": draw_scale(rng),
        "az": draw_bytes(rng, a),
        "b": draw_bytes(rng, b, depth, width),
        "bs": draw_scale(rng, *several),
        "bz": np.zeros(several, b),
        "ys": draw_scale(rng) * np.float32(40),
        "yz": draw_bytes(rng, a),
    }
    free = {"x": [2, "N", depth] if stack else ["N", depth]}
    linear = model(
        [node("QLinearMatMul", "x as az b bs bz ys yz", "y")], free, ["y"], constants,
        dtypes={"x": a},
    )  # fmt: skip
    oracle = (a, b) != (np.int8, np.uint8) and rows > 0
    assert "QuantizedDense*" in run_both(linear, {"x": x}, oracle)
    integer = model(
        [node("MatMulInteger", "x b az bz", "y")], free, ["y"], constants, dtypes={"x": a}
    )
    assert run_both(integer, {"x": x}, oracle)[-2:] == ["QuantizedDense*", "Integers*"]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**16), st.sampled_from(["normal", "positive", "negative", "zero", "tiny"]),
    st.lists(st.integers(0, 5), min_size=1, max_size=2), st.integers(1, 40), st.integers(1, 20),
)  # fmt: skip
def test_dynamic(seed: int, kind: str, rows: list[int], depth: int, width: int) -> None:
    """DynamicQuantizeLinear, MatMulInteger, Cast and Mul, as onnxruntime's quantiser writes it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(*rows, depth)).astype(np.float32)
    x = {
        "normal": x,
        "positive": abs(x),
        "negative": -abs(x),
        "zero": x * 0,
        "tiny": x * np.float32(1e-42),
    }[kind]
    constants = {
        "b": draw_bytes(rng, np.uint8, depth, width),
        "bs": draw_scale(rng),
        "bz": draw_bytes(rng, np.uint8),
    }
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("Mul", "s bs", "scale"),
        node("MatMulInteger", "q b z bz", "i"),
        node("Cast", "i", "f", to=onnx.TensorProto.FLOAT),
        node("Mul", "f scale", "y"),
    ]
    shape = ["N", *x.shape[1:]]
    proto = model(nodes, {"x": shape}, ["y", "q", "s", "z"], constants)
    names = run_both(proto, {"x": x}, oracle=x.size > 0 and kind != "tiny")
    assert {"DynamicRange*", "DynamicQuantize*", "QuantizedDense*"} <= set(names)
    assert not {"DynamicQuantizeLinear", "MatMulInteger", "Cast"} & set(names)


def deep(depth: int, weight: Array, *nodes: Any, outputs: str) -> list[str]:
    """The names of a product's steps where all terms have one sign."""
    x = np.full((2, depth), 255, np.uint8)
    proto = model(nodes, {"x": ["N", depth]}, outputs.split(), {"b": weight}, dtypes={"x": x.dtype})
    result = so.InferenceSession(proto).run(None, {"x": x})[0]
    exact = x.astype(np.int64) @ weight.astype(np.int64)
    np.testing.assert_array_equal(result, exact.astype(np.int32).astype(result.dtype))
    return run_both(proto, {"x": x})


@pytest.mark.parametrize("depth", [513, 518, 519, 1100, 4000])
def test_sums_beyond_24_bits(depth: int) -> None:
    """127 · 255 · 519 is above 2^24: the depth is cut. Odd weights make odd sums."""
    weight = np.full((depth, 3), 127, np.int8)
    weight[:, 1] = -127
    cast = node("Cast", "i", "f", to=onnx.TensorProto.FLOAT)
    product = node("MatMulInteger", "x b", "i")
    assert "Cast" not in deep(depth, weight, product, cast, outputs="f")
    # Where the integers themselves are wanted, too, they are not rounded to float32.
    names = deep(depth, weight, product, cast, outputs="i f")
    assert ("Cast" in names) == (depth > 518)


def test_a_sum_that_wraps_around_stays_plain() -> None:
    weight = np.full((70_000, 1), 127, np.int8)
    assert "MatMulInteger" in deep(70_000, weight, node("MatMulInteger", "x b", "i"), outputs="i")


def test_a_deep_convolution_is_cut_into_channels() -> None:
    rng = np.random.default_rng(0)
    x = np.full((1, 100, 5, 5), 255, np.uint8)
    constants = {
        "w": np.full((4, 100, 3, 3), 127, np.int8) - rng.integers(0, 2, (4, 100, 3, 3), np.int8),
        "s": np.float32(0.01), "z": np.uint8(0), "wz": np.int8(0), "ys": np.float32(12.3),
        "b": np.array([1, -1, 12345, 7], np.int32),
    }  # fmt: skip
    nodes = [
        node("QLinearConv", "x s z w s wz ys z b", "c", pads=[1, 1, 1, 1]),
        node("MaxPool", "c", "y", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    proto = model(nodes, {"x": ["N", 100, 5, 5]}, ["y"], constants, dtypes={"x": x.dtype})
    assert "QuantizedConv*" in run_both(proto, {"x": x})


def test_exactness_is_proved_from_the_weights() -> None:
    weight = np.full((519, 1), 127)
    assert is_exact(weight[:518])
    assert not is_exact(weight)
    assert not is_exact(-weight)
    assert is_exact(np.concatenate([weight, -weight[:518]])[1:])  # no order adds up more
    assert depth_pieces(weight, 1) is None
    assert depth_pieces(weight, 16) == 2
    assert depth_pieces(np.concatenate([weight] * 3), 16) == 4


LOOKALIKES = {
    "weights that come in": ("MatMulInteger", "x b", {"b": ["K", 3]}, {}),
    "a zero point a row": ("MatMulInteger", "x b az", {}, {"az": np.array([1, 2], np.uint8)}),
    "a stack of matrices": ("MatMulInteger", "x b3", {}, {"b3": np.ones((1, 4, 3), np.int8)}),
}


@pytest.mark.parametrize("case", LOOKALIKES)
def test_products_that_stay(case: str) -> None:
    op_type, inputs, free, more = LOOKALIKES[case]
    b = draw_bytes(np.random.default_rng(0), np.int8, 4, 3)
    constants = {**({} if "b" in free else {"b": b}), **more}
    x = draw_bytes(np.random.default_rng(1), np.uint8, 2, 4)
    proto = model(
        [node(op_type, inputs, "y")], {"x": [2, 4], **free}, ["y"], constants,
        dtypes={"x": np.uint8, "b": np.int8},
    )  # fmt: skip
    assert op_type in run_both(proto, {"x": x, **({"b": b} if free else {})}, oracle=False)


# Quantised and dequantised

Q = {"s": np.float32(0.05), "z": np.uint8(3), "t": np.float32(0.06), "i": np.int8(3)}
SPECIAL = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 0.025, 0.075, -0.025, 1e30], np.float32)


def pair(x: str, y: str, *, s: str = "s", z: str = "z") -> list[Any]:
    return [
        node("QuantizeLinear", f"{x} {s} {z}", f"{y}q"),
        node("DequantizeLinear", f"{y}q {s} {z}", y),
    ]


@pytest.mark.parametrize("zero", [np.uint8(3), np.int8(-128), np.uint16(40000), np.int16(0)])
def test_a_pair_is_an_activation(zero: Any) -> None:
    x = np.concatenate([SPECIAL, np.random.default_rng(0).normal(0, 50, 70_000)]).astype(np.float32)
    nodes = pair("x", "y")
    proto = model(nodes, {"x": ["N"]}, ["y"], {**Q, "z": zero}, opset=21)
    assert run_both(proto, {"x": x}) == ["Activation*"]


def test_pairs_that_are_repeated_and_those_that_are_not() -> None:
    x = np.random.default_rng(0).normal(0, 5, (2, 3, 6, 6)).astype(np.float32)
    pool = node("MaxPool", "y", "p", kernel_shape=[2, 2], strides=[2, 2])
    free = {"x": ["N", 3, 6, 6]}
    same = model([*pair("x", "y"), pool, *pair("p", "o")], free, ["o"], Q)
    assert run_both(same, {"x": x}).count("Activation*") == 1
    other = model([*pair("x", "y"), pool, *pair("p", "o", s="t")], free, ["o"], Q)
    assert run_both(other, {"x": x}).count("Activation*") == 2
    average = node("AveragePool", "y", "p", kernel_shape=[2, 2])
    mixed = model([*pair("x", "y"), average, *pair("p", "o")], free, ["o"], Q)
    assert so.InferenceSession(mixed).plan.steps[-1].node.op_type != "AveragePool"
    assert steps(so.InferenceSession(mixed)).count("Activation*") == 2


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        (pair("x", "y"), "y yq"),
        ([pair("x", "y")[0], node("DequantizeLinear", "yq t z", "y")], "y"),
        ([pair("x", "y")[0], node("DequantizeLinear", "yq s", "y")], "y"),
        (pair("x", "y", s="v", z="vz"), "y"),
    ],
    ids=["read elsewhere", "another scale", "another zero point", "a scale a channel"],
)
def test_lookalikes_of_a_pair(nodes: list[Any], outputs: str) -> None:
    """What is dequantised otherwise is a step of its own; integers that are read are there."""
    x = np.random.default_rng(0).normal(0, 5, (2, 3)).astype(np.float32)
    constants = {**Q, "v": np.array([0.1, 0.2, 0.3], np.float32), "vz": np.zeros(3, np.uint8)}
    proto = model(nodes, {"x": ["N", 3]}, outputs.split(), constants)
    names = run_both(proto, {"x": x})
    assert ("DequantizeLinear" in names or "Mul" in names) == (outputs == "y")


@pytest.mark.parametrize("rounded", [True, False])
def test_an_infinite_pixel_behind_a_convolution(rounded: bool) -> None:
    """Winograd would make its whole tile NaN, and rounding would make numbers of that."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 16, 8, 8)).astype(np.float32)
    x[0, 3, 2, 2] = np.inf
    w = rng.normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32)
    first = pair("x", "r") if rounded else []
    conv = node("Conv", f"{'r' if rounded else 'x'} w", "c", pads=[1, 1, 1, 1])
    proto = model([*first, conv, *pair("c", "y")], {"x": ["N", 16, 8, 8]}, ["y"], {**Q, "w": w})
    plain = so.InferenceSession(proto, optimize=False).run(None, {"x": x})[0]
    fast = so.InferenceSession(proto)
    flipped = abs(fast.run(None, {"x": x})[0] - plain)
    assert flipped.max() <= 0.0501  # one step, where a sum lies in the middle
    assert (flipped > 0).mean() < 0.01
    assert steps(fast).count("Activation*") == rounded


def test_sums_of_bytes_and_values_read_by_others() -> None:
    """QLinearAdd between two convolutions; the sum is also read by an operator without a twin."""
    rng = np.random.default_rng(0)
    x = draw_bytes(rng, np.uint8, 2, 4, 6, 6)
    constants = {
        "w": draw_bytes(rng, np.int8, 4, 4, 3, 3), "ws": draw_scale(rng, 4),
        "wz": np.zeros(4, np.int8), "s": np.float32(0.02), "z": np.uint8(7),
        "t": np.float32(0.5), "tz": np.uint8(130), "ys": np.float32(0.7), "yz": np.uint8(101),
    }  # fmt: skip
    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        node("QLinearConv", "x s z w ws wz t tz", "a", **same),
        node("QLinearConv", "a t tz w ws wz t tz", "b", **same),
        helper.make_node(
            "QLinearAdd", "a t tz b t tz ys yz".split(), ["c"], domain="com.microsoft"
        ),
        node("QLinearConv", "c ys yz w ws wz t tz", "d", **same),
        node("DequantizeLinear", "c ys yz", "e"),
        node("Shape", "c", "f"),
    ]
    graph = model(nodes[:1], {"x": ["N", 4, 6, 6]}, ["a"], constants, dtypes={"x": x.dtype})
    del graph.graph.node[:], graph.graph.output[:], graph.graph.value_info[:]
    graph.graph.node.extend(nodes)
    graph.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in "cdef")
    graph.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    names = run_both(graph, {"x": x})
    assert names.count("QuantizedConv*") == 3
    assert "QuantizedAdd*" in names


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**16), st.integers(1, 6), st.integers(1, 3), st.integers(1, 9),
    st.integers(1, 8), st.booleans(), BYTES, st.booleans(), st.booleans(),
)  # fmt: skip
def test_lstm(
    seed: int, T: int, N: int, inputs: int, H: int, both: bool, dtype: Any, each: bool, lens: bool
) -> None:
    rng = np.random.default_rng(seed)
    D = 2 if both else 1
    several = (D, 4 * H) if each else (D,)
    constants = {
        "W": draw_bytes(rng, dtype, D, inputs, 4 * H), "R": draw_bytes(rng, dtype, D, H, 4 * H),
        "B": rng.normal(size=(D, 8 * H)).astype(np.float32),
        "ws": draw_scale(rng, *several), "wz": np.zeros(several, dtype),
        "rs": draw_scale(rng, *several), "rz": np.zeros(several, dtype),
        "n": rng.integers(1, T + 1, N).astype(np.int32),
    }  # fmt: skip
    names = ["X", "W", "R", "B", "n" if lens else "", "", "", "", "ws", "wz", "rs", "rz"]
    lstm = helper.make_node(
        "DynamicQuantizeLSTM", names, ["Y", "h", "c"], domain="com.microsoft", hidden_size=H,
        direction="bidirectional" if both else "forward",
    )  # fmt: skip
    proto = model([node("Identity", "X", "Y")], {"X": [T, N, inputs]}, ["Y"], constants)
    del proto.graph.node[:], proto.graph.output[:], proto.graph.value_info[:]
    proto.graph.node.append(lstm)
    proto.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in "Yhc")
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    x = rng.normal(size=(T, N, inputs)).astype(np.float32)
    assert run_both(proto, {"X": x}, oracle=False) == ["DynamicQuantizeLSTM*"]

"""Damaged files: each is a session that runs, or an error of this project; never anything else.

The test fails for another exception, ends the process for a hang, and watches
how much memory loading takes: what a file claims must be checked before it is
believed.
"""

from __future__ import annotations

import faulthandler
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter import LoadError, ModelError, ScratchOnnxError
from scratch_onnx.interpreter.loading import load
from scratch_onnx.interpreter.types import TensorType

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"
HEAD = '<ir_version: 8, opset_import: ["" : 18, "l" : 1]>'


def text_model(graph: str, functions: str = "") -> ModelProto:
    return parser.parse_model(f"{HEAD} {graph} {functions}")


def sparse_and_strings() -> ModelProto:
    proto = text_model(
        """g (float[3] x) => (float[3] y, string[2] t) <string[2] s = {"a", "b"}>
        { y = Add(x, w) t = StringNormalizer <case_change_action = "UPPER"> (s) }"""
    )
    values, indices = np.array([1, 2], np.float32), np.array([0, 2])
    proto.graph.sparse_initializer.append(
        helper.make_sparse_tensor(
            numpy_helper.from_array(values, "w"), numpy_helper.from_array(indices, "i"), [3]
        )
    )
    return proto


MODELS: dict[str, ModelProto] = {
    "digits": onnx.load(DIGITS),
    "shapes": text_model(
        """g (float[N,M] x) => (float[P,Q] y)
        <int64[2] s = {2, 1}, int64[2] r = {1, 2}, int64[2] q = {4, -1},
         int64 a = {0}, int64 b = {4}, int64 c = {1}>
        { e = Expand(x, s) t = Tile(e, r) n = Range(a, b, c) f = Cast <to = 1> (n)
          u = ReduceSum <keepdims = 0> (f) v = Add(t, u) y = Reshape(v, q) }"""
    ),
    "images": text_model(
        """g (float[1,1,4,4] x) => (float[1,2,K,L] y)
        <float[2,1,1,1] w = {1, 2}, float[4] scales = {1, 1, 2, 2}>
        { r = Resize <mode = "linear"> (x, , scales)
          m = MaxPool <kernel_shape = [2, 2], strides = [2, 2], pads = [0, 0, 1, 1]> (r)
          y = Conv <group = 1> (m, w) }"""
    ),
    "control flow": text_model(
        """g (float[N] x, bool c, int64 n) => (float[N] y, float[M,N] z)
        <float[1] one = {1.0}, bool t = {1}>
        { a = If (c) <then_branch = p () => (float[N] p1) { p1 = Add(x, one) },
                      else_branch = q () => (float[N] q1) { q1 = Sub(x, one) }>
          y, z = Loop (n, t, a) <body = b (int64 i, bool k, float[N] v)
            => (bool k1, float[N] v1, float[N] o) { k1 = Identity(k) v1 = Mul(v, one)
                                                     o = Add(v, v) }> }"""
    ),
    "functions": text_model(
        "g (float[N] x) => (float[N] y) { h = l.f <alpha = 0.5> (x) y = l.h (h) }",
        """<domain: "l", opset_import: ["" : 18]>
        f <alpha> (a) => (b) { b = LeakyRelu <alpha: float = @alpha> (a) }
        <domain: "l", opset_import: ["" : 18, "l" : 1]>
        h (a) => (b) { c = l.f <alpha = 0.1> (a) b = Softmax <axis = -1> (c) }""",
    ),
    "terms": text_model(
        """g (float[3,3] x) => (float[3,4] y)
        <int64[3] i = {0, 1, 2}, int64 depth = {4}, float[2] values = {0, 1},
         int64[1] from = {0}, int64[1] to = {9}, int64[1] axis = {1}>
        { e = Einsum <equation = "ij,kj->ik"> (x, x) o = OneHot(i, depth, values)
          m = MatMul(e, o) p, q = Split <axis = 1, num_outputs = 2> (m)
          c = Concat <axis = 1> (p, q) y = Slice(c, from, to, axis) }"""
    ),
    "sparse and strings": sparse_and_strings(),
}


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    # A loop inside onnx's C++ cannot be interrupted: the process ends, with the place.
    faulthandler.dump_traceback_later(300, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def feed_of(session: so.InferenceSession) -> dict[str, Any] | None:
    """Small inputs of the types that a damaged file asks for; None for what is not small."""
    feed: dict[str, Any] = {}
    for value in session.plan.inputs:
        known = value.type
        if not isinstance(known, TensorType) or known.dtype is None:
            return None
        shape = [dim if isinstance(dim, int) else 2 for dim in known.shape or ()]
        if np.prod(shape, dtype=float) > 1e4:
            return None
        feed[value.name] = np.ones(shape, known.dtype)
    return feed


def outcome(data: bytes) -> str:
    """What becomes of a file: "ran" or the name of the error; other exceptions pass through."""
    tracemalloc.start()
    try:
        model = load(data)
        _, peak = tracemalloc.get_traced_memory()
        assert peak < 32 * 2**20, f"loading {len(data)} bytes took {peak} bytes"
        if any(_asks_for_much(array) for array in model.graph.initializers.values()):
            return "asks for much"
        session = so.InferenceSession(data, threads=1)
        feed = feed_of(session)
        if feed is not None:
            session.run(None, feed)
    except ScratchOnnxError as error:
        return type(error).__name__
    finally:
        tracemalloc.stop()
    return "ran"


def _asks_for_much(array: Any) -> bool:
    """A count, size or scale that a run would rightly need much memory or time for."""
    return array.dtype.kind in "if" and array.size < 16 and bool((np.abs(array) > 1e3).any())


Damage = Callable[[bytes], bytes]


@st.composite
def damages(draw: st.DrawFn, size: int) -> Damage:
    """Bytes changed, cut out, put in, or the end cut off."""
    places = st.integers(0, size - 1)
    kind = draw(st.sampled_from(["flip", "set", "remove", "insert", "truncate"]))
    place, bit = draw(places), draw(st.integers(0, 7))
    value = draw(st.sampled_from([0, 1, 2, 8, 127, 128, 255]))
    count = draw(st.integers(1, 8))
    return {
        "flip": lambda data: data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :],
        "set": lambda data: data[:place] + bytes([value]) * count + data[place + count :],
        "remove": lambda data: data[:place] + data[place + count :],
        "insert": lambda data: data[:place] + bytes([value]) * count + data[place:],
        "truncate": lambda data: data[:place],
    }[kind]


@pytest.mark.parametrize("name", MODELS)
def test_the_models_themselves_run(name: str) -> None:
    assert outcome(MODELS[name].SerializeToString()) == "ran"


@given(st.data())
@settings(max_examples=60)
@pytest.mark.parametrize("name", MODELS)
def test_damaged_bytes(name: str, data: st.DataObject) -> None:
    whole = MODELS[name].SerializeToString()

    outcome(data.draw(damages(len(whole)))(whole))


INTEGERS = [0, 1, -1, 2, 7, 255, -(2**31), 2**31 - 1, 2**40, 2**63 - 1, -(2**63)]


@given(st.data())
@settings(max_examples=60)
@pytest.mark.parametrize("name", MODELS)
def test_damaged_fields(name: str, data: st.DataObject) -> None:
    """Messages that are well formed and say something else: most damaged bytes do not get as far
    as the checks of the graph."""
    proto = ModelProto.FromString(MODELS[name].SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        change_field(proto, data)
    outcome(proto.SerializeToString())


def change_field(proto: ModelProto, data: st.DataObject) -> None:
    """Remove, repeat or overwrite one field of one message inside the model."""
    messages = list(messages_of(proto))
    message = data.draw(st.sampled_from(messages))
    fields = [field for field, _ in message.ListFields()]
    if not fields:
        return
    field = data.draw(st.sampled_from(fields))
    kind = data.draw(st.sampled_from(["remove", "repeat", "change"]))
    value = getattr(message, field.name)
    repeated = field.is_repeated
    if kind == "remove":
        if repeated:
            del value[data.draw(st.integers(0, len(value) - 1))]
        else:
            message.ClearField(field.name)
    elif kind == "repeat" and repeated:
        value.extend([value[data.draw(st.integers(0, len(value) - 1))]])
    elif field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_INT64, field.CPPTYPE_UINT64):
        limit = 2**31 if field.cpp_type == field.CPPTYPE_INT32 else 2**63
        least = 0 if field.cpp_type == field.CPPTYPE_UINT64 else -limit
        number = data.draw(st.sampled_from([n for n in INTEGERS if least <= n < limit]))
        overwrite(message, field.name, number, repeated)
    elif field.cpp_type == field.CPPTYPE_ENUM:
        numbers = [entry.number for entry in field.enum_type.values]
        overwrite(message, field.name, data.draw(st.sampled_from(numbers)), repeated)
    elif field.type == field.TYPE_STRING:
        name = data.draw(st.sampled_from(["", "x", "y", "w", "Add", "é"]))
        overwrite(message, field.name, name, repeated)
    elif field.type == field.TYPE_BYTES:
        overwrite(message, field.name, data.draw(st.binary(max_size=24)), repeated)


def overwrite(message: Any, name: str, value: Any, repeated: bool) -> None:
    if repeated:
        getattr(message, name)[0] = value
    else:
        setattr(message, name, value)


def messages_of(message: Any) -> Iterator[Any]:
    """A message and all that are in it."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from messages_of(inner)


# What fuzzing found


@pytest.mark.parametrize(
    "tensor",
    [
        TensorProto(name="w", data_type=1, dims=[2**40], raw_data=bytes(4)),
        TensorProto(name="w", data_type=1, dims=[2**40], float_data=[1.0]),
        TensorProto(name="w", data_type=1, dims=[2**40]),
        TensorProto(name="w", data_type=8, dims=[2**40], string_data=[b"a"]),
        TensorProto(name="w", data_type=22, dims=[2**40], raw_data=bytes(4)),
        TensorProto(name="w", data_type=1, dims=[2**62, 2**62], raw_data=bytes(4)),
    ],
    ids=["bytes", "fields", "nothing", "strings", "int4", "overflow"],
)
@pytest.mark.parametrize("place", ["initialiser", "constant", "attribute"])
def test_dims_that_claim_much(tensor: TensorProto, place: str) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    if place == "constant":
        nodes.append(helper.make_node("Constant", [], ["w"], value=tensor))
    if place == "attribute":
        nodes.append(helper.make_node("ConstantOfShape", ["x"], ["w"], value=tensor))
    values = [helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    if place == "initialiser":
        graph.initializer.append(tensor)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="'w'"):
            load(model.SerializeToString())
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_sparse_tensor_that_claims_much() -> None:
    proto = sparse_and_strings()
    proto.graph.sparse_initializer[0].dims[:] = [2**50]
    with pytest.raises(LoadError, match="does not fit into memory"):
        load(proto.SerializeToString())


def test_a_long_range_does_not_fill_the_memory() -> None:
    """onnx's inference, following the values of shapes, made a message for each element."""
    proto = text_model(
        """g (float[N] x) => (float[N] y) <int64 a = {0}, int64 b = {1099511627776}, int64 c = {1}>
        { n = Range(a, b, c) f = Cast <to = 1> (n) s = ReduceSum <keepdims = 0> (f)
          y = Add(x, s) }"""
    )
    assert load(proto.SerializeToString()).graph.nodes


def test_what_onnx_crashes_on_or_never_ends_with() -> None:
    split = "g (float[4] x) => (float[2] p, float[2] q) { p, q = Split <num_outputs = 1> (x) }"
    with pytest.raises(ModelError, match="has 2 outputs, and num_outputs is 1"):
        load(text_model(split))
    for equation in ("ij,kj~", "ij,k.j", "i...j...,kj", "ij>", "ij,kj->ik->"):
        einsum = f'{{ y = Einsum <equation = "{equation}"> (x, x) }}'
        with pytest.raises(ModelError, match="is not made of terms"):
            load(text_model(f"g (float[3,3] x) => (float[3,3] y) {einsum}"))


@pytest.mark.parametrize(
    "node",
    ["Conv <group = 0> (x, w)", "MaxPool <kernel_shape: ints = []> (x)"],
)
def test_attributes_that_a_pass_would_trip_over(node: str) -> None:
    graph = (
        f"g (float[1,1,4,4] x) => (float[A,B,C,D] y) <float[1,1,1,1] w = {{1}}> {{ y = {node} }}"
    )
    assert outcome(text_model(graph).SerializeToString()) in ("ModelError", "RunError")

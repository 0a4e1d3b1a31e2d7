"""Loops of a recurrent cell become RNN and GRU nodes; loops that only look like one stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from graphs import check, model, node
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import scratch_onnx.interpreter as so

STEPS, SAMPLES, INPUTS, UNITS = 5, 2, 3, 4
RNG = np.random.default_rng(7)

RNN = """
    p = MatMul(x_t, W)
    p_b = Add(p, b)
    q = MatMul(h, R)
    z = Add(p_b, q)
    h_new = Tanh(z)
"""

GRU_START = """
    p = MatMul(x_t, W)
    p_b = Add(p, b)
    p_z, p_r, p_h = Split(p_b)
"""

GRU_END = """
    candidate = Tanh(c)
    rest = Sub(unit, update)
    taken = Mul(rest, candidate)
    kept = Mul(update, h)
    h_new = Add(kept, taken)
"""

GRU_AFTER = f"""
    {GRU_START}
    q = MatMul(h, R)
    q_b = Add(q, b2)
    q_z, q_r, q_h = Split(q_b)
    s_z = Add(p_z, q_z)
    s_r = Add(p_r, q_r)
    update = Sigmoid(s_z)
    reset = Sigmoid(s_r)
    gated = Mul(reset, q_h)
    c = Add(p_h, gated)
    {GRU_END}
"""

GRU_BEFORE = f"""
    {GRU_START}
    q = MatMul(h, R_zr)
    q_z, q_r = Split(q)
    s_z = Add(p_z, q_z)
    s_r = Add(p_r, q_r)
    update = Sigmoid(s_z)
    reset = Sigmoid(s_r)
    gated = Mul(reset, h)
    product = MatMul(gated, R_h)
    c = Add(p_h, product)
    {GRU_END}
"""


CASTS = {"Float": TensorProto.FLOAT, "Int": TensorProto.INT32, "Long": TensorProto.INT64}


def nodes_of(text: str) -> list[NodeProto]:
    """``outputs = Op(inputs)`` a line; Split cuts the last axis in equal parts, and Float and
    Int are Casts."""
    made = []
    for line in filter(None, map(str.strip, text.splitlines())):
        outputs, _, call = line.partition(" = ")
        op_type, _, inputs = call.rstrip(")").partition("(")
        names = outputs.split(", ")
        options = {"axis": -1, "num_outputs": len(names)} if op_type == "Split" else {}
        if op_type in CASTS:
            op_type, options = "Cast", {"to": CASTS[op_type]}
        made.append(node(op_type, inputs.replace(",", ""), " ".join(names), **options))
    return made


def value(name: str, kind: int, shape: Sequence[int | str] | None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def weights(gates: int, inputs: int = INPUTS) -> dict[str, Any]:
    def draw(*shape: int) -> Any:
        return RNG.standard_normal(shape).astype(np.float32) / 2

    W, R = draw(inputs, gates * UNITS), draw(UNITS, gates * UNITS)
    return {
        "W": W,
        "R": R,
        "b": draw(gates * UNITS),
        "b2": draw(gates * UNITS),
        "R_zr": R[:, : 2 * UNITS],
        "R_h": R[:, 2 * UNITS :],
        "unit": np.array(1, np.float32),
    }


def keras_loop(
    cell: str,
    gates: int = 1,
    *,
    sequence: str = "X",
    prefix: str = "",
    row: str = "x_t = Gather(X, n)",
    start: int = 0,
    stride: int = 1,
    trips: int = STEPS,
    ends: int = STEPS,
    condition: str = "more = Less(n_float, ends)",
    state: str = "zeros",
    collected: str = "h_new",
    constants: dict[str, Any] | None = None,
) -> tuple[NodeProto, dict[str, Any]]:
    """A Loop as tf2onnx writes Keras's ``while_loop``, and the constants that it reads.

    A counter of its own goes along, and the weights are carried though they never change. It
    gives the last state ``{prefix}last`` and the states of all steps ``{prefix}all``.
    """
    given = {**weights(gates), **(constants or {})}
    samples = [f"{prefix}samples", gates * UNITS if collected == "z" else UNITS]
    inner = nodes_of(
        f"""
        n_new = Add(n, stride)
        n_float = Float(n_new)
        {row}
        {cell}
        {condition}
        h_out = Identity(h_new)
        """
    )
    for each in inner:
        for place, name in enumerate(each.input):
            each.input[place] = sequence if name == "X" else name
    body = helper.make_graph(
        inner,
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("more_in", TensorProto.BOOL, []),
            value("n", TensorProto.INT32, []),
            value("h", TensorProto.FLOAT, None),
            value("R", TensorProto.FLOAT, None),
        ],
        [
            value("more", TensorProto.BOOL, None),
            value("n_new", TensorProto.INT32, None),
            value("h_out", TensorProto.FLOAT, None),
            value("R", TensorProto.FLOAT, None),
            value(collected, TensorProto.FLOAT, samples),
        ],
        [
            *(numpy_helper.from_array(v, k) for k, v in given.items() if k != "R"),
            numpy_helper.from_array(np.array(stride, np.int32), "stride"),
            numpy_helper.from_array(np.array(ends, np.float32), "ends"),
        ],
    )
    outer = {
        f"{prefix}M": np.array(trips),
        f"{prefix}yes": np.array(True),
        f"{prefix}start": np.array(start, np.int32),
        f"{prefix}R0": given["R"],
    }
    inputs = [f"{prefix}M", f"{prefix}yes", f"{prefix}start", state, f"{prefix}R0"]
    outputs = [f"{prefix}{name}" for name in ("count", "last", "same", "all")]
    return helper.make_node("Loop", inputs, outputs, body=body), outer


ZEROS = np.zeros((SAMPLES, UNITS), np.float32)
SHAPE = {"X": [STEPS, SAMPLES, INPUTS]}
FEED = {"X": RNG.standard_normal((STEPS, SAMPLES, INPUTS)).astype(np.float32)}


def whole(
    loop: tuple[NodeProto, dict[str, Any]], outputs: Sequence[str] = ("last", "all"), **more: Any
) -> ModelProto:
    constants = {"zeros": ZEROS, **loop[1]}
    return model([loop[0]], {**SHAPE, **more}, list(outputs), constants)


CELLS = [(RNN, 1), (RNN.replace("Tanh", "Relu"), 1), (GRU_AFTER, 3), (GRU_BEFORE, 3)]


@pytest.mark.parametrize(("cell", "gates"), CELLS)
@pytest.mark.parametrize("outputs", [("last",), ("all",), ("last", "all")])
def test_cells(cell: str, gates: int, outputs: tuple[str, ...]) -> None:
    assert "Loop" not in check(whole(keras_loop(cell, gates), outputs), FEED)


def test_initial_state() -> None:
    proto = whole(keras_loop(RNN, state="h0"), h0=[SAMPLES, UNITS])
    feed = {**FEED, "h0": RNG.standard_normal((SAMPLES, UNITS)).astype(np.float32)}
    operators = check(proto, feed)
    assert "Loop" not in operators
    assert "Recurrent*" in operators


def test_condition_that_ends_earlier() -> None:
    """The first 3 of 5 rows: no recurrent node, but a loop without a condition."""
    proto = whole(keras_loop(RNN, ends=3))
    assert check(proto, FEED)[0] == "Loop"
    (step,) = (s for s in so.InferenceSession(proto).plan.steps if s.node.op_type == "Loop")
    assert step.node.inputs[1] == ""
    assert so.InferenceSession(proto).run(["all"], FEED)[0].shape[0] == 3


def reversal(x: str, y: str) -> tuple[list[NodeProto], dict[str, Any]]:
    """ReverseSequence as tf2onnx writes Keras's reversal of the time axis."""
    nodes = [
        node("Shape", x, f"{y}_shape"),
        node("Gather", f"{y}_shape zero", f"{y}_steps"),
        node("Gather", f"{y}_shape one", f"{y}_samples"),
        node("Expand", f"{y}_steps {y}_samples", f"{y}_lengths"),
        node("ReverseSequence", f"{x} {y}_lengths", y, time_axis=0, batch_axis=1),
    ]
    return nodes, {"zero": np.array([0]), "one": np.array([1])}


@pytest.mark.parametrize("samples", [SAMPLES, "N"])
@pytest.mark.parametrize(("cell", "gates"), CELLS)
def test_bidirectional(cell: str, gates: int, samples: int | str) -> None:
    """A forward and a backward loop, whose states stand side by side: one node."""
    there, back = keras_loop(cell, gates), keras_loop(cell, gates, sequence="turned", prefix="b_")
    first, constants = reversal("X", "turned")
    second, _ = reversal("b_all", "b_turned")
    state = [
        node("Shape", "X", "shape"),
        node("Gather", "shape one", "samples"),
        node("Concat", "samples units", "size", axis=0),
        node("Expand", "nothing size", "zeros"),
    ]
    nodes = [
        *state,
        *first,
        there[0],
        back[0],
        *second,
        node("Concat", "all b_turned", "every", axis=2),
        node("Slice", "all minus end zero", "f"),
        node("Slice", "b_all minus end zero", "g"),
        node("Concat", "f g", "final", axis=-1),
    ]
    constants |= there[1] | back[1]
    constants |= {"units": np.array([UNITS]), "nothing": np.array(0, np.float32)}
    constants |= {"minus": np.array([-1]), "end": np.array([2**31 - 1])}
    proto = model(nodes, {"X": [STEPS, samples, INPUTS]}, ["every", "final"], constants)
    proto.graph.value_info.append(value("zeros", TensorProto.FLOAT, [samples, UNITS]))
    operators = check(proto, FEED)
    assert not {"Loop", "ReverseSequence"} & set(operators)


def test_two_layers_are_joined() -> None:
    """The second reads what the first gives, through two Transposes that undo each other."""
    first = keras_loop(RNN, prefix="a_")
    second = keras_loop(RNN, sequence="again", prefix="b_", constants={"W": weights(1, UNITS)["W"]})
    nodes = [
        first[0],
        node("Transpose", "a_all", "there", perm=[1, 0, 2]),
        node("Transpose", "there", "again", perm=[1, 0, 2]),
        second[0],
    ]
    constants = {"zeros": ZEROS, **first[1], **second[1]}
    proto = model(nodes, SHAPE, ["b_last"], constants)
    assert [name for name in check(proto, FEED) if "Recurrent" in name] == ["Recurrent*"]


OTHERS: dict[str, dict[str, Any]] = {
    "counter that starts at 1": {"start": 1, "trips": STEPS - 1},
    "counter that grows by 2": {"stride": 2, "trips": 3, "ends": 9},
    "fewer iterations than rows": {"trips": STEPS - 1},
    "row that is not the iteration's": {"row": "x_t = Gather(X, n_new)", "trips": STEPS - 1},
    "the same row in each": {
        "row": "x_t = Gather(X, first)",
        "constants": {"first": np.array(0)},
    },
    "what goes into the activation is collected": {"collected": "z"},
    "what the state was is collected": {"collected": "h"},
    "state outside the product": {
        "cell": RNN.replace("Tanh(z)", "Tanh(w)").replace("h_new", "w = Add(z, h)\n h_new")
    },
    "no product with the state": {"cell": RNN.replace("MatMul(h, R)", "Identity(h)")},
    "no row": {"cell": RNN.replace("MatMul(x_t, W)", "MatMul(h, R)")},
    "other activation": {"cell": RNN.replace("Tanh", "Softsign")},
    "condition of the state": {
        "condition": "n_sum = ReduceSum(h_new)\n n_all = Abs(n_sum)\n more = Less(n_all, ends)",
        "ends": 3,
    },
    "initial state of one sample": {"state": "single"},
}
GRU_OTHERS = {
    "2 - z": GRU_AFTER.replace("Sub(unit, update)", "Sub(two, update)"),
    "z - 1": GRU_AFTER.replace("Sub(unit, update)", "Sub(update, unit)"),
    "other gate in the rest": GRU_AFTER.replace("Sub(unit, update)", "Sub(unit, reset)"),
    "state where the candidate belongs": GRU_AFTER.replace(
        "Mul(update, h)", "Mul(update, candidate)"
    ),
    "candidate of the state": GRU_AFTER.replace("Add(p_h, gated)", "Add(q_h, gated)"),
    "rest not of the gate": GRU_AFTER.replace("Tanh", "Sigmoid"),
    "reset gate with another activation": GRU_AFTER.replace(
        "reset = Sigmoid(s_r)", "reset = Tanh(s_r)"
    ),
}


@pytest.mark.parametrize("options", OTHERS.values(), ids=OTHERS.keys())
def test_other_loops(options: dict[str, Any]) -> None:
    loop = keras_loop(**{"cell": RNN, **options})
    constants = {"zeros": ZEROS, "single": ZEROS[:1] + 0.5, **loop[1]}
    proto = model([loop[0]], SHAPE, ["last", "all"], constants)
    assert "Loop" in check(proto, FEED)


@pytest.mark.parametrize("cell", GRU_OTHERS.values(), ids=GRU_OTHERS.keys())
def test_other_gates(cell: str) -> None:
    loop = keras_loop(cell, 3, constants={"two": np.array(2, np.float32)})
    assert "Loop" in check(whole(loop), FEED)


def test_matrix_that_is_not_known() -> None:
    loop = keras_loop(RNN)
    loop[1].pop("R0")
    proto = whole(loop, R0=[UNITS, UNITS])
    feed = {**FEED, "R0": RNG.standard_normal((UNITS, UNITS)).astype(np.float32)}
    assert "Loop" in check(proto, feed)


def test_lengths_that_differ_stay() -> None:
    nodes = [node("ReverseSequence", "X lengths", "turned", time_axis=0, batch_axis=1)]
    loop = keras_loop(RNN, sequence="turned")
    proto = model(
        [*nodes, loop[0]],
        {**SHAPE, "lengths": [SAMPLES]},
        ["all"],
        {"zeros": ZEROS, **loop[1]},
        dtypes={"lengths": np.int64},
    )
    feed = {**FEED, "lengths": np.array([5, 2])}
    assert "ReverseSequence" in check(proto, feed)


BOTH_BELOW = """
    i_float = Float(i)
    below = Less(i_float, steps_float)
    next_below = Less(n_float, steps_float)
    more = And(below, next_below)
"""


def of_any_length(
    condition: str = BOTH_BELOW, axis: int = 0, start: str = "yes = Less(nothing, steps_float)"
) -> ModelProto:
    """A loop over all rows of a sequence, however many there are, as tf2onnx writes it."""
    loop, constants = keras_loop(RNN, condition=condition)
    before = f"""
        shape = Shape(X)
        sizes = Int(shape)
        size = Slice(sizes, from, to, zero)
        steps = Squeeze(size, zero)
        steps_float = Float(steps)
        {start}
        M = Long(steps)
    """
    del constants["M"], constants["yes"]
    constants |= {
        "zeros": ZEROS,
        "nothing": np.array(0, np.float32),
        "zero": np.array([0]),
        "from": np.array([axis]),
        "to": np.array([axis + 1]),
    }
    shapes = {"X": ["T", SAMPLES, INPUTS]}
    return model([*nodes_of(before), loop], shapes, ["last", "all"], constants)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_any_length(steps: int) -> None:
    feed = {"X": RNG.standard_normal((steps, SAMPLES, INPUTS)).astype(np.float32)}
    assert "Loop" not in check(of_any_length(), feed)


def test_no_steps() -> None:
    """The state is as it was, and there is no row of outputs."""
    feed = {"X": np.zeros((0, SAMPLES, INPUTS), np.float32)}
    last, every = so.InferenceSession(of_any_length()).run(None, feed)
    np.testing.assert_array_equal(last, ZEROS)
    assert every.shape == (0, SAMPLES, UNITS)


@pytest.mark.parametrize(
    "options",
    [
        {"condition": BOTH_BELOW.replace("And", "Or")},
        {"condition": BOTH_BELOW.replace("Less(n_float, steps_float)", "Less(n_float, ends)")},
        {
            "condition": BOTH_BELOW.replace("Float(i)", "Float(n_after)").replace(
                "i_float", "n_after = Add(n_new, stride)\n i_float", 1
            )
        },
        {"axis": 1},
        {"start": "yes = Less(steps_float, nothing)"},
    ],
    ids=["either", "another limit", "two later", "another axis", "never"],
)
def test_other_lengths(options: dict[str, Any]) -> None:
    assert "Loop" in check(of_any_length(**options), FEED)

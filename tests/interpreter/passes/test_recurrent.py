"""Where recurrent nodes become fast ones, where they take in what stands around, and where not.

Every case is run too: ``check`` compares plain and optimised with onnxruntime.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from graphs import check, model, node, steps
from onnx import ModelProto, NodeProto, TensorProto, helper
from oracles import assert_same

import scratch_onnx.interpreter as so

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return (RNG.standard_normal(shape) * 0.5).astype(np.float32)


def weights(kind: str, tag: str, inputs: int = 4, hidden: int = 3, D: int = 1) -> dict[str, Any]:
    rows = GATES[kind] * hidden
    return {
        f"W{tag}": normal(D, rows, inputs),
        f"R{tag}": normal(D, rows, hidden),
        f"B{tag}": normal(D, 2 * rows),
    }


def layer(
    kind: str, x: str, tag: str, outputs: Sequence[str], extra: Sequence[str] = (), **options: Any
) -> NodeProto:
    hidden = options.pop("hidden_size", 3)
    names = [x, f"W{tag}", f"R{tag}", f"B{tag}", *extra]
    return helper.make_node(kind, names, list(outputs), hidden_size=hidden, **options)


X = {"x": ["T", "N", 4]}
FEED = {"x": normal(5, 3, 4)}


@pytest.mark.parametrize("kind", sorted(GATES))
def test_one_node(kind: str) -> None:
    proto = model([layer(kind, "x", "", ["y", "h"])], X, ["y", "h"], weights(kind, ""))
    assert check(proto, FEED) == ["Recurrent*"]


USUAL = {
    "RNN": [["Tanh"]],  # onnxruntime refuses "tanh" here
    "GRU": [["Sigmoid", "Tanh"]],
    "LSTM": [["Sigmoid", "Tanh", "Tanh"], ["SIGMOID", "tanh", "TanH"]],
}


@pytest.mark.parametrize(("kind", "names"), [(k, n) for k in USUAL for n in USUAL[k]])
def test_the_usual_activations_may_be_named(kind: str, names: list[str]) -> None:
    proto = model([layer(kind, "x", "", ["y"], activations=names)], X, ["y"], weights(kind, ""))
    assert check(proto, FEED) == ["Recurrent*"]


OTHER: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {"activations": ["Relu"]}),
    ("RNN", {"clip": 0.5}),
    ("GRU", {"activations": ["HardSigmoid", "Tanh"]}),
    ("GRU", {"activations": ["Sigmoid", "Sigmoid"], "linear_before_reset": 1}),
    ("GRU", {"clip": 0.5}),
    ("LSTM", {"activations": ["Sigmoid", "Tanh", "Relu"]}),
    ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Tanh"]}),
    ("LSTM", {"input_forget": 1}),
]


@pytest.mark.parametrize(("kind", "options"), OTHER)
def test_other_attributes_stay_plain(kind: str, options: dict[str, Any]) -> None:
    proto = model([layer(kind, "x", "", ["y", "h"], **options)], X, ["y", "h"], weights(kind, ""))
    assert check(proto, FEED) == [kind]


def test_clip_of_lstm_stays_plain() -> None:
    """onnxruntime does not clip the input of h: compared with the plain operator only."""
    proto = model([layer("LSTM", "x", "", ["y"], clip=0.3)], X, ["y"], weights("LSTM", ""))
    session = so.InferenceSession(proto)
    assert steps(session) == ["LSTM"]
    plain = so.InferenceSession(proto, optimize=False).run(None, FEED)
    assert_same(session.run(None, FEED), plain)


def test_layout_1_stays_plain() -> None:
    """onnxruntime refuses it."""
    proto = model(
        [layer("LSTM", "x", "", ["y"], layout=1)], {"x": ["N", "T", 4]}, ["y"], weights("LSTM", "")
    )
    assert steps(so.InferenceSession(proto)) == ["LSTM"]


@pytest.mark.parametrize("kind", sorted(GATES))
def test_sequence_lens_stay_plain(kind: str) -> None:
    proto = model(
        [layer(kind, "x", "", ["y", "h"], ["lens"])],
        {**X, "lens": ["N"]},
        ["y", "h"],
        weights(kind, ""),
        dtypes={"lens": np.int32},
    )
    assert check(proto, {**FEED, "lens": np.array([2, 5, 1], np.int32)}) == [kind]


def test_peepholes_stay_plain() -> None:
    constants = {**weights("LSTM", ""), "p": normal(1, 9)}
    proto = model([layer("LSTM", "x", "", ["y"], ["", "", "", "p"])], X, ["y"], constants)
    assert check(proto, FEED) == ["LSTM"]


@pytest.mark.parametrize("free", ["W", "R", "B"])
def test_weights_that_are_inputs_stay_plain(free: str) -> None:
    constants = weights("GRU", "")
    value = constants.pop(free)
    proto = model([layer("GRU", "x", "", ["y"])], {**X, free: list(value.shape)}, ["y"], constants)
    assert check(proto, {**FEED, free: value}) == ["GRU"]


def test_float64_stays_plain() -> None:
    constants = {name: w.astype(np.float64) for name, w in weights("RNN", "").items()}
    proto = model([layer("RNN", "x", "", ["y"])], X, ["y"], constants, dtypes={"x": np.float64})
    session = so.InferenceSession(proto)
    assert steps(session) == ["RNN"]
    assert session.run(None, {"x": FEED["x"].astype(np.float64)})[0].dtype == np.float64


# What stands in front.


def lookup(extra: Sequence[NodeProto] = (), outputs: Sequence[str] = ("y",), **options: Any) -> Any:
    """Table → Transpose → GRU."""
    nodes = [
        node("Gather", "table x", "vectors", axis=options.pop("axis", 0)),
        node("Transpose", "vectors", "time_first", perm=options.pop("perm", (1, 0, 2))),
        layer("GRU", "time_first", "", ["y"]),
        *extra,
    ]
    constants = {**weights("GRU", ""), "table": options.pop("table", normal(7, 4))}
    dtypes = {"x": np.int64}
    return model(nodes, {"x": ["N", "T"]}, list(outputs), constants, dtypes=dtypes)


TOKENS = {"x": RNG.integers(-7, 7, (3, 5))}


def test_lookup_and_transpose() -> None:
    assert check(lookup(), TOKENS) == ["Recurrent*"]


def test_vectors_that_others_read_are_still_made() -> None:
    proto = lookup([node("Relu", "vectors", "other")], ["y", "other"])
    assert sorted(check(proto, TOKENS)) == ["Gather", "Recurrent*", "Relu"]


def test_vectors_that_are_an_output_are_still_made() -> None:
    assert sorted(check(lookup(outputs=["y", "time_first"]), TOKENS)) == [
        "Gather",
        "Recurrent*",
        "Transpose",
    ]


def test_another_transpose_stays() -> None:
    """(N, T, I) to (N, T, I): the batch is the time axis."""
    nodes = [node("Transpose", "x", "t", perm=(2, 1, 0)), layer("RNN", "t", "", ["y"])]
    proto = model(nodes, {"x": [4, "N", "T"]}, ["y"], weights("RNN", ""))
    assert check(proto, {"x": normal(4, 2, 5)}) == ["Transpose", "Recurrent*"]


def test_lookup_along_another_axis_stays() -> None:
    """A table (I, V) gives (I, N, T)."""
    nodes = [
        node("Gather", "table x", "vectors", axis=1),
        node("Transpose", "vectors", "time_first", perm=(2, 1, 0)),
        layer("RNN", "time_first", "", ["y"]),
    ]
    constants = {**weights("RNN", ""), "table": normal(4, 7)}
    proto = model(nodes, {"x": ["N", "T"]}, ["y"], constants, dtypes={"x": np.int64})
    assert check(proto, TOKENS) == ["Gather", "Transpose", "Recurrent*"]


def test_table_that_is_an_input_stays() -> None:
    nodes = [node("Gather", "table x", "vectors"), layer("RNN", "vectors", "", ["y"])]
    inputs = {"x": ["T", "N"], "table": [7, 4]}
    proto = model(nodes, inputs, ["y"], weights("RNN", ""), dtypes={"x": np.int64})
    assert check(proto, {**TOKENS, "table": normal(7, 4)}) == ["Gather", "Recurrent*"]


def test_large_table_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its projection would take more memory than the lookup saves."""
    from scratch_onnx.interpreter.passes import recurrent

    monkeypatch.setattr(recurrent, "MAX_TABLE", 7 * 9 * 4 - 1)
    assert check(lookup(), TOKENS) == ["Gather", "Recurrent*"]


# What stands behind.


def behind(nodes: Sequence[NodeProto], outputs: Sequence[str], D: int, **constants: Any) -> Any:
    direction = "bidirectional" if D == 2 else "forward"
    first = layer("LSTM", "x", "", ["y", "h", "c"], direction=direction)
    return model([first, *nodes], X, outputs, {**weights("LSTM", "", D=D), **constants})


def test_squeezes() -> None:
    nodes = [
        node("Squeeze", "y one", "a"),
        node("Transpose", "a", "swapped", perm=(1, 0, 2)),
        node("Squeeze", "h zero", "b"),
        node("Squeeze", "c last", "d"),
    ]
    axes = {"one": np.array([1]), "zero": np.array([0]), "last": np.array([-3])}
    proto = behind(nodes, ["swapped", "b", "d"], 1, **axes)
    assert check(proto, FEED) == ["Recurrent*"]


def test_another_squeeze_stays() -> None:
    """With one sample, axis 2 of Y may go as well."""
    proto = behind([node("Squeeze", "y two", "a")], ["a", "h"], 1, two=np.array([2]))
    assert check(proto, {"x": normal(5, 1, 4)}) == ["Recurrent*", "Squeeze"]


MERGES = [((0, 2, 1, 3), [0, 0, 6]), ((0, 2, 1, 3), [0, 0, -1]), ((2, 0, 1, 3), [0, -1, 6])]


@pytest.mark.parametrize(("perm", "shape"), MERGES)
@pytest.mark.parametrize("D", [1, 2])
def test_merged_directions(perm: tuple[int, ...], shape: list[int], D: int) -> None:
    shape = [3 * D if dim == 6 else dim for dim in shape]
    nodes = [
        node("Transpose", "y", "t", perm=perm),
        node("Reshape", "t shape", "a"),
        node("Transpose", "h", "u", perm=(1, 0, 2)),
        node("Reshape", "u flat", "b"),
    ]
    constants = {"shape": np.array(shape), "flat": np.array([-1, 3 * D])}
    assert check(behind(nodes, ["a", "b"], D, **constants), FEED) == ["Recurrent*"]


@pytest.mark.parametrize(
    ("perm", "shape"), [((0, 2, 1, 3), [0, -1, 3]), ((0, 2, 3, 1), [0, 0, 6]), ((0, 2, 1, 3), [-1])]
)
def test_other_reshapes_stay(perm: tuple[int, ...], shape: list[int]) -> None:
    nodes = [node("Transpose", "y", "t", perm=perm), node("Reshape", "t shape", "a")]
    proto = behind(nodes, ["a"], 2, shape=np.array(shape))
    assert check(proto, FEED) == ["Recurrent*", "Transpose", "Reshape"]


def test_shared_transpose_stays() -> None:
    nodes = [
        node("Transpose", "y", "t", perm=(0, 2, 1, 3)),
        node("Reshape", "t shape", "a"),
        node("Relu", "t", "b"),
    ]
    proto = behind(nodes, ["a", "b"], 2, shape=np.array([0, 0, 6]))
    assert check(proto, FEED)[:3] == ["Recurrent*", "Transpose", "Reshape"]


def test_y_that_is_an_output_stays() -> None:
    proto = behind([node("Squeeze", "y one", "a")], ["y", "a"], 1, one=np.array([1]))
    assert check(proto, FEED) == ["Recurrent*", "Squeeze"]


# Stacks.


def stack(
    kinds: Sequence[str] = ("LSTM", "LSTM"),
    outputs: Sequence[str] = ("h",),
    first: Sequence[str] = ("y",),
    options: Sequence[dict[str, Any]] = ({}, {}),
    extra: Sequence[str] = (),
) -> Any:
    nodes = [
        layer(kinds[0], "x", "0", first, **options[0]),
        node("Squeeze", "y one", "s"),
        layer(kinds[1], "s", "1", ["", "h"], extra, **options[1]),
    ]
    constants = {**weights(kinds[0], "0"), **weights(kinds[1], "1", 3), "one": np.array([1])}
    inputs: dict[str, Any] = {**X, **({"h0": [1, "N", 3]} if extra else {})}
    return model(nodes, inputs, outputs, constants)


@pytest.mark.parametrize("kind", sorted(GATES))
def test_two_layers(kind: str) -> None:
    assert check(stack((kind, kind)), FEED) == ["Recurrent*"]


def test_sequence_between_that_is_an_output() -> None:
    assert check(stack(outputs=["h", "s"]), FEED) == ["Recurrent*"] * 2


def test_state_of_the_first_that_is_an_output() -> None:
    proto = stack(outputs=["h", "h_first"], first=["y", "h_first"])
    assert check(proto, FEED) == ["Recurrent*"] * 2


def test_layers_of_two_kinds() -> None:
    assert check(stack(("LSTM", "GRU")), FEED) == ["Recurrent*"] * 2


def test_layers_of_two_directions() -> None:
    assert check(stack(options=({}, {"direction": "reverse"})), FEED) == ["Recurrent*"] * 2


def test_reset_before_and_after() -> None:
    proto = stack(("GRU", "GRU"), options=({}, {"linear_before_reset": 1}))
    assert check(proto, FEED) == ["Recurrent*"] * 2


def test_initial_state_of_the_second() -> None:
    proto = stack(extra=["", "h0"])
    assert check(proto, {**FEED, "h0": normal(1, 3, 3)}) == ["Recurrent*"] * 2


def test_plain_layer_above_a_fast_one() -> None:
    proto = stack(options=({}, {"activations": ["Sigmoid", "Tanh", "Relu"]}))
    assert check(proto, FEED) == ["Recurrent*", "LSTM"]


def with_zeros(
    h: NodeProto, *, declared: Sequence[int | str], x: Sequence[int | str]
) -> ModelProto:
    """An LSTM whose initial states are spelt out, as Keras's are: a number expanded."""
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape one", "samples"),
        node("Concat", "samples hidden", "size", axis=0),
        h,
        node("Unsqueeze", "h0 first", "initial"),
        layer("LSTM", "x", "", ["y", "h", "c"], ["", "initial", "initial"]),
    ]
    constants = {
        "one": np.array([1]),
        "hidden": np.array([3]),
        "first": np.array([0]),
        "zero": np.float32(0),
        "half": np.float32(0.5),
        **weights("LSTM", ""),
    }
    proto = model(nodes, {"x": x}, ["y", "h"], constants)
    del proto.graph.value_info[:]
    proto.graph.value_info.append(
        helper.make_tensor_value_info("h0", TensorProto.FLOAT, list(declared))
    )
    return proto


@pytest.mark.parametrize("samples", ["N", 3])
def test_initial_states_of_zero(samples: str | int) -> None:
    proto = with_zeros(
        node("Expand", "zero size", "h0"), declared=[samples, 3], x=["T", samples, 4]
    )
    assert check(proto, FEED) == ["Recurrent*"]
    assert so.InferenceSession(proto).plan.steps[0].node.inputs == ("x",)


@pytest.mark.parametrize(
    ("h", "declared"),
    [("Expand half size", ["N", 3]), ("Expand zero size", ["M", 3])],
    ids=["another number", "perhaps other samples"],
)
def test_other_initial_states_stay(h: str, declared: list[int | str]) -> None:
    op_type, _, inputs = h.partition(" ")
    proto = with_zeros(node(op_type, inputs, "h0"), declared=declared, x=["T", "N", 4])
    assert check(proto, FEED)[-1] == "Recurrent*"
    assert len(so.InferenceSession(proto).plan.steps[-1].node.inputs) == 3

"""Each pass on a graph where it must fire, and on look-alikes where it must not.

Every graph is run too: ``check`` compares plain and optimised with onnxruntime.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from graphs import check, model, node, onnxruntime, steps
from onnx import NodeProto, helper
from oracles import assert_same

import scratch_onnx.interpreter as so

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


MATRIX, STACK, IMAGE, LAST = ["N", 4], ["N", 3, 4], ["N", 3, 6, 6], ["N", 6, 6, 3]
CONSTANTS: dict[str, Any] = {
    "zero": np.float32(0),
    "half": np.float32(0.5),
    "one": np.float32(1),
    "two": np.float32(2),
    "root": np.float32(2**0.5),
    "deep_root": np.float32(2**0.5).reshape(1, 1, 1),
    "yes": np.array(True),
    "no": np.array(False),
    "spatial": np.array([2, 3]),
    "spatial_last": np.array([1, -2]),
    "rows": np.array([1]),
    "to_rows": np.array([0, -1]),
    "pads": np.array([0, 0, 1, 2, 0, 0, 0, 1]),
    "pads_last": np.array([0, 1, 2, 0, 0, 0, 1, 0]),
    "crop": np.array([0, 0, -1, 0, 0, 0, 1, 1]),
    "a": normal(2, 4),
    "b": normal(2, 4),
    "w": normal(8, 3, 3, 3),
    "k": normal(8),
    "w2": normal(4, 8, 3, 3),
    "m": normal(4, 5),
    "c5": normal(5),
    "c15": normal(1, 5),
    "g": normal(4),
    "channel": normal(8, 1, 1),
    "other_channel": normal(8, 1, 1),
    "column": normal(4),
    "sample": normal(3, 1, 1, 1),
    "gamma": normal(8),
    "beta": normal(8),
    "mean": normal(8),
    "variance": np.abs(normal(8)) + np.float32(0.1),
    "infinite": np.float32([1, np.inf, 0, 2, 1, 1, 1, 1]).reshape(8, 1, 1),
    "stack": normal(3, 4, 2),
}


def ops(
    nodes: Sequence[NodeProto],
    shape: Sequence[int | str],
    outputs: str = "y",
    *,
    batch: int = 3,
    **options: Any,
) -> str:
    """Run the graph of one input ``x`` every way; the optimised operators, with blanks."""
    used = {name for each in nodes for name in each.input}
    constants = {name: CONSTANTS[name] for name in used if name in CONSTANTS}
    proto = model(nodes, {"x": shape}, outputs.split(), constants, **options)
    sizes = [batch if dim == "N" else int(dim) for dim in shape]
    x = normal(*sizes).astype(options.get("dtypes", {}).get("x", np.float32))
    return " ".join(check(proto, {"x": x}, atol=3e-5))


BATCH_NORM = node("BatchNormalization", "c gamma beta mean variance", "y")
MEAN_LAST = node("ReduceMean", "c spatial_last", "y", keepdims=0)
TO_FIRST = node("Transpose", "x", "t", perm=[0, 3, 1, 2])
TO_LAST = node("Transpose", "r", "y", perm=[0, 2, 3, 1])


def conv(x: str = "x", y: str = "c", w: str = "w", **attributes: Any) -> NodeProto:
    return node("Conv", f"{x} {w}", y, **attributes)


def pool(kind: str, x: str, y: str, size: int = 2, **attributes: Any) -> NodeProto:
    attributes = {"strides": [size, size], **attributes}
    return node(kind, x, y, kernel_shape=[size, size], **attributes)


# fold_constants


def test_constants_are_computed_once() -> None:
    nodes = [node("Add", "a b", "s"), node("Transpose", "s", "t"), node("MatMul", "x t", "y")]
    assert ops(nodes, MATRIX) == "Dense*"


def test_a_shape_that_is_known_is_a_constant() -> None:
    nodes = [node("Shape", "x", "s"), node("ConstantOfShape", "s", "z"), node("Add", "x z", "y")]
    assert ops(nodes, [3, 4]) == "Add"
    assert ops(nodes, MATRIX) == "Shape ConstantOfShape Add"
    nodes = [node("Shape", "x", "s", start=1), node("Reshape", "g s", "r"), node("Add", "x r", "y")]
    assert ops(nodes, MATRIX) == "Add"


def test_what_is_random_or_fails_is_left_to_the_run() -> None:
    noise = node("RandomNormal", "", "n", shape=[4])
    del noise.input[:]
    proto = model([noise, node("Add", "x n", "y")], {"x": MATRIX}, ["y"])
    session = so.InferenceSession(proto)
    assert steps(session) == ["RandomNormal", "Add"]
    x = normal(3, 4)
    assert (session.run(None, {"x": x})[0] != session.run(None, {"x": x})[0]).any()
    wrong = [node("Gather", "a far", "r"), node("Add", "x r", "y")]
    proto = model(wrong, {"x": ["N", 4]}, ["y"], {"a": normal(2, 4), "far": np.array([9])})
    session = so.InferenceSession(proto)
    assert steps(session) == ["Gather", "Add"]
    with pytest.raises(so.RunError, match=r"'r' \(Gather"):
        session.run(None, {"x": x})


def test_what_would_be_large_is_left_to_the_run() -> None:
    constants = {"shape": np.array([17, 2**20]), "first": np.array([0, 0])}
    nodes = [
        node("ConstantOfShape", "shape", "large"),
        node("GatherND", "large first", "element"),
        node("Add", "x element", "y"),
    ]
    proto = model(nodes, {"x": MATRIX}, ["y"], constants)
    assert "ConstantOfShape" in check(proto, {"x": normal(3, 4)})


def test_an_initialiser_that_is_an_input_is_no_constant() -> None:
    nodes = [node("Neg", "m", "n"), node("MatMul", "x n", "y")]
    proto = model(nodes, {"x": MATRIX}, ["y"], {"m": normal(4, 5)})
    proto.graph.input.append(helper.make_tensor_value_info("m", 1, [4, 5]))
    session = so.InferenceSession(proto)
    assert steps(session) == ["Neg", "MatMul"]
    feed = {"x": normal(3, 4), "m": normal(4, 5)}
    assert_same(session.run(None, feed), onnxruntime(proto, feed))


# drop_identities


@pytest.mark.parametrize(
    "idle",
    [
        node("Identity", "r", "i"),
        node("Dropout", "r", "i"),
        node("Dropout", "r half no", "i"),
        node("Dropout", "r half", "i mask"),
        node("Transpose", "r", "i", perm=[0, 1]),
        node("Cast", "r", "i", to=1),
    ],
    ids=lambda n: " ".join([n.op_type, *n.input]),
)
def test_what_changes_nothing_is_dropped(idle: NodeProto) -> None:
    nodes = [node("Relu", "x", "r"), idle, node("Neg", "i", "y")]
    assert ops(nodes, MATRIX) == "Relu Neg"


@pytest.mark.parametrize(
    "busy",
    [
        node("Transpose", "r", "i", perm=[1, 0]),
        node("Transpose", "r", "i"),
        node("Cast", "r", "i", to=11),
    ],
    ids=lambda n: f"{n.op_type} {n.attribute}",
)
def test_what_changes_something_stays(busy: NodeProto) -> None:
    nodes = [node("Relu", "x", "r"), busy, node("Neg", "i", "y")]
    assert ops(nodes, MATRIX) == f"Relu {busy.op_type} Neg"


def test_a_dropout_whose_mask_is_read_or_that_trains_stays() -> None:
    nodes = [
        node("Dropout", "x", "i mask"),
        node("Cast", "mask", "kept", to=1),
        node("Add", "i kept", "y"),
    ]
    assert ops(nodes, MATRIX) == "Dropout Cast Add"
    training = [node("Dropout", "x half yes", "i"), node("Neg", "i", "y")]
    proto = model(
        training, {"x": MATRIX}, ["y"], {"half": CONSTANTS["half"], "yes": np.array(True)}
    )
    assert steps(so.InferenceSession(proto)) == ["Dropout", "Neg"]


def test_an_identity_that_is_an_output_stays() -> None:
    assert ops([node("Identity", "x", "y"), node("Neg", "y", "z")], MATRIX, "y z") == "Identity Neg"


def test_a_chain_is_dropped_from_subgraphs_too() -> None:
    def branch(name: str, op_type: str) -> Any:
        output = helper.make_empty_tensor_value_info(name)
        return helper.make_graph([node(op_type, "j", name)], name, [], [output])

    nodes = [
        node("Relu", "x", "r"),
        node("Identity", "r", "i"),
        node("Identity", "i", "j"),
        node("ReduceMax", "x", "top", keepdims=0),
        node("Greater", "top zero", "positive"),
        node("If", "positive", "y", then_branch=branch("p", "Neg"), else_branch=branch("q", "Abs")),
    ]
    assert "Identity" not in ops(nodes, MATRIX)


# drop_dead


def test_what_nobody_reads_is_dropped() -> None:
    nodes = [node("Exp", "x", "unread"), node("MatMul", "unread m", "too"), node("Neg", "x", "y")]
    proto = model(nodes, {"x": MATRIX}, ["y"], {"m": CONSTANTS["m"]})
    session = so.InferenceSession(proto)
    assert steps(session) == ["Neg"]
    assert len(session.plan.constants) == len([None, None, "x", "y"])
    assert ops(nodes, MATRIX, "y too") == "Exp Dense* Neg"


def test_an_input_that_nobody_reads_must_still_be_right() -> None:
    proto = model([node("Neg", "x", "y")], {"x": MATRIX, "z": [2]}, ["y"])
    session = so.InferenceSession(proto)
    assert len(session.run(None, {"x": normal(3, 4), "z": normal(2)})) == 1
    with pytest.raises(so.InputError, match="'z' is missing"):
        session.run(None, {"x": normal(3, 4)})


# fold_scale


@pytest.mark.parametrize(
    "affine",
    [
        BATCH_NORM,
        node("Mul", "c channel", "y"),
        node("Mul", "channel c", "y"),
        node("Div", "c channel", "y"),
        node("Add", "channel c", "y"),
        node("Sub", "c channel", "y"),
        node("Mul", "c half", "y"),
        node("Add", "c zero", "y"),
    ],
    ids=lambda n: " ".join([n.op_type, *n.input]),
)
@pytest.mark.parametrize("bias", ["", " k"])
def test_an_affine_node_goes_into_the_convolution(affine: NodeProto, bias: str) -> None:
    first = node("Conv", f"x w{bias}", "c")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a bias of zeros was divided by once
        assert ops([first, affine], IMAGE) == "Transpose Conv* Transpose"


def test_a_chain_of_them_too_and_in_a_volume() -> None:
    nodes = [
        node("Conv", "x w", "c"),
        node("Mul", "c channel", "d"),
        node("Add", "d other_channel", "y"),
    ]
    assert ops(nodes, IMAGE) == "Transpose Conv* Transpose"
    constants = {"w": normal(4, 2, 3), "s": normal(4, 1)}
    proto = model(
        [node("Conv", "x w", "c"), node("Mul", "c s", "y")], {"x": ["N", 2, 9]}, ["y"], constants
    )
    assert check(proto, {"x": normal(2, 2, 9)}) == ["Conv"]


@pytest.mark.parametrize("options", [{}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0}])
@pytest.mark.parametrize("bias", ["", "c5", "c15"])
def test_an_affine_node_goes_into_the_gemm(options: dict[str, Any], bias: str) -> None:
    weight = CONSTANTS["m"].T if "transB" in options else CONSTANTS["m"]
    constants = {"m": np.ascontiguousarray(weight), "s": normal(5)}
    if bias:
        constants[bias] = CONSTANTS[bias]
    nodes = [node("Gemm", f"x m {bias}", "c", **options), node("Mul", "c s", "y")]
    proto = model(nodes, {"x": MATRIX}, ["y"], constants)
    assert check(proto, {"x": normal(3, 4)}) == ["Dense*"]


@pytest.mark.parametrize(
    ("tail", "outputs"),
    [
        ([node("Add", "c column", "y")], "y"),  # along the width
        ([node("Mul", "c sample", "y")], "y"),
        ([node("Sub", "channel c", "y")], "y"),
        ([node("Div", "channel c", "y")], "y"),
        ([node("Mul", "c c", "y")], "y"),
        ([node("Div", "c infinite", "y")], "y"),  # x / 0 is not x · (1 / 0) summed up
        ([node("Mul", "c infinite", "y")], "y"),
        ([node("Mul", "c channel", "y"), node("Neg", "c", "z")], "y z"),
        ([node("Mul", "c channel", "y")], "c y"),
    ],
)
def test_what_is_no_affine_node_of_its_own_stays(tail: list[NodeProto], outputs: str) -> None:
    assert f" {tail[0].op_type}" in ops([conv(), *tail], IMAGE, outputs)


def test_a_batch_normalisation_that_trains_stays() -> None:
    node_ = node(
        "BatchNormalization", "c gamma beta mean variance", "y m v", training_mode=1, momentum=0.8
    )
    assert "BatchNormalization" in ops([conv(), node_], IMAGE)


# find_silu


def test_silu() -> None:
    for product in (node("Mul", "x s", "y"), node("Mul", "s x", "y")):
        assert ops([node("Sigmoid", "x", "s"), product], MATRIX) == "Activation*"
    assert ops([conv(), node("Sigmoid", "c", "s"), node("Mul", "s c", "y")], IMAGE) == (
        "Transpose Conv* Transpose"
    )


@pytest.mark.parametrize(
    ("tail", "outputs", "dtype"),
    [
        ([node("Mul", "s s", "y")], "y", np.float32),
        ([node("Mul", "s half", "y")], "y", np.float32),
        ([node("Mul", "s x", "y"), node("Neg", "s", "z")], "y z", np.float32),
        ([node("Mul", "s x", "y")], "y s", np.float32),
        ([node("Add", "s x", "y")], "y", np.float32),
        ([node("Mul", "s x", "y")], "y", np.float64),
    ],
)
def test_no_silu(tail: list[NodeProto], outputs: str, dtype: Any) -> None:
    ran = ops([node("Sigmoid", "x", "s"), *tail], MATRIX, outputs, dtypes={"x": dtype})
    assert ran.startswith("Sigmoid ")


# find_gelu


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Mul", "x e1", "p"), node("Mul", "p half", "y")],
        [node("Mul", "x half", "p"), node("Mul", "p e1", "y")],
        [node("Mul", "e1 half", "p"), node("Mul", "p x", "y")],
    ],
    ids=["half last", "half of x", "half of erf"],
)
def test_gelu(nodes: list[NodeProto]) -> None:
    front = [node("Div", "x root", "d"), node("Erf", "d", "e"), node("Add", "e one", "e1")]
    assert ops([*front, *nodes], MATRIX) == "Activation*"


@pytest.mark.parametrize(
    ("front", "half", "last"),
    [
        (node("Div", "x two", "d"), "half", "x"),
        (node("Div", "x root", "d"), "two", "x"),
        (node("Div", "x root", "d"), "half", "d"),
        (node("Div", "x deep_root", "d"), "half", "x"),  # of another rank
    ],
)
def test_no_gelu(front: NodeProto, half: str, last: str) -> None:
    nodes = [
        front,
        node("Erf", "d", "e"),
        node("Add", "e one", "e1"),
        node("Mul", f"{last} e1", "p"),
        node("Mul", f"p {half}", "y"),
    ]
    assert ops(nodes, MATRIX) == "Div Erf Add Mul Mul"


# channels_last

THROUGH: dict[str, tuple[list[NodeProto], str]] = {
    "activation": ([node("Relu", "c", "r")], "Conv*"),
    "arithmetic": ([node("Exp", "c", "e"), node("Max", "e channel", "r")], "Conv* Exp Max"),
    "a constant along the width": ([node("Mul", "c column", "r")], "Conv* Mul"),
    "concatenated channels": ([node("Concat", "c c", "r", axis=1)], "Conv* Concat"),
    "concatenated rows": ([node("Concat", "c c", "r", axis=-2)], "Conv* Concat"),
    "a pad": ([node("Pad", "c pads", "r")], "Conv* Pad"),
    "pools": (
        [
            pool("MaxPool", "c", "p", 3, strides=[1, 1]),
            pool("AveragePool", "p", "r", pads=[1, 0, 1, 0]),
        ],
        "Conv* MaxPool* AveragePool*",
    ),
    "batch normalisation": (
        [node("Relu", "c", "q"), node("BatchNormalization", "q gamma beta mean variance", "r")],
        "Conv* Affine*",
    ),
    "squeeze and excitation": (
        [
            node("GlobalAveragePool", "c", "p"),
            node("Sigmoid", "p", "gate"),
            node("Mul", "c gate", "r"),
        ],
        "Conv* GlobalAveragePool* Sigmoid Mul",
    ),
}


@pytest.mark.parametrize("name", THROUGH)
def test_transposes_of_the_exporter_cancel(name: str) -> None:
    """(N, H, W, C) in, (N, H, W, C) out, as Keras's models are exported: nothing is moved."""
    between, expected = THROUGH[name]
    assert ops([TO_FIRST, conv("t"), *between, TO_LAST], LAST).removesuffix(" Identity") == expected


@pytest.mark.parametrize("name", THROUGH)
def test_channels_first_is_turned_once_each_way(name: str) -> None:
    between, expected = THROUGH[name]
    nodes = [conv(), *between, node("Neg", "r", "y")]
    assert ops(nodes, IMAGE) == f"Transpose {expected} Neg Transpose"


FIRST_ONLY: dict[str, list[NodeProto]] = {
    "softmax over channels": [node("Softmax", "c", "y", axis=1)],
    "reshape": [node("Reshape", "c to_rows", "y")],
    "flatten": [node("Flatten", "c", "y")],
    "ceil": [pool("MaxPool", "c", "y", 3, ceil_mode=1)],
    "indices": [pool("MaxPool", "c", "y z")],
    "padded with ones": [node("Pad", "c pads one", "y")],
    "mean over channels": [node("ReduceMean", "c rows", "y")],
}


@pytest.mark.parametrize("name", FIRST_ONLY)
def test_who_insists_on_channels_first_gets_them(name: str) -> None:
    nodes = FIRST_ONLY[name]
    outputs = " ".join(nodes[-1].output)
    ran = ops([conv(), *nodes], IMAGE, outputs)
    assert ran.startswith(f"Transpose Conv* Transpose {nodes[0].op_type}")
    assert "*" not in ran.removeprefix("Transpose Conv*")


@pytest.mark.parametrize("perm", [[0, 1, 3, 2], [1, 0, 2, 3], [3, 2, 1, 0], [0, 3, 1, 2]])
def test_any_transpose_of_an_image(perm: list[int]) -> None:
    nodes = [conv(), node("Transpose", "c", "t", perm=perm), node("Neg", "t", "y")]
    assert ops(nodes, IMAGE) == "Transpose Conv* Transpose Neg"


@pytest.mark.parametrize("last", ["Flatten", "Reshape", "Squeeze"])
def test_an_image_of_one_pixel_is_flattened_as_it_lies(last: str) -> None:
    second = {"Flatten": "", "Reshape": " to_rows", "Squeeze": " spatial"}[last]
    nodes = [conv(), node("GlobalAveragePool", "c", "p"), node(last, f"p{second}", "y")]
    assert ops(nodes, IMAGE) == f"Transpose Conv* GlobalAveragePool* {last}"
    if last != "Reshape":  # of nothing, -1 could be anything
        assert ops(nodes, IMAGE, batch=0)


def test_who_does_not_become_fast() -> None:
    proto = model([conv()], {"x": IMAGE, "w": [8, 3, 3, 3]}, ["c"])
    assert check(proto, {"x": normal(2, 3, 6, 6), "w": normal(8, 3, 3, 3)}) == ["Conv"]
    proto = model([conv()], {"x": ["N", 3, 6]}, ["c"], {"w": normal(8, 3, 3)})
    assert check(proto, {"x": normal(2, 3, 6)}) == ["Conv"]
    nodes = [conv(auto_pad="SAME_UPPER", strides=[2, 2])]
    proto = model(nodes, {"x": ["N", 3, "H", 6]}, ["c"], {"w": normal(8, 3, 3, 3)})
    assert check(proto, {"x": normal(2, 3, 5, 6)}) == ["Conv"]


# make_dense


@pytest.mark.parametrize("shape", [MATRIX, STACK, ["N", 2, 3, 4]])
def test_a_constant_matrix_makes_a_dense_node(shape: list[Any]) -> None:
    assert ops([node("MatMul", "x m", "p"), node("Add", "p c5", "y")], shape) == "Dense*"


@pytest.mark.parametrize("options", [{}, {"alpha": 2.0}, {"beta": 0.5}, {"alpha": 0.0}])
@pytest.mark.parametrize("bias", ["", "c5", "c15", "one"])
def test_gemm_makes_a_dense_node(options: dict[str, Any], bias: str) -> None:
    assert ops([node("Gemm", f"x m {bias}", "y", **options)], MATRIX) == "Dense*"


def test_no_dense_node() -> None:
    constants = {"m": normal(3, 5), "full": normal(3, 5), "w": normal(4, 5)}
    for nodes, shape, dtype in (
        ([node("Gemm", "x m", "y", transA=1)], [3, 4], np.float32),
        ([node("Gemm", "x w full", "y")], [3, 4], np.float32),
        ([node("MatMul", "w x", "y")], [5, 3], np.float32),
        ([node("MatMul", "x x", "y")], [4, 4], np.float32),
        ([node("MatMul", "x w", "y")], [4], np.float32),
        ([node("MatMul", "x i", "y")], [2, 4], np.int32),
    ):
        used = {name: value for name, value in constants.items() if name in nodes[0].input}
        if "i" in nodes[0].input:
            used["i"] = np.arange(8, dtype=np.int32).reshape(4, 2)
        proto = model(nodes, {"x": shape}, ["y"], used, dtypes={"x": dtype})
        x = (normal(*shape) * 9).astype(dtype)
        assert check(proto, {"x": x}) == [nodes[0].op_type]


# make_rows


def test_rows() -> None:
    assert ops([node("Softmax", "x", "y")], STACK) == "Softmax*"
    assert ops([node("Softmax", "x", "y", axis=2)], STACK) == "Softmax*"
    assert ops([node("LayerNormalization", "x g column", "y")], STACK) == "LayerNormalization*"
    assert ops([node("LayerNormalization", "x g", "y")], STACK) == "LayerNormalization*"
    assert ops([node("MatMul", "x stack", "y")], ["N", 3, 2, 4]) == "MatMul*"


def test_no_rows() -> None:
    assert ops([node("Softmax", "x", "y", axis=1)], STACK) == "Softmax"
    assert ops([node("Softmax", "x", "y", axis=1)], STACK, opset=11) == "Softmax"
    assert ops([node("Softmax", "x", "y")], STACK, dtypes={"x": np.float64}) == "Softmax"
    assert ops([node("LayerNormalization", "x g", "y mean")], STACK, "y mean") == (
        "LayerNormalization"
    )
    assert ops([node("MatMul", "x x", "y")], [4, 4]) == "MatMul"


# find_spatial_mean


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_the_mean_over_height_and_width_is_a_pool(keepdims: int, batch: int) -> None:
    last = [
        TO_FIRST,
        conv("t"),
        node("Transpose", "c", "l", perm=[0, 2, 3, 1]),
        node("ReduceMean", "l spatial_last", "y", keepdims=keepdims),
    ]
    tail = "" if keepdims else " Squeeze"
    assert ops(last, LAST, batch=batch) == f"Conv* GlobalAveragePool*{tail}"
    first = [conv(), node("ReduceMean", "c spatial", "y", keepdims=keepdims)]
    tail = " Transpose" if keepdims else " Squeeze"
    assert ops(first, IMAGE, batch=batch) == f"Transpose Conv* GlobalAveragePool*{tail}"


@pytest.mark.parametrize("nodes", [[], [node("MaxPool", "x", "p", kernel_shape=[1, 1])]])
def test_the_mean_over_nothing_of_unknown_channels(nodes: list[NodeProto]) -> None:
    axes = "spatial" if nodes else "spatial_last"
    mean = node("ReduceMean", f"{'p' if nodes else 'x'} {axes}", "y", keepdims=0)
    proto = model([*nodes, mean], {"x": list("NABC")}, ["y"], {axes: CONSTANTS[axes]})
    assert check(proto, {"x": normal(0, 3, 4, 5)})[-2:] == ["GlobalAveragePool*", "Squeeze"]


def test_other_means_are_no_pool() -> None:
    for nodes in (
        [node("ReduceMean", "x rows", "y")],
        [node("ReduceMean", "x", "y")],
        [node("ReduceMean", "x", "y", noop_with_empty_axes=1)],
        [node("ReduceMax", "x spatial_last", "y")],
    ):
        assert "*" not in ops(nodes, LAST)


# fold_pads


def test_zeros_around_an_image_become_the_convolutions_pads() -> None:
    first = [node("Pad", "x pads", "p"), conv("p", pads=[1, 0, 0, 1]), node("Relu", "c", "y")]
    nodes = [conv("x", "q"), node("Pad", "q pads", "p"), conv("p", "y", "w2", pads=[1, 0, 0, 1])]
    assert ops(nodes, IMAGE) == "Transpose Conv* Conv* Transpose"
    assert "Pad" in ops(first, IMAGE)  # before the first convolution images lie channels first
    last = [node("Pad", "x pads_last", "p"), node("Transpose", "p", "t", perm=[0, 3, 1, 2])]
    assert ops([*last, conv("t", "y")], LAST) == "Conv* Transpose"


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_pads_that_are_no_zeros_stay(mode: str) -> None:
    """Behind the exporter's Transpose; they were taken for zeros once."""
    nodes = [
        node("Pad", "x pads_last", "p", mode=mode),
        node("Transpose", "p", "t", perm=[0, 3, 1, 2]),
        conv("t", "y"),
    ]
    assert ops(nodes, LAST, opset=19) == "Pad Conv* Transpose"


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_pads_of_old_opsets_stay(mode: str) -> None:
    nodes = [
        node("Pad", "x", "p", mode=mode, pads=[0, 1, 2, 0, 0, 0, 1, 0]),
        node("Transpose", "p", "t", perm=[0, 3, 1, 2]),
        conv("t", "y"),
    ]
    assert ops(nodes, LAST, opset=9) == "Pad Conv* Transpose"


@pytest.mark.parametrize(
    ("pad", "outputs"),
    [
        (node("Pad", "q crop", "p"), "y"),
        (node("Pad", "q pads one", "p"), "y"),
    ],
)
def test_other_pads_stay(pad: NodeProto, outputs: str) -> None:
    nodes = [conv("x", "q"), pad, conv("p", "y", "w2")]
    assert "Pad" in ops(nodes, IMAGE, outputs)


# fuse_epilogues


@pytest.mark.parametrize(
    "activation",
    [
        node("Relu", "c", "y"),
        node("LeakyRelu", "c", "y", alpha=-0.5),
        node("Sigmoid", "c", "y"),
        node("Tanh", "c", "y"),
        node("HardSigmoid", "c", "y", alpha=0.3, beta=0.4),
        node("HardSwish", "c", "y"),
        node("Clip", "c zero two", "y"),
        node("Clip", "c zero", "y"),
    ],
    ids=lambda n: " ".join([n.op_type, *n.input]),
)
def test_an_activation_goes_into_the_product(activation: NodeProto) -> None:
    assert ops([conv(), activation], IMAGE) == "Transpose Conv* Transpose"
    assert ops([node("MatMul", "x m", "c"), activation], MATRIX) == "Dense*"


@pytest.mark.parametrize(
    ("activation", "opset"),
    [
        (node("Clip", "c", "y"), 6),  # infinity becomes float32's largest
        (node("Clip", "c", "y", max=2.0), 6),
        (node("Clip", "c nan two", "y"), 18),  # NaN bounds nothing
        (node("LeakyRelu", "c", "y", alpha=0.0), 18),  # 0 times infinity is not asked for
    ],
)
def test_an_activation_of_infinities(activation: NodeProto, opset: int) -> None:
    one = np.eye(3, dtype=np.float32)[:, :, None, None] + np.float32(1)
    constants = {"w": one, "nan": np.float32(np.nan), "two": CONSTANTS["two"]}
    proto = model([conv(), activation], {"x": IMAGE}, ["y"], constants, opset)
    x = normal(2, 3, 6, 6)
    x[0, :, 0, 0], x[1, :, 2, 3] = np.inf, -np.inf
    plain = so.InferenceSession(proto, optimize=False).run(None, {"x": x})
    assert np.isfinite(plain[0]).sum() > 200
    assert_same(so.InferenceSession(proto).run(None, {"x": x}), plain, 1e-5, 1e-6)


def test_only_the_first_activation_goes_in() -> None:
    nodes = [conv(), node("Relu", "c", "r"), node("Tanh", "r", "y")]
    assert ops(nodes, IMAGE) == "Transpose Conv* Tanh Transpose"
    nodes = [conv(), node("Relu", "c", "r"), node("Add", "r channel", "y")]
    assert ops(nodes, IMAGE) == "Transpose Conv* Add Transpose"
    nodes = [conv(), node("Clip", "c low", "y")]
    proto = model(nodes, {"x": IMAGE, "low": []}, ["y"], {"w": CONSTANTS["w"]})
    feed = {"x": normal(2, 3, 6, 6), "low": np.array(0.1, np.float32)}
    assert check(proto, feed) == ["Transpose", "Conv*", "Clip", "Transpose"]


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_a_pool_goes_into_the_convolution(kind: str, size: int) -> None:
    nodes = [conv(), node("Relu", "c", "r"), pool(kind, "r", "y", size)]
    assert ops(nodes, IMAGE) == "Transpose Conv* Transpose"


@pytest.mark.parametrize(
    "tail",
    [
        [pool("MaxPool", "c", "y", strides=[1, 1])],
        [pool("MaxPool", "c", "y", pads=[1, 1, 0, 0])],
        # A maximum is not kept by functions that fall.
        [node("LeakyRelu", "c", "r", alpha=-2.0), pool("MaxPool", "r", "y")],
        [node("HardSigmoid", "c", "r", alpha=-0.2), pool("MaxPool", "r", "y")],
        [node("HardSwish", "c", "r"), pool("MaxPool", "r", "y")],
        # A mean is not kept by functions that are not linear.
        [pool("AveragePool", "c", "r"), node("Relu", "r", "y")],
        [pool("AveragePool", "c", "r"), node("Add", "r channel", "y")],
        [pool("MaxPool", "c", "r"), node("LeakyRelu", "r", "y", alpha=-2.0)],
    ],
)
def test_what_does_not_go_with_a_pool_stays(tail: list[NodeProto]) -> None:
    ran = ops([conv(), *tail], IMAGE).split()
    assert len(ran) == 4, ran


def test_what_a_pad_made_may_be_read_besides() -> None:
    nodes = [conv("x", "q"), node("Pad", "q pads", "p"), conv("p", "y", "w2")]
    assert ops(nodes, IMAGE, "y p") == "Transpose Conv* Pad Conv* Transpose Transpose"


def two_images(*tail: NodeProto) -> Any:
    nodes = [conv("x", "a"), conv("z", "b"), node("Add", "a b", "s"), *tail]
    output = tail[-1].output[0] if tail else "s"
    return model(nodes, {"x": IMAGE, "z": IMAGE}, [output], {"w": CONSTANTS["w"]})


@pytest.mark.parametrize("tail", [[], [node("Relu", "s", "y")]])
@pytest.mark.parametrize("sizes", [(3, 3), (5, 1), (1, 5), (1, 12), (0, 1)])
def test_a_residual_goes_in_and_still_broadcasts(
    tail: list[NodeProto], sizes: tuple[int, int]
) -> None:
    """The model calls both batches N, and yet they may differ: onnxruntime adds them up too."""
    feed = {"x": normal(sizes[0], 3, 6, 6), "z": normal(sizes[1], 3, 6, 6)}
    assert check(two_images(*tail), feed) == ["Transpose", "Transpose", "Conv*", "Conv*"] + [
        "Transpose"
    ]


def test_a_huge_constant_is_not_made_at_load() -> None:
    """Expand of one number to 2^40: the file is small, and the value is none of the output's."""
    proto = model(
        [
            node("Expand", "one shape", "huge"),
            node("Shape", "huge", "size"),
            node("Add", "x size", "y"),
        ],
        {"x": [2]},
        ["y"],
        {"one": np.float32(1), "shape": np.array([2**20, 2**20])},
        dtypes={"x": np.int64},
    )
    (y,) = so.InferenceSession(proto).run(None, {"x": np.zeros(2, np.int64)})
    assert y.tolist() == [2**20, 2**20]


def _pooled(pool: str = "AveragePool", between: bool = False, **options: Any) -> Any:
    nodes = [node("Conv", "x w b", "c"), node(pool, "c", "y", kernel_shape=[2, 2], **options)]
    outputs = ["c", "y"] if between else ["y"]
    constants = {"w": normal(6, 5, 1, 1), "b": normal(6)}
    return model(nodes, {"x": ["N", 5, 8, 7]}, outputs, constants)


def test_a_mean_is_taken_before_a_pointwise_convolution() -> None:
    ops = check(_pooled(strides=[2, 2]), {"x": normal(3, 5, 8, 7)})
    assert ops == ["Transpose", "AveragePool*", "Conv*", "Transpose"]


@pytest.mark.parametrize(
    "proto",
    [
        _pooled("MaxPool", strides=[2, 2]),
        _pooled(between=True, strides=[2, 2]),
        _pooled(strides=[2, 2], pads=[1, 1, 0, 0]),
    ],
    ids=["maximum", "output between", "padding"],
)
def test_what_is_no_mean_of_a_pointwise_convolution_stays_behind_it(proto: Any) -> None:
    ops = check(proto, {"x": normal(3, 5, 8, 7)})
    assert "Conv*" in ops
    assert ops.index("Conv*") < len(ops) - 1
    assert "AveragePool*" not in ops[: ops.index("Conv*")]

"""Every rule of Gradient against central differences of the function itself, in float64; second
derivatives, free dimensions, functions and subgraphs by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, helper, numpy_helper
from oracles import assert_same

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter.gradients import TRAINING
from scratch_onnx.interpreter.gradients.expand import differentiable
from scratch_onnx.interpreter.loading import load
from scratch_onnx.interpreter.types import enum_of_dtype

Shape = tuple[int, ...]


def node(op_type: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op_type, inputs.split(), outputs.split(), **attributes)


def gradient(xs: str, outputs: str, zs: str = "", y: str = "y", fed: str = "") -> NodeProto:
    fixed: dict[str, Any] = {"zs": zs.split()} if zs else {}
    return helper.make_node(
        "Gradient",
        (fed or f"{xs} {zs}").split(),
        outputs.split(),
        domain=TRAINING,
        name=f"of_{y}",
        xs=xs.split(),
        y=y,
        **fixed,
    )


def model_of(
    nodes: Sequence[NodeProto],
    inputs: dict[str, Any],
    outputs: Sequence[str],
    constants: dict[str, Any],
    free: bool,
    opset: int = 18,
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [
            helper.make_tensor_value_info(
                name,
                enum_of_dtype(x.dtype),
                [f"{name}_{i}" for i in range(x.ndim)] if free else x.shape,
            )
            for name, x in inputs.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(x), name) for name, x in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(TRAINING, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def run(
    nodes: Sequence[NodeProto],
    feed: dict[str, Any],
    outputs: Sequence[str],
    constants: dict[str, Any] | None = None,
    opset: int = 18,
) -> list[Any]:
    """Plain and optimised, with the inputs' dimensions known and free: all agree."""
    results = []
    for free in (False, True):
        model = model_of(nodes, feed, outputs, constants or {}, free, opset)
        results.append(so.InferenceSession(model, optimize=False).run(None, feed))
        results.append(so.InferenceSession(model).run(None, feed))
    for other in results[1:]:
        assert_same(other, results[0], 1e-9, 1e-12)
    return results[0]


def differences(
    nodes: Sequence[NodeProto],
    feed: dict[str, Any],
    name: str,
    constants: dict[str, Any],
    opset: int,
) -> Any:
    """The gradient of the sum of ``y`` by an input, by central differences."""
    session = so.InferenceSession(model_of(nodes, feed, ["y"], constants, False, opset))
    step, result = 1e-6, np.zeros_like(feed[name])
    for place in np.ndindex(result.shape):
        sums = []
        for sign in (1, -1):
            moved = feed[name].copy()
            moved[place] += sign * step
            sums.append(session.run(None, {**feed, name: moved})[0].sum())
        result[place] = (sums[0] - sums[1]) / (2 * step)
    return result


def numbers(shape: Shape, seed: int, low: float = 0.4, high: float = 1.6) -> Any:
    """Away from 0, where some functions have a corner or no value."""
    return np.random.default_rng(seed).uniform(low, high, shape)


def check(
    op_type: str,
    shapes: Sequence[Shape],
    constants: Sequence[Any] = (),
    *,
    opset: int = 18,
    outputs: int = 1,
    low: float = 0.4,
    **attributes: Any,
) -> None:
    """An operator between two others, so that neither dy nor the second derivatives are plain:
    y = sin(f(x0, x1, ..., constants)) · 1.5."""
    feed = {f"x{i}": numbers(shape, i, low) for i, shape in enumerate(shapes)}
    fixed = {f"c{i}": np.asarray(value) for i, value in enumerate(constants)}
    fixed["factor"] = np.array(1.5)
    made = " ".join(f"f{i}" for i in range(outputs))
    nodes = [
        node(op_type, " ".join([*feed, *(n for n in fixed if n != "factor")]), made, **attributes),
        node("Sin", "f0", "s"),
        node("Mul", "s factor", "y"),
    ]
    slopes = [f"d_{name}" for name in feed]
    results = run([*nodes, gradient(" ".join(feed), " ".join(slopes))], feed, slopes, fixed, opset)
    for name, slope in zip(feed, results, strict=True):
        expected = differences(nodes, feed, name, fixed, opset)
        assert slope.shape == feed[name].shape
        np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-7, err_msg=name)


I = np.array  # noqa: E741 (short in the table below)
UNARY = (
    "Identity Neg Relu LeakyRelu Sigmoid Tanh Exp Log Sqrt Reciprocal Abs Sin Cos Erf Softplus"
).split()
BROADCAST: list[list[Shape]] = [
    [(2, 3), (2, 3)], [(2, 3), (3,)], [(3,), (2, 3)], [(2, 1), (1, 3)], [(), (2, 3)], [(1,), ()],
    [(4, 1, 3), (2, 1)],
]  # fmt: skip
CASES: list[tuple[str, list[Shape], list[Any], dict[str, Any]]] = [
    ("Pow", [(2, 3)], [I(3.0)], {}),
    ("Pow", [(2, 3)], [I([2.0, 0.5, -1.0])], {}),
    ("Pow", [(2, 3)], [I(2)], {}),
    ("Sum", [(2, 3), (3,), ()], [], {}),
    ("Mean", [(2, 3), (3,), (2, 1)], [], {}),
    ("Softmax", [(2, 3)], [], {}),
    ("Softmax", [(2, 3, 2)], [], {"axis": 1}),
    ("LogSoftmax", [(2, 3)], [], {"axis": 0}),
    ("ReduceSum", [(2, 3, 2)], [], {}),
    ("ReduceSum", [(2, 3, 2)], [], {"keepdims": 0}),
    ("ReduceSum", [(2, 3, 2)], [I([0, -1])], {"keepdims": 0}),
    ("ReduceSum", [(2, 3, 2)], [I([1])], {}),
    ("ReduceMean", [(2, 3, 2)], [I([1, 2])], {"keepdims": 0}),
    ("ReduceMean", [(2, 3)], [], {}),
    ("Reshape", [(2, 3)], [I([3, -1])], {}),
    ("Flatten", [(2, 3, 2)], [], {"axis": 2}),
    ("Squeeze", [(2, 1, 3)], [I([1])], {}),
    ("Unsqueeze", [(2, 3)], [I([0, 3])], {}),
    ("Expand", [(2, 1)], [I([4, 1, 3])], {}),
    ("Transpose", [(2, 3, 4)], [], {"perm": [1, 2, 0]}),
    ("Transpose", [(2, 3)], [], {}),
    ("Concat", [(2, 3), (2, 1), (2, 2)], [], {"axis": -1}),
    ("Concat", [(2, 3), (1, 3)], [], {"axis": 0}),
    ("Slice", [(4, 5)], [I([3, 1]), I([0, 5]), I([0, 1]), I([-2, 3])], {}),
    ("Gather", [(3, 2)], [I([[0, 2], [-1, 2]])], {"axis": 0}),
    ("Gather", [(3, 2)], [I(1)], {"axis": 1}),
    ("GatherElements", [(2, 2)], [I([[0, 0], [1, 0]])], {"axis": 1}),
    ("GatherND", [(2, 3)], [I([[0, 1], [0, 1]])], {}),
    ("Tile", [(2, 3)], [I([2, 1])], {}),
    ("DepthToSpace", [(1, 4, 2, 1)], [], {"blocksize": 2}),
    ("SpaceToDepth", [(1, 1, 2, 4)], [], {"blocksize": 2}),
    ("ReverseSequence", [(3, 2)], [I([2, 3])], {}),
    ("Compress", [(3, 2)], [I([True, False, True])], {"axis": 0}),
    ("MatMul", [(2, 3), (3, 4)], [], {}),
    ("MatMul", [(5, 2, 3), (3, 4)], [], {}),
    ("MatMul", [(2, 3), (5, 3, 4)], [], {}),
    ("MatMul", [(3,), (3, 4)], [], {}),
    ("MatMul", [(2, 3), (3,)], [], {}),
    ("MatMul", [(3,), (3,)], [], {}),
    ("MatMul", [(2, 1, 2, 3), (4, 3, 2)], [], {}),
    ("MatMul", [(3,), (2, 3, 4)], [], {}),
    ("MatMul", [(2, 2, 3), (3,)], [], {}),
    ("Einsum", [(2, 3), (3, 4)], [], {"equation": "ij, jk -> ki"}),
    ("Einsum", [(2, 3), (2, 3), (2,)], [], {"equation": "bi,bi,b->b"}),
    ("Gemm", [(2, 3), (3, 4), (4,)], [], {"alpha": 0.5, "beta": 2.0}),
    ("Gemm", [(3, 2), (3, 4)], [], {"transA": 1}),
    ("Gemm", [(2, 3), (4, 3), (2, 1)], [], {"transB": 1}),
    ("Gemm", [(3, 2), (4, 3), ()], [], {"transA": 1, "transB": 1, "alpha": 0.5}),
    ("Conv", [(2, 2, 5), (3, 2, 2)], [], {}),
    ("Conv", [(2, 2, 6, 5), (3, 2, 3, 2), (3,)], [], {"strides": [2, 1], "pads": [1, 0, 2, 1]}),
    ("Conv", [(1, 1, 8, 7), (2, 1, 2, 2)], [], {"dilations": [2, 3], "strides": [3, 2]}),
    ("Conv", [(1, 2, 5, 5), (1, 2, 3, 3)], [], {"auto_pad": "VALID"}),
    ("Cast", [(2, 3)], [], {"to": 11}),
]


@pytest.mark.parametrize("op_type", UNARY)
def test_functions_of_one(op_type: str) -> None:
    check(op_type, [(2, 3)])
    if op_type not in ("Log", "Sqrt", "Abs", "Reciprocal", "Relu", "LeakyRelu"):
        check(op_type, [(2, 3)], low=-1.6)


@pytest.mark.parametrize("op_type", ["Relu", "LeakyRelu", "Abs"])
def test_corners(op_type: str) -> None:
    x = np.array([-2.0, -1.0, 1.0, 2.0])
    slopes: dict[str, Any] = {"Relu": (0, 1), "LeakyRelu": (np.float32(0.01), 1), "Abs": (-1, 1)}
    below, above = slopes[op_type]
    (slope,) = run([node(op_type, "x", "y"), gradient("x", "d")], {"x": x}, ["d"])
    np.testing.assert_allclose(slope, [below, below, above, above], rtol=1e-12)


@pytest.mark.parametrize("shapes", BROADCAST)
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div", "Pow"])
def test_functions_of_two(op_type: str, shapes: list[Shape]) -> None:
    check(op_type, shapes)


@pytest.mark.parametrize(
    ("op_type", "shapes", "constants", "attributes"), CASES, ids=[case[0] for case in CASES]
)
def test_rule(
    op_type: str, shapes: list[Shape], constants: list[Any], attributes: dict[str, Any]
) -> None:
    check(op_type, shapes, constants, **attributes)


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
def test_softmax_before_opset_13(op_type: str) -> None:
    check(op_type, [(2, 3, 2)], opset=11, axis=1)


def test_reductions_with_their_axes_as_attribute() -> None:
    check("ReduceSum", [(2, 3, 2)], opset=11, axes=[0, 2], keepdims=0)
    check("ReduceMean", [(2, 3, 2)], opset=13, axes=[1])


def test_where() -> None:
    condition = np.array([True, False, True])
    feed = {"a": numbers((2, 3), 0), "b": numbers((3,), 1)}
    nodes = [node("Where", "c a b", "w"), node("Exp", "w", "y")]
    slopes = run([*nodes, gradient("a b", "da db")], feed, ["da", "db"], {"c": condition})
    for name, slope in zip("ab", slopes, strict=True):
        expected = differences(nodes, feed, name, {"c": condition}, 18)
        np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("used", ["p", "q", "p q"])
def test_split(used: str) -> None:
    """With parts that nobody reads."""
    feed = {"x": numbers((2, 5), 0)}
    nodes = [
        node("Split", "x n", "p q r", axis=1),
        *(node("Exp", name, f"e_{name}") for name in used.split()),
        node("Concat", " ".join(f"e_{name}" for name in used.split()), "y", axis=1),
    ]
    lengths = {"n": np.array([2, 1, 2])}
    (slope,) = run([*nodes, gradient("x", "dx")], feed, ["dx"], lengths)
    expected = differences(nodes, feed, "x", lengths, 18)
    np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("reduction", ["none", "add"])
def test_scatter_elements(reduction: str) -> None:
    feed = {"x": numbers((4,), 0), "u": numbers((2,), 1)}
    nodes = [node("ScatterElements", "x i u", "s", reduction=reduction), node("Exp", "s", "y")]
    indices = {"i": np.array([2, 0])}
    slopes = run([*nodes, gradient("x u", "dx du")], feed, ["dx", "du"], indices)
    for name, slope in zip("xu", slopes, strict=True):
        expected = differences(nodes, feed, name, indices, 18)
        np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-7)


def test_every_rule_is_tested() -> None:
    tested = {*UNARY, *(case[0] for case in CASES), "Add", "Sub", "Mul", "Div"}
    assert differentiable() - tested == {"Where", "Split", "ScatterElements", "CastLike"}


@pytest.mark.parametrize("size", [0, 1])
def test_empty_and_single(size: int) -> None:
    feed = {"x": numbers((size, 3), 0), "w": numbers((3, 2), 1), "b": numbers((2,), 2)}
    nodes = [node("Gemm", "x w b", "g"), node("Softmax", "g", "y")]
    slopes = run([*nodes, gradient("x w b", "dx dw db")], feed, ["dx", "dw", "db"])
    assert [slope.shape for slope in slopes] == [(size, 3), (3, 2), (2,)]
    np.testing.assert_allclose(np.concatenate([s.ravel() for s in slopes]), 0, atol=1e-12)


def test_second_derivatives() -> None:
    """y = a³·b: 3a²b, 6ab by a again, 3a² by b; the specification's own use of two Gradients."""
    a, b = np.array([2.0, 3.0]), np.array([5.0, 7.0])
    nodes = [
        gradient("a b", "daa dab", y="da"),  # before the one that it differentiates
        node("Pow", "a three", "cube"),
        node("Mul", "cube b", "y"),
        gradient("a", "da", zs="b"),
    ]
    slopes = run(nodes, {"a": a, "b": b}, ["da", "daa", "dab"], {"three": np.array(3.0)})
    for slope, expected in zip(slopes, (3 * a**2 * b, 6 * a * b, 3 * a**2), strict=True):
        np.testing.assert_allclose(slope, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("op_type", "shapes", "attributes"),
    [
        ("MatMul", [(2, 3), (3, 2)], {}),
        ("Gemm", [(2, 3), (3, 2), (2,)], {}),
        ("Softmax", [(2, 3)], {}),
        ("Concat", [(2, 3), (2, 1)], {"axis": 1}),
        ("Tanh", [(2, 3)], {}),
        ("Div", [(2, 3), (3,)], {}),
        ("ReduceMean", [(2, 3)], {}),
        ("Tile", [(2, 3)], {}),
    ],
)
def test_gradients_of_gradients(
    op_type: str, shapes: list[Shape], attributes: dict[str, Any]
) -> None:
    """The first derivative is the function whose differences are taken."""
    feed = {f"x{i}": numbers(shape, i) for i, shape in enumerate(shapes)}
    fixed = {"n": np.array([2, 1])} if op_type == "Tile" else {}
    names = " ".join(feed)
    nodes = [
        node(op_type, " ".join([*feed, *fixed]), "f", **attributes),
        node("Exp", "f", "e"),
        gradient(names, "y", y="e"),
    ]
    slopes = [f"d_{name}" for name in feed]
    results = run([*nodes, gradient(names, " ".join(slopes))], feed, slopes, fixed)
    for name, slope in zip(feed, results, strict=True):
        expected = differences(nodes, feed, name, fixed, 18)
        np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6)


def test_at_other_values() -> None:
    """Fed with b for a, and with another size than the graph's own."""
    feed = {"a": numbers((3,), 0), "b": numbers((5,), 1), "w": numbers((1,), 2)}
    nodes = [node("Mul", "a w", "h"), node("Exp", "h", "y")]
    slopes = run([*nodes, gradient("a w", "da dw", fed="b w")], feed, ["da", "dw"])
    value = np.exp(feed["b"] * feed["w"])
    np.testing.assert_allclose(slopes[0], value * feed["w"], rtol=1e-12)
    np.testing.assert_allclose(slopes[1], [(value * feed["b"]).sum()], rtol=1e-12)


def test_what_is_constant_hands_nothing_back() -> None:
    """Shapes, comparisons and rounding: y = x · floor(x) · size."""
    x = np.array([1.5, 2.5])
    nodes = [
        node("Floor", "x", "whole"),
        node("Size", "x", "n"),
        node("Cast", "n", "size", to=onnx.TensorProto.DOUBLE),
        node("Mul", "x whole", "p"),
        node("Mul", "p size", "y"),
        gradient("x", "dx"),
    ]
    assert run(nodes, {"x": x}, ["dx"])[0].tolist() == [2.0, 4.0]


def test_a_training_step() -> None:
    """A layer with a loss learns: the loss falls at every step of gradient descent in the graph."""
    rng = np.random.default_rng(0)
    feed = {"x": rng.normal(size=(8, 3)), "t": rng.normal(size=(8, 2))}
    feed |= {"w": rng.normal(size=(3, 2)), "b": np.zeros(2)}
    nodes = [
        node("Gemm", "x w b", "g"),
        node("Tanh", "g", "o"),
        node("Sub", "o t", "e"),
        node("Mul", "e e", "q"),
        node("ReduceMean", "q", "y", keepdims=0),
        gradient("w b", "dw db", zs="x t"),
    ]
    losses = []
    for _ in range(5):
        loss, by_w, by_b = run(nodes, feed, ["y", "dw", "db"])
        losses.append(float(loss))
        feed |= {"w": feed["w"] - 0.2 * by_w, "b": feed["b"] - 0.2 * by_b}
    assert losses == sorted(losses, reverse=True)


def test_through_a_function_of_the_model() -> None:
    """Functions are inlined first."""
    inner = helper.make_function(
        "local", "Square", ["u"], ["v"], [node("Mul", "u u", "v")], [helper.make_opsetid("", 18)]
    )
    call = helper.make_node("Square", ["x"], ["y"], domain="local")
    model = model_of([call, gradient("x", "dx")], {"x": np.array([3.0])}, ["dx"], {}, False)
    model.functions.append(inner)
    model.opset_import.append(helper.make_opsetid("local", 1))
    assert so.run(model, x=np.array([3.0])).tolist() == [6.0]


def test_inside_a_function_of_the_model() -> None:
    """The names that its attributes hold are the function's own; the model has such, too."""
    inner = helper.make_function(
        "local",
        "Slope",
        ["u"],
        ["d"],
        [node("Mul", "u u", "y"), gradient("u", "d")],
        [helper.make_opsetid("", 18), helper.make_opsetid(TRAINING, 1)],
    )
    call = helper.make_node("Slope", ["x"], ["dx"], domain="local")
    nodes = [node("Neg", "x", "u"), node("Exp", "u", "y"), call]
    model = model_of(nodes, {"x": np.array([3.0])}, ["dx", "y"], {}, False)
    model.functions.append(inner)
    model.opset_import.append(helper.make_opsetid("local", 1))
    assert so.run(model, x=np.array([3.0]))[0].tolist() == [6.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_smaller_dtypes(dtype: Any) -> None:
    """Each gradient has its input's dtype, and the numbers of float64."""
    rng = np.random.default_rng(0)
    feed = {"x": rng.normal(size=(4, 3)), "w": rng.normal(size=(3, 2)), "b": rng.normal(size=2)}
    nodes = [
        node("MatMul", "x w", "m"),
        node("Add", "m b", "s"),
        node("LeakyRelu", "s", "r"),
        node("Softmax", "r", "q"),
        node("Pow", "q two", "y"),
        gradient("x w b", "dx dw db"),
    ]
    two, slopes = {"two": np.array(2)}, ["dx", "dw", "db"]
    wide = run(nodes, feed, slopes, two)
    narrow = {name: x.astype(dtype) for name, x in feed.items()}
    model = model_of(nodes, narrow, slopes, two, free=True)
    for slope, expected in zip(so.InferenceSession(model).run(None, narrow), wide, strict=True):
        assert slope.dtype == dtype
        tolerance = 2e-2 if dtype == np.float16 else 1e-5
        np.testing.assert_allclose(slope, expected, rtol=tolerance, atol=tolerance / 10)


def test_inside_a_subgraph() -> None:
    """A Gradient in a branch, and one that would have to go through a branch."""
    x = np.array([3.0])
    branch = helper.make_graph(
        [node("Identity", "x", "z"), node("Mul", "z z", "y"), gradient("z", "dz")],
        "then",
        [],
        [helper.make_tensor_value_info("dz", onnx.TensorProto.DOUBLE, [1])],
    )
    other = helper.make_graph(
        [node("Identity", "x", "same")], "else", [], [helper.make_empty_tensor_value_info("same")]
    )
    choice = helper.make_node("If", ["c"], ["w"], then_branch=branch, else_branch=other)
    truth = {"c": np.array(True)}
    assert run([choice], {"x": x}, ["w"], truth)[0].tolist() == [6.0]
    with pytest.raises(so.UnsupportedError, match=r"gradient of node \d+ 'w' \(If, opset 18\)"):
        load(model_of([choice, gradient("x", "d", y="w")], {"x": x}, ["d"], truth, free=False))


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (node("Conv", "x w", "y", auto_pad="SAME_UPPER"), "with auto_pad SAME_UPPER"),
        (node("Conv", "x w", "y", group=2), "by the weights of several groups"),
        (node("Einsum", "x", "y", equation="abc->ab"), "of the term abc of its equation"),
        (node("Einsum", "x", "y", equation="abc"), "without -> in its equation"),
        (node("Gelu", "x", "y"), "Gelu"),
    ],
)
def test_what_is_refused(made: NodeProto, rule: str) -> None:
    feed = {"x": numbers((1, 2, 4), 0), "w": numbers((2, 1 if "group" in rule else 2, 2), 1)}
    opset = 20 if made.op_type == "Gelu" else 18
    model = model_of([made, gradient("x w", "dx dw")], feed, ["dx"], {}, False, opset)
    with pytest.raises(so.UnsupportedError, match=rf"'of_y' .*{made.op_type}.*{rule}|{rule}"):
        load(model)


def test_one_that_waits_for_itself() -> None:
    nodes = [gradient("x", "d", y="p"), node("Mul", "x d", "p")]
    with pytest.raises(so.ModelError, match="differentiates what depends on its own output"):
        load(model_of(nodes, {"x": np.array(1.0)}, ["d"], {}, False))

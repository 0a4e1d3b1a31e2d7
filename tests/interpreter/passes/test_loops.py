"""What is known of a Loop leaves its body, and what cannot be known stays in it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from graphs import check, model, node
from onnx import ModelProto, TensorProto, helper, numpy_helper

import scratch_onnx.interpreter as so

value = helper.make_tensor_value_info
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
X = np.random.default_rng(3).standard_normal((4, 2, 3)).astype(np.float32)
ZERO = np.zeros((2, 3), np.float32)


def loop(
    inner: Sequence[Any],
    carried: Sequence[tuple[str, str, int, str]],
    scans: Sequence[str] = (),
    *,
    trips: str = "M",
    cond: str = "",
    more: str = "more_in",
    constants: dict[str, Any] | None = None,
) -> Any:
    """A Loop; ``carried`` are (inside, given back, element type, initial value)."""
    nodes = list(inner)
    if more == "more_in":
        nodes.append(node("Identity", "more_in", "more"))
        more = "more"
    body = helper.make_graph(
        nodes,
        "body",
        [
            value("i", INT64, []),
            value("more_in", BOOL, []),
            *(value(name, kind, None) for name, _, kind, _ in carried),
        ],
        [
            value(more, BOOL, None),
            *(value(name, kind, None) for _, name, kind, _ in carried),
            *(value(name, FLOAT, None) for name in scans),
        ],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    outputs = [f"{name}_last" for name, *_ in carried] + [f"{name}_all" for name in scans]
    return helper.make_node(
        "Loop", [trips, cond, *(start for *_, start in carried)], outputs, body=body
    )


def step_of(proto: ModelProto) -> Any:
    """The session's Loop."""
    steps = so.InferenceSession(proto).plan.steps
    return next(step for step in steps if step.node.op_type == "Loop")


def body_of(proto: ModelProto) -> list[str]:
    """The operators inside the session's Loop."""
    return [step.node.op_type for step in step_of(proto).call.bodies["body"].steps]


def test_values_that_stay_the_same() -> None:
    """One that is handed through is read from outside, and its last value is the first."""
    inner = [
        node("Identity", "w", "w_same"),
        node("Mul", "h w", "h_w"),
        node("Add", "h_w half", "h_new"),
    ]
    carried = [("h", "h_new", FLOAT, "x"), ("w", "w_same", FLOAT, "y")]
    made = loop(inner, carried, constants={"half": np.float32(0.5)})
    shapes = {"x": [2, 3], "y": [2, 3]}
    proto = model([made], shapes, ["h_last", "w_last"], {"M": np.array(3)})
    check(proto, {"x": X[0], "y": X[1]})
    assert len(step_of(proto).node.inputs) == 3


def test_values_that_only_swap_places() -> None:
    inner = [node("Identity", "a", "b_new"), node("Identity", "b", "a_new")]
    carried = [("a", "a_new", FLOAT, "x"), ("b", "b_new", FLOAT, "y")]
    shapes = {"x": [2, 3], "y": [2, 3]}
    proto = model([loop(inner, carried)], shapes, ["a_last", "b_last"], {"M": np.array(3)})
    check(proto, {"x": X[0], "y": X[1]})
    assert len(step_of(proto).node.inputs) == 4


COUNTER = ("n", "n_new", INT64, "start")


@pytest.mark.parametrize(
    ("start", "stride", "read", "known"),
    [(0, 1, False, True), (1, 1, False, False), (0, 2, False, False), (0, 1, True, False)],
    ids=["counter", "starts at 1", "grows by 2", "read behind the loop"],
)
def test_counters(start: int, stride: int, read: bool, known: bool) -> None:
    inner = [
        node("Add", "n stride", "n_new"),
        node("Cast", "n", "n_float", to=FLOAT),
        node("Add", "h n_float", "h_new"),
    ]
    made = loop(
        inner, [COUNTER, ("h", "h_new", FLOAT, "x")], ["h"], constants={"stride": np.array(stride)}
    )
    outputs = ["h_last", "h_all"] + (["n_last"] if read else [])
    proto = model([made], {"x": [2, 3]}, outputs, {"M": np.array(3), "start": np.array(start)})
    check(proto, {"x": X[0]})
    assert len(step_of(proto).node.inputs) == (3 if known else 4)


@pytest.mark.parametrize("ends", [0, 1, 3, 7, 9])
@pytest.mark.parametrize("limit", [0, 1, 7])
def test_condition_of_the_number_of_iterations(ends: int, limit: int) -> None:
    """It is computed when the model is loaded; after the last iteration it no longer matters."""
    inner = [
        node("Add", "i one", "i_new"),
        node("Cast", "i_new", "i_float", to=FLOAT),
        node("Less", "i_float ends", "below"),
        node("Not", "below", "above"),
        node("Not", "above", "more"),
        node("Add", "h one_float", "h_new"),
    ]
    constants = {
        "one": np.array(1),
        "one_float": np.float32(1),
        "ends": np.float32(ends),
    }
    made = loop(
        inner, [("h", "h_new", FLOAT, "x")], ["h"], cond="yes", more="more", constants=constants
    )
    given = {"M": np.array(limit), "yes": np.array(True)}
    proto = model([made], {"x": [2, 3]}, ["h_last", "h_all"], given)
    check(proto, {"x": X[0]})
    assert step_of(proto).node.inputs[1] == ""
    assert set(body_of(proto)) == {"Add"}


@pytest.mark.parametrize("start", [True, False])
def test_condition_of_a_carried_value(start: bool) -> None:
    inner = [
        node("Add", "h one", "h_new"),
        node("ReduceMax", "h_new", "most", keepdims=0),
        node("Less", "most ends", "more"),
    ]
    constants = {"one": np.float32(1), "ends": np.float32(3)}
    made = loop(
        inner, [("h", "h_new", FLOAT, "x")], ["h"], cond="yes", more="more", constants=constants
    )
    given = {"M": np.array(9), "yes": np.array(start)}
    proto = model([made], {"x": [2, 3]}, ["h_last", "h_all"], given)
    check(proto, {"x": X[0]})
    assert step_of(proto).node.inputs[1] == "yes"


def rows(
    matrix: np.ndarray[Any, Any] | str, *, trips: str = "M", number: str = "i", **shapes: Any
) -> ModelProto:
    """h after each row of x: h = softsign(h + row · matrix + exp(y)), with M 4."""
    constants = {} if isinstance(matrix, str) else {"w": matrix}
    inner = [
        node("Gather", f"x {number}", "row"),
        node("MatMul", f"row {'w' if constants else matrix}", "product"),
        node("Exp", "y", "same"),
        node("Add", "product same", "sum"),
        node("Add", "sum h", "z"),
        node("Softsign", "z", "h_new"),
    ]
    made = loop(inner, [("h", "h_new", FLOAT, "zero")], ["h_new"], trips=trips, constants=constants)
    given = {"zero": ZERO, "first": np.array(0)}
    given |= {"M": np.array(4)} if trips == "M" else {}
    return model(
        [made],
        {"x": [4, 2, 3], "y": [3], **shapes},
        ["h_new_all"],
        given,
        dtypes={"count": np.int64},
    )


FEED = {"x": X, "y": X[0, 0]}
MATRIX = np.random.default_rng(4).standard_normal((3, 3)).astype(np.float32)


def test_product_of_rows_and_what_stays_the_same() -> None:
    proto = rows(MATRIX)
    assert sorted(check(proto, FEED)) == ["Dense*", "Exp", "Loop"]
    assert body_of(proto) == ["Gather", "Add", "Add", "Softsign"]


def test_matrix_that_is_not_known() -> None:
    proto = rows("v", v=[3, 3])
    assert check(proto, {**FEED, "v": MATRIX}) == ["Exp", "Loop"]


def test_same_row_in_each() -> None:
    """Then the row and its product are the same in each iteration too."""
    proto = rows(MATRIX, number="first")
    assert "MatMul" not in body_of(proto)
    check(proto, FEED)


@pytest.mark.parametrize("trips", [0, 2, 4])
def test_number_of_iterations_that_is_not_known(trips: int) -> None:
    """Nothing is computed before a loop that may not run at all."""
    proto = rows(MATRIX, trips="count", count=[])
    assert check(proto, {**FEED, "count": np.array(trips)}) == ["Loop"]


def test_what_fails_in_a_body_that_never_runs() -> None:
    """y[7] does not exist, and is not asked for."""
    inner = [node("Gather", "y seven", "none"), node("Add", "h none", "h_new")]
    made = loop(inner, [("h", "h_new", FLOAT, "zero")], constants={"seven": np.array(7)})
    proto = model([made], {"y": ["K"]}, ["h_last"], {"M": np.array(0), "zero": ZERO})
    (last,) = so.InferenceSession(proto).run(None, {"y": X[0, 0]})
    np.testing.assert_array_equal(last, ZERO)


def test_random_numbers_are_drawn_anew() -> None:
    inner = [node("RandomUniform", "", "u", shape=[2, 3]), node("Add", "h u", "h_new")]
    inner[0].ClearField("input")
    made = loop(inner, [("h", "h_new", FLOAT, "zero")], ["u"])
    proto = model([made], {"y": [3]}, ["u_all"], {"M": np.array(3), "zero": ZERO})
    (drawn,) = so.InferenceSession(proto).run(None, {"y": X[0, 0]})
    assert len(np.unique(drawn)) == drawn.size


def test_observers_see_the_steps_inside() -> None:
    seen: list[str] = []

    watch = SimpleNamespace(
        before=lambda node, _inputs: seen.append(node.op_type), after=lambda *_: None
    )
    so.InferenceSession(rows(MATRIX)).run(None, FEED, observer=watch)
    assert seen.count("Softsign") == 4
    seen.clear()
    so.InferenceSession(rows(MATRIX), optimize=False).run(None, FEED, observer=watch)
    assert seen.count("MatMul") == seen.count("Exp") == 4


def test_names_that_mean_something_else_inside() -> None:
    """w is handed through and is y outside; in the branches of the body y is another value."""

    def branch(name: str, op_type: str) -> Any:
        nodes = [node("Neg", "h", "y"), node(op_type, "y w", name)]
        return helper.make_graph(nodes, name, [], [value(name, FLOAT, None)])

    inner = [
        node("ReduceSum", "h", "total", keepdims=0),
        node("Less", "total nothing", "flag"),
        helper.make_node(
            "If",
            ["flag"],
            ["h_new"],
            then_branch=branch("a", "Add"),
            else_branch=branch("b", "Mul"),
        ),
    ]
    carried = [("h", "h_new", FLOAT, "x"), ("w", "w", FLOAT, "y")]
    made = loop(inner, carried, constants={"nothing": np.float32(0)})
    proto = model([made], {"x": [2, 3], "y": [2, 3]}, ["h_last"], {"M": np.array(3)})
    feed = {"x": X[0], "y": X[1]}
    plain, optimised = (
        so.InferenceSession(proto, optimize=optimize).run(None, feed)[0]
        for optimize in (False, True)
    )
    h = X[0]
    for _ in range(3):
        h = -h + X[1] if h.sum() < 0 else -h * X[1]
    np.testing.assert_allclose(plain, h, rtol=1e-5)
    np.testing.assert_allclose(optimised, h, rtol=1e-5)


def test_two_loops_whose_bodies_have_names_in_common() -> None:
    first = rows(MATRIX).graph.node[0]
    second = helper.make_node("Loop", first.input, ["other", "other_all"])
    second.attribute.extend(first.attribute)
    constants = {"zero": ZERO, "M": np.array(4)}
    nodes = [first, second, node("Sub", "h_new_all other_all", "difference")]
    proto = model(nodes, {"x": [4, 2, 3], "y": [3]}, ["h_new_all", "difference"], constants)
    check(proto, FEED)
    np.testing.assert_array_equal(so.InferenceSession(proto).run(["difference"], FEED)[0], 0)

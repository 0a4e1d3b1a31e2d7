"""Fast recurrent nodes against the plain operators and onnxruntime, by all ways of computing."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from graphs import check, model, node, steps
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, helper
from oracles import assert_same

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter.fast import recurrent

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
KINDS = st.sampled_from(sorted(GATES))
DIRECTIONS = ["forward", "reverse", "bidirectional"]
BATCHES = st.sampled_from([0, 1, 2, 17, 40])
STEPS = st.sampled_from([0, 1, 2, 5, 40])
# How the choice between the ways is made: as it is; always the wave, layers apart, or rows.
WAVE, APART, ROWS = (10**6, 10**9), (10**6, -1), (0, 0)
WAYS = st.sampled_from([None, WAVE, APART, ROWS])
VOCABULARY = 11


class Graph:
    """Nodes and constants, added one after the other."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Any] = {}

    def draw(self, *shape: int, scale: float = 0.5) -> Any:
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def layer(
        self,
        kind: str,
        x: str,
        inputs: int,
        hidden: int,
        outputs: Sequence[str],
        *,
        direction: str = "forward",
        bias: bool = True,
        initial: Sequence[str] = (),
        **attributes: Any,
    ) -> None:
        """A recurrent node with random weights."""
        directions = 2 if direction == "bidirectional" else 1
        place = len(self.nodes)
        rows = GATES[kind] * hidden
        names = [x, f"w{place}", f"r{place}", f"b{place}" if bias else ""]
        self.constants[f"w{place}"] = self.draw(directions, rows, inputs)
        self.constants[f"r{place}"] = self.draw(directions, rows, hidden)
        if bias:
            self.constants[f"b{place}"] = self.draw(directions, 2 * rows)
        if initial:
            names += ["", *initial]
        self.nodes.append(
            helper.make_node(
                kind, names, list(outputs), hidden_size=hidden, direction=direction, **attributes
            )
        )

    def merge(self, kind: str, y: str, out: str, directions: int, width: int) -> None:
        """What tf2onnx writes behind a layer to make (T, N, D * H) of Y, and (N, D * H) of Y_h."""
        axis = 1 if kind == "Y" else 0
        if directions == 1:
            self.constants[f"{out}axes"] = np.array([axis])
            self.nodes.append(node("Squeeze", f"{y} {out}axes", out))
            return
        shape = [0, 0, width] if kind == "Y" else [-1, width]
        self.constants[f"{out}shape"] = np.array(shape)
        perm = (0, 2, 1, 3) if kind == "Y" else (1, 0, 2)
        self.nodes.append(node("Transpose", y, f"{out}t", perm=perm))
        self.nodes.append(node("Reshape", f"{out}t {out}shape", out))


def compare(
    proto: ModelProto, feed: dict[str, Any], way: tuple[int, int] | None, kinds: int = 1
) -> None:
    """Fast against plain, and against onnxruntime where there is something to compute."""
    before = recurrent.WAVE_BATCH, recurrent.WAVE_WASTE
    recurrent.WAVE_BATCH, recurrent.WAVE_WASTE = way or before
    try:
        plain = so.InferenceSession(proto, optimize=False).run(None, feed)
        session = so.InferenceSession(proto, threads=1)
        assert steps(session) == ["Recurrent*"] * kinds
        for _ in range(2):  # buffers are used again
            assert_same(session.run(None, feed), plain, 1e-4, 2e-5)
        x = feed["x"]
        # onnxruntime's sigmoid makes a number of NaN.
        if x.shape[0] and x.shape[1] and not np.isnan(x).any():
            check(proto, feed, rtol=1e-4, atol=2e-5)
    finally:
        recurrent.WAVE_BATCH, recurrent.WAVE_WASTE = before


@given(
    kind=KINDS,
    direction=st.sampled_from(DIRECTIONS),
    length=STEPS,
    batch=BATCHES,
    inputs=st.integers(1, 9),
    hidden=st.integers(1, 40),
    bias=st.booleans(),
    initial=st.booleans(),
    reset_after=st.integers(0, 1),
    wanted=st.lists(st.booleans(), min_size=3, max_size=3).filter(lambda w: any(w[:2])),
    way=WAYS,
    seed=st.integers(0, 1000),
)
def test_layer(
    kind: str,
    direction: str,
    length: int,
    batch: int,
    inputs: int,
    hidden: int,
    bias: bool,
    initial: bool,
    reset_after: int,
    wanted: list[bool],
    way: tuple[int, int] | None,
    seed: int,
) -> None:
    graph = Graph(seed)
    directions = 2 if direction == "bidirectional" else 1
    count = 3 if kind == "LSTM" else 2
    names = ["Y", "Y_h", "Y_c"][:count]
    outputs = [name if want else "" for name, want in zip(names, wanted, strict=False)]
    state = ["N" if batch else 0, hidden]
    shapes: dict[str, Any] = {"x": ["T", "N", inputs]}
    feed = {"x": graph.draw(length, batch, inputs, scale=1.0)}
    given_states = ["h0", "c0"][: count - 1] if initial else []
    for name in given_states:
        shapes[name] = [directions, *state]
        feed[name] = graph.draw(directions, batch, hidden)
    options = {"linear_before_reset": reset_after} if kind == "GRU" else {}
    graph.layer(
        kind, "x", inputs, hidden, outputs,
        direction=direction, bias=bias, initial=given_states, **options,
    )  # fmt: skip
    proto = model(graph.nodes, shapes, [name for name in outputs if name], graph.constants)
    compare(proto, feed, way)


@given(
    kind=KINDS,
    direction=st.sampled_from(["forward", "reverse"]),
    lookup=st.booleans(),
    batch_first=st.booleans(),
    length=st.sampled_from([0, 1, 2, 3, 5, 40]),
    batch=BATCHES,
    hidden=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    reset_after=st.integers(0, 1),
    result=st.sampled_from(["Y", "Y batch first", "Y_h", "Y merged and Y_h"]),
    way=WAYS,
    seed=st.integers(0, 1000),
)
def test_stack(
    kind: str,
    direction: str,
    lookup: bool,
    batch_first: bool,
    length: int,
    batch: int,
    hidden: list[int],
    reset_after: int,
    result: str,
    way: tuple[int, int] | None,
    seed: int,
) -> None:
    """Of layers that read the whole sequence of the one below two are one node."""
    graph = Graph(seed)
    options = {"linear_before_reset": reset_after} if kind == "GRU" else {}
    width = 6
    order = ["N", "T"] if batch_first else ["T", "N"]
    size = (batch, length) if batch_first else (length, batch)
    name, shape, feed = stack_input(graph, lookup, order, size, width)
    if batch_first:
        graph.nodes.append(node("Transpose", name, "time_first", perm=(1, 0, 2)))
        name = "time_first"
    for place, units in enumerate(hidden):
        last = place == len(hidden) - 1
        outputs = [f"y{place}", "Y_h"] if last and "Y_h" in result else [f"y{place}"]
        graph.layer(kind, name, width, units, outputs, direction=direction, **options)
        if not last or result != "Y":
            graph.merge("Y", f"y{place}", f"merged{place}", 1, units)
        name, width = f"merged{place}", units
    top = len(hidden) - 1
    if result == "Y batch first":
        graph.nodes.append(node("Transpose", f"merged{top}", "swapped", perm=(1, 0, 2)))
    wanted = {
        "Y": [f"y{top}"],
        "Y batch first": ["swapped"],
        "Y_h": ["Y_h"],
        "Y merged and Y_h": [f"merged{top}", "Y_h"],
    }[result]
    kinds = {"x": np.int32 if lookup else np.float32}
    proto = model(graph.nodes, {"x": shape}, wanted, graph.constants, dtypes=kinds)
    compare(proto, {"x": feed}, way, -(-len(hidden) // 2))


def stack_input(
    graph: Graph, lookup: bool, order: list[str], size: tuple[int, int], width: int
) -> tuple[str, list[Any], Any]:
    """The name of the vectors, the shape of the input, and what is fed."""
    if not lookup:
        return "x", [*order, width], graph.draw(*size, width, scale=1.0)
    graph.constants["table"] = graph.draw(VOCABULARY, width, scale=1.0)
    graph.nodes.append(node("Gather", "table x", "vectors"))
    indices = graph.rng.integers(-VOCABULARY, VOCABULARY, size).astype(np.int32)
    return "vectors", list(order), indices


@given(
    kind=KINDS,
    lookup=st.booleans(),
    length=st.sampled_from([1, 2, 5, 40]),
    batch=st.sampled_from([1, 2, 17, 40]),
    hidden=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    sequence=st.booleans(),
    way=WAYS,
    seed=st.integers(0, 1000),
)
def test_bidirectional_stack(
    kind: str,
    lookup: bool,
    length: int,
    batch: int,
    hidden: list[int],
    sequence: bool,
    way: tuple[int, int] | None,
    seed: int,
) -> None:
    """Layers of two directions stay nodes of their own; all between them goes."""
    graph = Graph(seed)
    width = 6
    name, shape, feed = stack_input(graph, lookup, ["T", "N"], (length, batch), width)
    for place, units in enumerate(hidden):
        last = place == len(hidden) - 1
        y = "Y" if not last or sequence else "Y_h"
        outputs = [f"y{place}"] if y == "Y" else ["", f"y{place}"]
        graph.layer(kind, name, width, units, outputs, direction="bidirectional")
        graph.merge(y, f"y{place}", f"merged{place}", 2, 2 * units)
        name, width = f"merged{place}", 2 * units
    kinds = {"x": np.int32 if lookup else np.float32}
    proto = model(graph.nodes, {"x": shape}, [name], graph.constants, dtypes=kinds)
    compare(proto, {"x": feed}, way, len(hidden))


@pytest.mark.parametrize("way", [None, WAVE, APART, ROWS])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", sorted(GATES))
@pytest.mark.parametrize("batch", [1, 3])
def test_infinities_and_nan(
    kind: str, direction: str, batch: int, way: tuple[int, int] | None
) -> None:
    """They reach just what they reach in the plain operators: their own sample, and what comes
    after them in its direction. The layers of a stack meet in one product, with 0 between."""
    graph = Graph(3)
    graph.layer(kind, "x", 5, 7, ["y0"], direction=direction)
    nodes, wanted = 1, "y0"
    if direction != "bidirectional":
        graph.merge("Y", "y0", "m0", 1, 7)
        graph.layer(kind, "m0", 7, 4, ["y1"], direction=direction)
        graph.merge("Y", "y1", "m1", 1, 4)
        graph.layer(kind, "m1", 4, 3, ["y2"], direction=direction)
        nodes, wanted = 2, "y2"
    proto = model(graph.nodes, {"x": ["T", "N", 5]}, [wanted], graph.constants)
    for value in (np.inf, -np.inf, np.nan, 1e30):
        x = graph.draw(6, batch, 5)
        x[2, 0, 1] = value
        compare(proto, {"x": x}, way, nodes)


@pytest.mark.parametrize("way", [WAVE, APART, ROWS])
@pytest.mark.parametrize("kind", sorted(GATES))
def test_saturation(kind: str, way: tuple[int, int]) -> None:
    """Gates at 0 and 1: where e^x overflows, the sigmoid is 0."""
    graph = Graph(4)
    graph.layer(kind, "x", 3, 8, ["Y", "Y_h"])
    graph.constants["w0"] *= 1000
    proto = model(graph.nodes, {"x": ["T", "N", 3]}, ["Y", "Y_h"], graph.constants)
    compare(proto, {"x": graph.draw(9, 5, 3, scale=3.0)}, way)


@pytest.mark.parametrize("kind", sorted(GATES))
def test_heavy_layers(kind: str) -> None:
    """Large matrices are kept apart at any batch size."""
    graph = Graph(9)
    graph.layer(kind, "x", 600, 80, ["y0"])
    graph.merge("Y", "y0", "m0", 1, 80)
    graph.layer(kind, "m0", 80, 5, ["y1", "h"])
    for name in ("w0", "r0"):
        graph.constants[name] *= 0.1
    proto = model(graph.nodes, {"x": ["T", "N", 600]}, ["y1", "h"], graph.constants)
    for batch in (1, 20):
        compare(proto, {"x": graph.draw(3, batch, 600)}, None)


def test_long_sequences_keep_no_projections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "MAX_PROJECTIONS", 4 * 8 * 10 - 1)
    proto = lookup_model("T")
    indices = np.random.default_rng(2).integers(0, VOCABULARY, (2, 9))
    check(proto, {"x": indices})
    session = so.InferenceSession(proto, threads=1)
    session.run(None, {"x": indices})
    kernel: Any = session.plan.steps[0].call
    assert kernel.rows.kept
    assert not kernel.together.kept


def test_weights_that_can_overflow_are_not_joined() -> None:
    """0 times infinity would reach from one layer to the other."""
    graph = Graph(5)
    graph.layer("LSTM", "x", 3, 4, ["y0"])
    graph.merge("Y", "y0", "m0", 1, 4)
    graph.layer("LSTM", "m0", 4, 5, ["y1"])
    graph.constants["w2"][0, 0, 0] = np.inf
    proto = model(graph.nodes, {"x": ["T", "N", 3]}, ["y1"], graph.constants)
    compare(proto, {"x": graph.draw(5, 2, 3)}, None, 2)


def lookup_model(length: int | str = 9, kind: str = "LSTM") -> ModelProto:
    graph = Graph(6)
    graph.constants["table"] = graph.draw(VOCABULARY, 6)
    graph.nodes.append(node("Gather", "table x", "vectors"))
    graph.nodes.append(node("Transpose", "vectors", "time_first", perm=(1, 0, 2)))
    graph.layer(kind, "time_first", 6, 8, ["y0"])
    graph.merge("Y", "y0", "m0", 1, 8)
    graph.layer(kind, "m0", 8, 5, ["", "Y_h"])
    graph.merge("Y_h", "Y_h", "out", 1, 5)
    shape = ["N", length]
    return model(graph.nodes, {"x": shape}, ["out"], graph.constants, dtypes={"x": np.int64})


@pytest.mark.parametrize("index", [VOCABULARY, -VOCABULARY - 1, 2**40])
@pytest.mark.parametrize("batch", [1, 20])
def test_index_out_of_range(index: int, batch: int) -> None:
    """The plain Gather's error."""
    indices = np.zeros((batch, 9), np.int64)
    indices[-1, 4] = index
    for optimize in (True, False):
        session = so.InferenceSession(lookup_model(), optimize=optimize)
        with pytest.raises(so.RunError, match=f"index {index} is out of range for axis 0 of size"):
            session.run(None, {"x": indices})


def test_initial_state_of_another_shape() -> None:
    graph = Graph(7)
    graph.layer("LSTM", "x", 3, 4, ["Y"], initial=["h0", "c0"])
    shapes = {"x": ["T", "N", 3], "h0": [1, "M", 4], "c0": [1, "M", 4]}
    proto = model(graph.nodes, shapes, ["Y"], graph.constants)
    feed = {"x": graph.draw(2, 5, 3), "h0": graph.draw(1, 1, 4), "c0": graph.draw(1, 1, 4)}
    for optimize in (True, False):
        with pytest.raises(so.RunError, match=r"initial_h must have the shape \[1, 5, 4\]"):
            so.InferenceSession(proto, optimize=optimize).run(None, feed)


@pytest.mark.parametrize("kind", sorted(GATES))
def test_threads_and_pickle(kind: str) -> None:
    """Many threads on one session, batches of several sizes and lengths: each gets what one
    thread alone gets, bit for bit; so does a session that was pickled."""
    proto = lookup_model("T", kind)
    session = so.InferenceSession(proto, threads=1)
    rng = np.random.default_rng(0)
    feeds = [
        {"x": rng.integers(0, VOCABULARY, (batch, length))}
        for batch in (1, 2, 30)
        for length in (1, 4, 7, 12)
    ] * 2
    expected = [session.run(None, feed)[0] for feed in feeds]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda feed: session.run(None, feed)[0], feeds * 3))
    again = pickle.loads(pickle.dumps(session))
    results += [again.run(None, feed)[0] for feed in feeds]
    for result, reference in zip(results, expected * 4, strict=True):
        np.testing.assert_array_equal(result, reference)


@pytest.mark.parametrize("batch", [3, 16, 300])
def test_batch_in_parts(batch: int) -> None:
    """A batch that is split gives what it gives whole."""
    proto = lookup_model()
    session = so.InferenceSession(proto, threads=2)
    assert session.executor.split is not None
    indices = np.random.default_rng(1).integers(0, VOCABULARY, (batch, 9))
    plain = so.InferenceSession(proto, optimize=False).run(None, {"x": indices})
    assert_same(session.run(None, {"x": indices}), plain, 1e-4, 1e-5)


def test_results_are_not_overwritten() -> None:
    """What a run returned stays as it was when the session runs again."""
    graph = Graph(8)
    graph.layer("LSTM", "x", 3, 4, ["Y", "Y_h", "Y_c"])
    proto = model(graph.nodes, {"x": ["T", "N", 3]}, ["Y", "Y_h", "Y_c"], graph.constants)
    session = so.InferenceSession(proto)
    for batch in (1, 20):
        first = session.run(None, {"x": graph.draw(4, batch, 3)})
        kept = [array.copy() for array in first]
        session.run(None, {"x": graph.draw(4, batch, 3)})
        for array, copy in zip(first, kept, strict=True):
            np.testing.assert_array_equal(array, copy)

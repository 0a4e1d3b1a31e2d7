"""What a run holds on to: a convolution's patches in tiles, values until their last use."""

from __future__ import annotations

import tracemalloc
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from graphs import model, node
from onnx import ModelProto, helper

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter import executor

MIB = 2**20
RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


def extra_bytes(session: so.InferenceSession, x: Any) -> int:
    """The most that a run holds beyond its input and its outputs."""
    session.run(None, {"x": x})  # buffers that are kept between runs are made now
    tracemalloc.start()
    try:
        outputs = session.run(None, {"x": x})
        return tracemalloc.get_traced_memory()[1] - sum(output.nbytes for output in outputs)
    finally:
        tracemalloc.stop()


KINDS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3x3": ((16, 16, 3, 3), (16, 32, 32), {"pads": [1, 1, 1, 1]}),
    "5x5 of stride 2": ((16, 8, 5, 5), (8, 32, 32), {"strides": [2, 2]}),
    "1x1": ((16, 16, 1, 1), (16, 32, 32), {}),
    "groups": ((16, 4, 3, 3), (16, 32, 32), {"group": 4}),
    "depthwise": ((16, 1, 3, 3), (16, 32, 32), {"group": 16, "pads": [1, 1, 1, 1]}),
    "one axis": ((16, 8, 9), (8, 1024), {}),
    "three axes": ((8, 4, 3, 3, 3), (4, 12, 12, 12), {}),
}


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a batch so small that a test's batch has several."""
    monkeypatch.setattr(executor, "PART_BYTES", MIB // 2)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_convolutions_memory_does_not_grow_with_the_batch(kind: str, optimize: bool) -> None:
    weight, image, attributes = KINDS[kind]
    nodes = [node("Conv", "x w", "y", **attributes)]
    proto = model(nodes, {"x": ["N", *image]}, ["y"], {"w": normal(*weight)})
    session = so.InferenceSession(proto, optimize=optimize, threads=1)
    some, many = (extra_bytes(session, normal(batch, *image)) for batch in (128, 512))
    assert some <= 16 * MIB
    assert many <= some + MIB // 4


@pytest.mark.usefixtures("small_parts")
def test_a_networks_memory_does_not_grow_with_the_batch() -> None:
    proto = model(
        [
            node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
            node("Relu", "c", "r"),
            node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
            node("Flatten", "p", "f"),
            node("Gemm", "f d", "y"),
        ],
        {"x": ["N", 3, 32, 32]},
        ["y"],
        {"w": normal(16, 3, 3, 3), "d": normal(4096, 10)},
    )
    session = so.InferenceSession(proto, threads=1)
    some, many = (extra_bytes(session, normal(batch, 3, 32, 32)) for batch in (64, 512))
    assert some <= 4 * MIB  # the convolution's output alone is 4 MiB for 64 images, 32 for 512
    assert many <= some + MIB // 4


class Watch:
    """Keeps no value alive, and asks before each node which of those seen still are."""

    def __init__(self) -> None:
        self.seen: dict[str, weakref.ref[Any]] = {}
        self.alive: dict[str, set[str]] = {}

    def before(self, node: Any, inputs: Sequence[Any]) -> None:  # noqa: ARG002
        self.alive[node.outputs[0]] = {name for name, ref in self.seen.items() if ref() is not None}

    def after(self, node: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:  # noqa: ARG002
        for name, value in zip(node.outputs, outputs, strict=True):
            self.seen[name] = weakref.ref(value)


def watched(proto: ModelProto, x: Any, optimize: bool = False) -> dict[str, set[str]]:
    watch = Watch()
    so.InferenceSession(proto, optimize=optimize).run(None, {"x": x}, observer=watch)
    return watch.alive


def test_values_are_dropped_after_their_last_use() -> None:
    proto = model(
        [
            node("Exp", "x", "a"),
            node("Neg", "a", "b"),
            node("Add", "a b", "c"),
            node("Abs", "c", "d"),
            node("Sqrt", "d", "y"),
            node("Sin", "d", "e"),
            node("Cos", "e", "z"),
        ],
        {"x": ["N", 4]},
        ["y", "z"],
    )
    alive = watched(proto, normal(3, 4))
    assert alive == {
        "a": set(),
        "b": {"a"},
        "c": {"a", "b"},  # read twice
        "d": {"c"},
        "y": {"d"},
        "e": {"d", "y"},  # an output stays
        "z": {"e", "y"},
    }


def test_outputs_that_nobody_reads_are_dropped_at_once() -> None:
    proto = model(
        [node("TopK", "x k", "values places"), node("Neg", "values", "n"), node("Abs", "n", "y")],
        {"x": ["N", 4]},
        ["y"],
        {"k": np.array([2])},
    )
    assert watched(proto, normal(3, 4)) == {"values": set(), "n": {"values"}, "y": {"n"}}


def test_values_of_a_subgraph_are_dropped_too() -> None:
    body = helper.make_graph(
        [
            node("Identity", "more", "again"),
            node("Exp", "state", "grown"),
            node("Neg", "grown", "fallen"),
            node("Abs", "fallen", "next"),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", 7, []),
            helper.make_tensor_value_info("more", 9, []),
            helper.make_tensor_value_info("state", 1, ["N", 4]),
        ],
        [
            helper.make_tensor_value_info("again", 9, []),
            helper.make_tensor_value_info("next", 1, ["N", 4]),
        ],
    )
    proto = model(
        [node("Exp", "x", "first"), node("Loop", "count yes first", "y", body=body)],
        {"x": ["N", 4]},
        ["y"],
        {"count": np.array(3), "yes": np.array(True)},
    )
    alive = watched(proto, normal(3, 4))
    assert "grown" not in alive["next"]
    assert "fallen" in alive["next"]


def test_a_run_leaves_nothing_behind() -> None:
    """The inputs, and what came out, are the caller's alone when the run has ended."""
    proto = model([node("Exp", "x", "a"), node("Neg", "a", "y")], {"x": ["N", 4]}, ["y"])
    session = so.InferenceSession(proto)
    x = normal(3, 4)
    (y,) = session.run(None, {"x": x})
    references = weakref.ref(x), weakref.ref(y)
    del x, y
    assert [reference() for reference in references] == [None, None]

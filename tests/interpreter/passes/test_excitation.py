"""Squeeze and excitation: where its nodes are joined, and look-alikes where they must not be.

Every graph is run too: ``check`` compares plain and optimised with onnxruntime.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import check, model, node
from onnx import NodeProto

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


CONSTANTS: dict[str, Any] = {
    "w": normal(6, 3, 3, 3),
    "reduce": normal(2, 6, 1, 1),
    "a": normal(2),
    "expand": normal(6, 2, 1, 1),
    "b": normal(6),
    "project": normal(4, 6, 1, 1),
    "p": normal(4),
    "third": normal(4, 6, 3, 3),
    "spatial": np.array([2, 3]),
    "flat": np.array([0, 6]),
    "pixel": np.array([0, 6, 1, 1]),
    "pairs": np.array([9, 2, 1, 1]),
    "two": np.float32(2),
}
IMAGE = node("Conv", "x w", "i", pads=[1, 1, 1, 1])
MEAN = [node("GlobalAveragePool", "i", "m")]
LAYERS = [
    node("Conv", "m reduce a", "r"),
    node("Relu", "r", "s"),
    node("Conv", "s expand b", "e"),
    node("Sigmoid", "e", "g"),
]
SCALED = [node("Mul", "i g", "f")]
PROJECTED = [node("Conv", "f project p", "y")]


def ops(
    nodes: list[NodeProto], outputs: tuple[str, ...] = ("y",), size: int = 6, batch: int = 3
) -> str:
    proto = model(nodes, {"x": ["N", 3, size, size]}, outputs, CONSTANTS)
    found = check(proto, {"x": normal(batch, 3, size, size)})
    return " ".join(name for name in found if name != "Transpose")


@pytest.mark.parametrize("batch", [0, 1, 3, 9])
@pytest.mark.parametrize("size", [1, 2, 6])  # the image scaled, or the matrix
@pytest.mark.parametrize("scaled", [node("Mul", "i g", "f"), node("Mul", "g i", "f")])
def test_it_is_a_gate_and_a_scaled_convolution(batch: int, size: int, scaled: NodeProto) -> None:
    nodes = [IMAGE, *MEAN, *LAYERS, scaled, *PROJECTED]
    assert ops(nodes, size=size, batch=batch) == "Conv* Gate* ScaledConv*"


@pytest.mark.parametrize(
    "mean",
    [
        [
            node("ReduceMean", "i spatial", "n", keepdims=0),
            node("Reshape", "n pixel", "m"),
        ],
        [
            node("GlobalAveragePool", "i", "n"),
            node("Reshape", "n flat", "o"),
            node("Unsqueeze", "o spatial", "m"),
        ],
    ],
)
def test_it_sees_through_what_moves_no_element(mean: list[NodeProto]) -> None:
    assert ops([IMAGE, *mean, *LAYERS, *SCALED, *PROJECTED]) == "Conv* Gate* ScaledConv*"


def test_the_residual_and_activation_stay() -> None:
    tail = [node("Conv", "f project p", "q"), node("Conv", "i project", "z")]
    tail += [node("Add", "q z", "v"), node("Relu", "v", "y")]
    found = ops([IMAGE, *MEAN, *LAYERS, *SCALED, *tail])
    assert found.count("ScaledConv*") == 1
    assert "Add" not in found
    assert "Relu" not in found


def test_a_mean_that_others_read_stays() -> None:
    nodes = [IMAGE, *MEAN, *LAYERS, *SCALED, *PROJECTED]
    assert "Gate*" not in ops([*nodes, node("Neg", "m", "z")], ("y", "z"))
    assert "Gate*" not in ops(nodes, ("y", "m"))


def test_means_that_are_shared_out_anew_stay() -> None:
    nodes = [IMAGE, node("GlobalAveragePool", "i", "n"), node("Reshape", "n pairs", "m")]
    assert "Gate*" not in ops([*nodes, node("Conv", "m expand b", "y")])


def test_a_gate_ends_where_others_read() -> None:
    nodes = [IMAGE, *MEAN, *LAYERS, *SCALED, *PROJECTED]
    # What is left of the layers is a node behind the gate.
    assert ops(nodes, ("y", "s")) == "Conv* Gate* Conv* ScaledConv*"
    assert ops(nodes, ("y", "g")) == "Conv* Gate* ScaledConv*"


@pytest.mark.parametrize(
    "tail",
    [
        [*SCALED, node("Conv", "f third p", "y")],
        [*SCALED, node("Conv", "f project p", "y", strides=[2, 2])],
        [*SCALED, node("Conv", "f project p", "y", pads=[0, 1, 0, 0])],
        [node("Add", "i g", "f"), *PROJECTED],
        [node("Mul", "i two", "f"), node("Conv", "f project p", "h"), node("Mul", "h g2", "y")],
    ],
)
def test_other_convolutions_are_not_scaled(tail: list[NodeProto]) -> None:
    layers = list(LAYERS)
    if tail[-1].op_type == "Mul":  # the gates come after the convolution
        layers += [node("Conv", "g project", "c2"), node("Sigmoid", "c2", "g2")]
    assert "ScaledConv*" not in ops([IMAGE, *MEAN, *layers, *tail])


def test_a_scale_that_may_be_large_stays() -> None:
    layers = [*LAYERS[:-1], node("Relu", "e", "g")]
    assert ops([IMAGE, *MEAN, *layers, *SCALED, *PROJECTED]) == "Conv* Gate* Mul Conv*"


def test_scales_of_pixels_stay() -> None:
    gates = [node("Conv", "i reduce a", "r"), node("Conv", "r expand b", "e")]
    gates += [node("Sigmoid", "e", "g")]
    assert "ScaledConv*" not in ops([IMAGE, *gates, *SCALED, *PROJECTED])


def test_a_scaled_image_that_others_read_stays() -> None:
    nodes = [IMAGE, *MEAN, *LAYERS, *SCALED, *PROJECTED]
    assert ops(nodes, ("y", "f")) == "Conv* Gate* Mul Conv*"

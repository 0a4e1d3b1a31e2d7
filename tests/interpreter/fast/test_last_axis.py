"""Softmax, layer normalisation, GELU and stacked products against onnxruntime."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from graphs import check, model, node
from hypothesis import given
from hypothesis import strategies as st

from scratch_onnx.interpreter.fast.activations import gelu_

RNG = np.random.default_rng(0)
SHAPES = st.sampled_from(
    [(0, 4), (1, 1), (3, 7), (2, 5, 33), (9, 2, 128), (40, 3, 0), (9, 600, 40)]
)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


@given(shape=SHAPES, scale=st.sampled_from([1, 100]))
def test_softmax(shape: tuple[int, ...], scale: int) -> None:
    proto = model([node("Softmax", "x", "y")], {"x": ["N", *shape[1:]]}, ["y"])
    if 0 not in shape[1:]:  # onnxruntime refuses an empty axis
        assert check(proto, {"x": normal(*shape) * np.float32(scale)}) == ["Softmax*"]


@given(shape=SHAPES, bias=st.booleans())
def test_layer_normalization(shape: tuple[int, ...], bias: bool) -> None:
    if 0 in shape[1:]:
        return
    proto = model(
        [node("LayerNormalization", "x s b" if bias else "x s", "y", epsilon=1e-3)],
        {"x": ["N", *shape[1:]]},
        ["y"],
        {"s": normal(shape[-1]), "b": normal(shape[-1])},
    )
    assert check(proto, {"x": normal(*shape)}) == ["LayerNormalization*"]


def test_other_axes_stay_plain() -> None:
    proto = model(
        [node("Softmax", "x", "a", axis=1), node("LayerNormalization", "a s", "y", axis=1)],
        {"x": ["N", 3, 4]},
        ["y"],
        {"s": normal(3, 4)},
    )
    assert check(proto, {"x": normal(2, 3, 4)}) == ["Softmax", "LayerNormalization"]


@given(
    a=st.sampled_from([(9, 2, 3, 4), (9, 1, 3, 4), (9, 2, 0, 4), (9, 2, 1, 4)]),
    b=st.sampled_from([(9, 2, 4, 5), (1, 2, 4, 5), (2, 4, 1)]),
)
def test_stacked_products(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    proto = model([node("MatMul", "a b", "y")], {"a": a, "b": b}, ["y"])
    assert check(proto, {"a": normal(*a), "b": normal(*b)}) == ["MatMul*"]


HALF, ONE, ROOT = np.float32(0.5), np.float32(1), np.float32(math.sqrt(0.5))
FORMS = {
    "torch": ["Div: x two", "Erf: a", "Add: b one", "Mul: x c", "Mul: d half"],
    "half first": ["Mul: x root", "Erf: a", "Add: one b", "Mul: half c", "Mul: d x"],
}


def chain(lines: list[str]) -> list[Any]:
    """Nodes that write a, b, c, ... and last y."""
    split = [line.split(": ") for line in lines]
    return [node(op, inputs, "abcdy"[place]) for place, (op, inputs) in enumerate(split)]


@pytest.mark.parametrize("form", FORMS)
def test_gelu_in_several_nodes(form: str) -> None:
    constants = {"two": 1 / ROOT, "one": ONE, "half": HALF, "root": ROOT}
    proto = model(chain(FORMS[form]), {"x": ["N", 50]}, ["y"], constants)
    assert check(proto, {"x": normal(11, 50) * 3}) == ["Activation*"]


def test_gelu_as_keras_exports_it() -> None:
    nodes = [
        node("Mul", "half x", "h"),
        node("Neg", "x", "n"),
        node("Mul", "n root", "a"),
        node("Erf", "a", "e"),
        node("Sub", "one e", "s"),
        node("Mul", "h s", "y"),
    ]
    proto = model(nodes, {"x": ["N", 50]}, ["y"], {"one": ONE, "half": HALF, "root": ROOT})
    assert check(proto, {"x": normal(11, 50) * 3}) == ["Activation*"]


def test_what_is_only_like_gelu_stays() -> None:
    lines = ["Mul: x root", "Erf: a", "Add: b two", "Mul: x c", "Mul: d half"]
    constants = {"two": 2 * ONE, "half": HALF, "root": ROOT}
    proto = model(chain(lines), {"x": ["N", 50]}, ["y"], constants)
    assert "Erf" in check(proto, {"x": normal(3, 50)})


def test_gelu_against_the_exact_function() -> None:
    """Within a few units in the last place of the largest term, x/2, for every x."""
    x = np.concatenate([np.linspace(-12, 12, 20001), [1e4, -1e4, 1e30, -1e30]]).astype(np.float32)
    y = x.copy()
    with np.errstate(over="ignore"):
        gelu_(y)
    exact = np.array([v / 2 * math.erfc(-v * math.sqrt(0.5)) for v in x.astype(float)])
    assert np.all(np.abs(y - exact) <= 3e-7 * np.maximum(1, np.abs(x)))
    special = np.array([np.nan, np.inf], np.float32)
    gelu_(special)
    assert np.isnan(special[0])
    assert special[1] == np.inf


@given(op_type=st.sampled_from(["Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "HardSigmoid"]))
def test_activations_behind_a_product(op_type: str) -> None:
    proto = model(
        [node("Gemm", "x w b", "g"), node(op_type, "g", "y")],
        {"x": ["N", 5]},
        ["y"],
        {"w": normal(5, 40), "b": normal(40)},
    )
    assert check(proto, {"x": normal(13, 5)}) == ["Dense*"]


def test_silu() -> None:
    proto = model([node("Sigmoid", "x", "s"), node("Mul", "s x", "y")], {"x": ["N", 5]}, ["y"])
    assert check(proto, {"x": normal(13, 5)}) == ["Activation*"]

"""Optimisers: one step by hand, and several variables at once.

onnxruntime has no kernels for this domain; the standard's own cases are in the backend suite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from oracles import enum_of_dtype

import scratch_onnx.interpreter as so

DOMAIN = "ai.onnx.preview.training"
STATES = {"Adam": 2, "Adagrad": 1, "Momentum": 1}


def step(op_type: str, R: float, T: int, groups: list[list[Any]], **attributes: Any) -> list[Any]:
    """``groups``: values of the variables, gradients, states."""
    arrays = [np.array(R, np.float32), np.array(T), *(x for group in groups for x in group)]
    names = [f"x{i}" for i in range(len(arrays))]
    outputs = [f"y{i}" for i in range(len(groups[0]) * (1 + STATES[op_type]))]
    node = helper.make_node(op_type, names, outputs, domain=DOMAIN, **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info(name, enum_of_dtype(x.dtype), x.shape)
            for name, x in zip(names, arrays, strict=True)
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return so.InferenceSession(model).run(None, dict(zip(names, arrays, strict=True)))


def one(value: float, dtype: Any = np.float32) -> list[Any]:
    return [np.array([value], dtype)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("T", [0, 2])
def test_adam(T: int, dtype: Any) -> None:
    X, V, H = step(
        "Adam",
        0.1,
        T,
        [one(x, dtype) for x in (1.0, 0.5, 0.25, 0.125)],
        alpha=0.5,
        beta=0.75,
        epsilon=0.0,
        norm_coefficient=0.5,
        norm_coefficient_post=0.125,
    )
    gradient = 0.5 * 1.0 + 0.5
    v = 0.5 * 0.25 + 0.5 * gradient
    h = 0.75 * 0.125 + 0.25 * gradient**2
    rate = 0.1 * (1 - 0.75**2) ** 0.5 / (1 - 0.5**2) if T else 0.1
    assert X.dtype == V.dtype == H.dtype == dtype
    assert (V.item(), H.item()) == pytest.approx((v, h))
    assert X.item() == pytest.approx(0.875 * (1 - rate * v / h**0.5), rel=1e-6)


def test_adagrad() -> None:
    X, H = step(
        "Adagrad", 0.5, 3, [one(x) for x in (1.0, 0.5, 3.0)], decay_factor=1.0, epsilon=1.0,
        norm_coefficient=0.5,
    )  # fmt: skip
    assert H.item() == 3.0 + 1.0
    assert X.item() == pytest.approx(1 - (0.5 / 4) * 1.0 / (2 + 1))


@pytest.mark.parametrize("mode", ["standard", "nesterov"])
@pytest.mark.parametrize("T", [0, 1])
def test_momentum(mode: str, T: int) -> None:
    X, V = step(
        "Momentum", 0.5, T, [one(x) for x in (1.0, 0.5, 2.0)], alpha=0.5, beta=0.25,
        norm_coefficient=0.5, mode=mode,
    )  # fmt: skip
    v = 0.5 * 2.0 + (0.25 if T else 1.0) * 1.0
    assert V.item() == v
    assert X.item() == 1 - 0.5 * (1.0 + 0.5 * v if mode == "nesterov" else v)


def test_several_variables() -> None:
    """Two variables of different shapes at once are each alone."""
    rng = np.random.default_rng(0)
    shapes = [(2, 3), (4,)]
    groups = [[rng.random(shape).astype(np.float32) for shape in shapes] for _ in range(4)]
    together = step("Adam", 0.1, 5, groups)
    for variable in range(2):
        alone = step("Adam", 0.1, 5, [[group[variable]] for group in groups])
        for a, b in zip(together[variable::2], alone, strict=True):
            np.testing.assert_array_equal(a, b)

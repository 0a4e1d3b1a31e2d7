"""Products of float16 and bfloat16: computed in float32, rounded once."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from graphs import check, model, node, steps

import scratch_onnx.interpreter as so

RNG = np.random.default_rng(0)
KINDS = [np.float16, ml_dtypes.bfloat16]


def normal(kind: Any, *shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_products_round_once(kind: Any) -> None:
    """Each element is the exact sum, rounded: float32 errs too little to be seen but on ties."""
    w, b, x = normal(kind, 64, 6), normal(kind, 6), normal(kind, 9, 64)
    nodes = [node("MatMul", "x w", "y"), node("Gemm", "x w b", "z")]
    proto = model(nodes, {"x": ["N", 64]}, ["y", "z"], {"w": w, "b": b}, dtypes={"x": kind})
    session = so.InferenceSession(proto)
    assert steps(session) == ["Dense*", "Dense*"]
    y, z = session.run(None, {"x": x})
    exact = x.astype(np.float64) @ w.astype(np.float64)
    assert y.dtype == z.dtype == kind
    spacing = float(ml_dtypes.finfo(kind).eps)
    for got, wanted in ((y, exact), (z, exact + b.astype(np.float64))):
        error = np.abs(got.astype(np.float64) - wanted)
        assert (error <= 0.501 * spacing * np.maximum(np.abs(wanted), 2.0**-6)).all()


def test_what_follows_is_rounded_by_itself() -> None:
    """MatMul, Add and Relu round one after another: they are not fused."""
    proto = model(
        [node("MatMul", "x w", "a"), node("Add", "a b", "c"), node("Relu", "c", "y")],
        {"x": ["N", 7, 64]},
        ["y"],
        {"w": normal(np.float16, 64, 6), "b": normal(np.float16, 6)},
        dtypes={"x": np.float16},
    )
    feed = {"x": normal(np.float16, 9, 7, 64)}
    assert check(proto, feed, rtol=2e-3, atol=2e-2) == ["Dense*", "Add", "Relu"]
    plain, fast = (
        so.InferenceSession(proto, optimize=optimize).run(None, feed)[0]
        for optimize in (False, True)
    )
    # Sums in another order may fall to the other side of a tie.
    assert np.mean(plain != fast) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_stacks(kind: Any) -> None:
    nodes = [node("MatMul", "x y", "z"), node("Softmax", "z", "s")]
    shapes = {"x": ["N", 3, 8], "y": ["N", 8, 4]}
    proto = model(nodes, shapes, ["s"], dtypes=dict.fromkeys("xy", kind))
    session = so.InferenceSession(proto)
    assert steps(session) == ["MatMul*", "Softmax"]
    feed = {"x": normal(kind, 2, 3, 8), "y": normal(kind, 2, 8, 4)}
    (plain,) = so.InferenceSession(proto, optimize=False).run(None, feed)
    (fast,) = session.run(None, feed)
    assert fast.dtype == kind
    np.testing.assert_allclose(
        fast.astype(np.float32), plain.astype(np.float32), rtol=float(ml_dtypes.finfo(kind).eps)
    )

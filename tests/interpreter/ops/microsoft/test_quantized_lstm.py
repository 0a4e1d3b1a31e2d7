from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours

MS = {"domain": "com.microsoft", "opset": 1}
T, N, INPUTS, H = 4, 3, 5, 2


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


@st.composite
def layers(draw: Any) -> tuple[list[Any], dict[str, Any]]:
    """Inputs and attributes."""
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    D = 2 if direction == "bidirectional" else 1
    dtype = draw(st.sampled_from([np.uint8, np.int8]))
    limits = np.iinfo(dtype)
    random = np.random.default_rng(draw(st.integers(0, 50)))
    W, R = (
        random.integers(limits.min, limits.max + 1, (D, rows, 4 * H)).astype(dtype)
        for rows in (INPUTS, H)
    )
    shape = (D, 4 * H) if draw(st.booleans()) else (D,)
    scales = [np.abs(normal(*shape, seed=seed)) / 200 + np.float32(0.002) for seed in (1, 2)]
    # onnxruntime takes zero points that are equal in a direction.
    zeros = [np.full(shape, (limits.max + limits.min + 1) // 2, dtype) for _ in range(2)]
    optional = [draw(st.booleans()) for _ in range(4)]
    inputs = [normal(T, N, INPUTS), W, R]
    inputs.append(normal(D, 8 * H) if optional[0] else None)
    inputs.append(np.array([4, 2, 3], np.int32) if optional[1] else None)
    inputs += [normal(D, N, H, seed=i) if optional[2] else None for i in (3, 4)]
    inputs.append(normal(D, 3 * H) if optional[3] else None)
    inputs += [scales[0], zeros[0], scales[1], zeros[1]]
    attributes: dict[str, Any] = {"hidden_size": H, "direction": direction}
    return inputs, attributes


@given(layers())
def test_against_onnxruntime(layer: Any) -> None:
    inputs, attributes = layer
    constants = [i for i in (1, 2, 8, 9, 10, 11) if inputs[i] is not None]
    # h is quantised anew in each step, in 1/255 of its range: a difference in its last digit can
    # become a whole step of that in a few elements.
    check_node(
        "DynamicQuantizeLSTM", inputs, outputs=3, constants=constants, rtol=0, atol=5e-3,
        **attributes, **MS,
    )  # fmt: skip


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_against_the_lstm_of_the_standard(direction: str) -> None:
    # X in steps of 1/255 of its range and no recurrence: nothing is lost in quantisation.
    X = (np.arange(T * N * INPUTS) % 256).reshape(T, N, INPUTS).astype(np.float32)
    X[0, 0, :2] = 0, 255
    W = np.random.default_rng(0).integers(-127, 128, (1, INPUTS, 4 * H)).astype(np.int8)
    R = np.zeros((1, H, 4 * H), np.int8)
    scale, zero = np.array([1e-4], np.float32), np.array([0], np.int8)
    inputs = [X, W, R, None, None, None, None, None, scale, zero, scale, zero]
    attributes = {"hidden_size": H, "direction": direction}
    actual = run_ours("DynamicQuantizeLSTM", inputs, outputs=3, **attributes, **MS)
    floats = [X, (W * np.float32(1e-4)).swapaxes(1, 2), R.astype(np.float32).swapaxes(1, 2)]
    expected = run_ours("LSTM", floats, opset=14, outputs=3, **attributes)
    assert_same(actual, expected, rtol=1e-5, atol=1e-5)

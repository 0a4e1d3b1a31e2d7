from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import arrays, fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import run_ours
from rounded import check_rounded
from typed import dtypes

from scratch_onnx.interpreter.ops import causal_conv as kernels

OP = "CausalConvWithState"


@given(st.data())
def test_against_onnxruntime(data: Any) -> None:
    dtype = data.draw(st.sampled_from(dtypes(OP, 27)))
    images, channels, steps, kernel = (data.draw(st.integers(1, 4)) for _ in range(4))
    inputs = [
        data.draw(arrays((images, channels, steps), (dtype,))),
        data.draw(arrays((channels, 1, kernel), (dtype,))),
        data.draw(st.none() | arrays((channels,), (dtype,))),
        data.draw(st.none() | arrays((images, channels, kernel - 1), (dtype,))),
    ]
    activation = data.draw(st.sampled_from(["none", "silu", "swish"]))
    # onnxruntime's sigmoid is an approximation, and far below 0 its product keeps few digits.
    limits = {"rtol": 1e-5, "atol": 1e-5} if dtype == np.float32 else {}
    check_rounded(OP, inputs, opset=27, outputs=2, activation=activation, **limits)


def test_by_hand() -> None:
    x = np.array([[[1, 2, 3]]], np.float32)
    w = np.array([[[100, 10, 1]]], np.float32)
    y, state = run_ours(OP, [x, w], opset=27, outputs=2)
    assert y.tolist() == [[[1, 12, 123]]]
    assert state.tolist() == [[[2, 3]]]
    y, state = run_ours(OP, [x[:, :, :1], w, None, state], opset=27, outputs=2)
    assert y.tolist() == [[[231]]]
    assert state.tolist() == [[[3, 1]]]


def test_one_call_is_two() -> None:
    x, w, b = fill((2, 3, 7)), fill((3, 1, 4)), fill((3,))
    whole, last = kernels.causal_conv_with_state(x, w, b, activation="silu")
    first, state = kernels.causal_conv_with_state(x[:, :, :2], w, b, activation="silu")
    rest, end = kernels.causal_conv_with_state(x[:, :, 2:], w, b, state, activation="silu")
    np.testing.assert_allclose(np.concatenate([first, rest], axis=2), whole, rtol=1e-6)
    assert (end == last).all()


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ([(1, 2, 3), (2, 1, 2)], {"activation": "relu"}, "activation must be none, silu"),
        ([(1, 2, 3), (2, 2, 2)], {}, "must be .N, C, L. and .C, 1, k."),
        ([(1, 2, 3), (2, 1, 2), (2,), (1, 2, 2)], {}, "past_state .1, 2, 2. must be .1, 2, 1."),
    ],
)
def test_refusals(inputs: Any, options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernels.causal_conv_with_state(*map(fill, inputs), **options)

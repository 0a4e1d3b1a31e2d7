"""CausalConvWithState: a depthwise convolution over time that carries its past along."""

from __future__ import annotations

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import in_float32
from ._windows import place_windows
from .activation import swish
from .conv import add_bias, convolve


@op("CausalConvWithState", since=27)
@in_float32
def causal_conv_with_state(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    past_state: Array | None = None,
    *,
    activation: str = "none",
) -> tuple[Array, Array]:
    """Each channel convolved with its own kernel over the present and the k - 1 steps before.

    Shapes: input [N, C, L], weight [C, 1, k], bias [C], past_state [N, C, k - 1], zeros where
    absent, give [N, C, L] and the last k - 1 steps, the next call's past_state.
    """
    if activation not in ("none", "silu", "swish"):
        raise ValueError(f"activation must be none, silu or swish, and is {activation!r}")
    channels = input.shape[1]
    if input.ndim != 3 or weight.ndim != 3 or weight.shape[:2] != (channels, 1):
        raise ValueError(
            f"input {list(input.shape)} and weight {list(weight.shape)} must be "
            "[N, C, L] and [C, 1, k]"
        )
    past = weight.shape[2] - 1
    if past_state is None:
        past_state = np.zeros((input.shape[0], channels, past), dtype=input.dtype)
    if past_state.shape != (input.shape[0], channels, past):
        raise ValueError(
            f"past_state {list(past_state.shape)} must be {[input.shape[0], channels, past]}"
        )
    steps = np.concatenate([past_state, input], axis=2)
    windows = place_windows(steps.shape[2:], weight.shape[2:])
    y = convolve(steps, weight, windows, group=channels)
    if bias is not None:
        y = add_bias(y, bias)
    if activation != "none":
        y = swish(y)
    return y, steps[:, :, steps.shape[2] - past :]

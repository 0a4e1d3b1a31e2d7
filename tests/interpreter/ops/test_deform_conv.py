from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import arrays, fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, run_ours
from rounded import check_rounded
from typed import dtypes

from scratch_onnx.interpreter.ops import deform_conv as kernels


@st.composite
def deformations(draw: Any) -> tuple[list[Any], dict[str, Any]]:
    """Inputs of a two-dimensional DeformConv, which is all that onnxruntime has."""

    def two(low: int, high: int, count: int = 2) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    opset = draw(st.sampled_from([19, 22]))
    dtype = draw(st.sampled_from(dtypes("DeformConv", opset)))
    group, offset_group, features = (draw(st.integers(1, 2)) for _ in range(3))
    channels, images = 2 * draw(st.integers(1, 2)), draw(st.integers(1, 3))
    kernel, strides, dilations, pads = two(1, 3), two(1, 2), two(1, 2), two(0, 1, 4)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    spatial = [
        max(1, e - a - z) + more
        for e, a, z, more in zip(extents, pads[:2], pads[2:], two(0, 3), strict=True)
    ]
    output = [
        (n + a + z - e) // s + 1
        for n, a, z, e, s in zip(spatial, pads[:2], pads[2:], extents, strides, strict=True)
    ]
    taps = offset_group * kernel[0] * kernel[1]
    inputs = [
        draw(arrays((images, channels, *spatial), (dtype,))),
        draw(arrays((group * features, channels // group, *kernel), (dtype,))),
        draw(arrays((images, 2 * taps, *output), (dtype,))) / dtype.type(4),
        draw(st.none() | arrays((group * features,), (dtype,))),
        draw(st.none() | arrays((images, taps, *output), (dtype,))),
    ]
    attributes = {"opset": opset, "group": group, "offset_group": offset_group}
    return inputs, attributes | {"strides": strides, "dilations": dilations, "pads": pads}


@given(deformations())
def test_deform_conv(case: tuple[list[Any], dict[str, Any]]) -> None:
    inputs, attributes = case
    limits = {"rtol": 1e-4, "atol": 1e-4} if inputs[0].dtype == np.float32 else {}
    check_rounded("DeformConv", inputs, **attributes, **limits)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_without_offsets_it_is_conv(rank: int) -> None:
    x, w, b = fill((2, 4, *[5] * rank)), fill((4, 2, *[2] * rank)), fill((4,))
    options = {"group": 2, "strides": [2] * rank, "pads": [1] * 2 * rank}
    (expected,) = run_ours("Conv", [x, w, b], opset=22, **options)
    offset = np.zeros((2, 2**rank * rank, *expected.shape[2:]), np.float32)
    assert_same(run_ours("DeformConv", [x, w, offset, b], opset=22, **options), [expected])


def test_by_hand() -> None:
    x = np.array([[[0, 10, 30]]], np.float32)
    w = np.ones((1, 1, 1), np.float32)
    offset = np.array([[[0.5, -0.25, 0.75]]], np.float32)
    # Halfway from 0 to 10; a quarter of the way back from 10; a quarter of 30 before the edge.
    (y,) = run_ours("DeformConv", [x, w, offset], opset=22)
    assert_same([y], [np.array([[[5, 7.5, 7.5]]], np.float32)])
    mask = np.array([[[2, 0, 1]]], np.float32)
    (y,) = run_ours("DeformConv", [x, w, offset, None, mask], opset=22)
    assert_same([y], [np.array([[[10, 0, 7.5]]], np.float32)])


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [fill((5, 2, 4)), fill((2, 2, 2)), fill((5, 2, 3)) / 4]
    expected = run_ours("DeformConv", inputs, opset=22)
    monkeypatch.setattr(kernels, "TILE_BYTES", 1)
    assert_same(run_ours("DeformConv", inputs, opset=22), expected)


def test_groups_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="do not divide into 1 groups with 3 groups of offsets"):
        kernels.deform_conv(fill((1, 2, 4)), fill((2, 2, 2)), fill((1, 6, 3)), offset_group=3)

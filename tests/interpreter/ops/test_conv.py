from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from drawing import arrays, fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, run_ours
from rounded import check_rounded
from typed import dtypes

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter.ops import conv as kernels
from scratch_onnx.interpreter.ops._windows import place_windows

AUTO_PADS = ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]


@st.composite
def convolutions(draw: Any, max_rank: int = 3) -> tuple[list[Any], dict[str, Any]]:
    """Inputs X, W and perhaps B of a convolution, and its attributes."""
    rank = draw(st.integers(1, max_rank))

    def per_axis(low: int, high: int, count: int = rank) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    opset = draw(st.sampled_from([1, 11, 22]))
    dtype = draw(st.sampled_from(dtypes("Conv", opset)))
    group, depth, features = (draw(st.integers(1, 3)) for _ in range(3))
    auto_pad = draw(st.sampled_from(AUTO_PADS))
    # onnxruntime refuses dilations beside SAME_UPPER and SAME_LOWER.
    kernel, strides = per_axis(1, 3), per_axis(1, 3)
    dilations = per_axis(1, 1 if auto_pad.startswith("SAME") else 2)
    pads = per_axis(0, 2, 2 * rank) if auto_pad == "NOTSET" else [0] * 2 * rank
    spatial = [
        max(1, (k - 1) * d + 1 - begin - end) + more
        for k, d, begin, end, more in zip(
            kernel, dilations, pads[:rank], pads[rank:], per_axis(0, 4), strict=True
        )
    ]
    x = draw(arrays((draw(st.integers(0, 3)), group * depth, *spatial), (dtype,)))
    w = draw(arrays((group * features, depth, *kernel), (dtype,)))
    b = draw(st.none() | arrays((group * features,), (dtype,)))
    attributes: dict[str, Any] = {"opset": opset, "group": group, "strides": strides}
    attributes |= {"dilations": dilations, "auto_pad": auto_pad}
    if auto_pad == "NOTSET":
        attributes["pads"] = pads
    if draw(st.booleans()):
        attributes["kernel_shape"] = kernel
    return [x, w] if b is None else [x, w, b], attributes


@given(convolutions())
def test_conv(case: tuple[list[Any], dict[str, Any]]) -> None:
    inputs, attributes = case
    check_rounded("Conv", inputs, **attributes)


@given(convolutions(max_rank=2))
def test_tiles_change_nothing(case: tuple[list[Any], dict[str, Any]]) -> None:
    inputs, attributes = case
    expected = run_ours("Conv", inputs, **attributes)
    before = kernels.TILE_BYTES
    try:
        for tile in (1, 400):  # a row at a time, and a few
            kernels.TILE_BYTES = tile
            assert_same(run_ours("Conv", inputs, **attributes), expected)
    finally:
        kernels.TILE_BYTES = before


@pytest.mark.parametrize("groups", [1, 8])
def test_memory_does_not_grow_with_the_batch(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "TILE_BYTES", 1 << 18)
    w = fill((8, 8 // groups, 3, 3))
    windows = place_windows((32, 32), (3, 3), pads=(1, 1, 1, 1))

    def beside_the_output(images: int) -> int:
        x = fill((images, 8, 32, 32))
        tracemalloc.start()
        y = kernels.convolve(x, w, windows, groups)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak - y.nbytes

    few, many = beside_the_output(16), beside_the_output(64)
    assert many < 1.1 * few


def image(*values: float) -> Any:
    return np.array(values, np.float32).reshape(1, 1, -1)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, [-2, -2, -2]),  # 1 - 3, 2 - 4, 3 - 5
        ({"strides": [2]}, [-2, -2]),
        ({"dilations": [2]}, [-4]),  # 1 - 5
        ({"pads": [1, 1]}, [-2, -2, -2, -2, 4]),  # 0 - 2, ..., 4 - 0
        ({"auto_pad": "SAME_UPPER", "strides": [2]}, [-2, -2, 4]),
        # Spans 5 of 5, so 2 pads at each end: 0 - 3, 0 - 4, 1 - 5, 2 - 0, 3 - 0.
        ({"auto_pad": "SAME_UPPER", "dilations": [2]}, [-3, -4, -4, 2, 3]),
    ],
)
def test_by_hand(attributes: dict[str, Any], expected: list[float]) -> None:
    (y,) = run_ours("Conv", [image(1, 2, 3, 4, 5), image(1, 0, -1)], opset=11, **attributes)
    assert y.ravel().tolist() == expected


@pytest.mark.parametrize(
    ("auto_pad", "expected"), [("SAME_UPPER", [12, 23, 3]), ("SAME_LOWER", [10, 21, 32])]
)
def test_the_odd_pad(auto_pad: str, expected: list[float]) -> None:
    (y,) = run_ours("Conv", [image(1, 2, 3), image(1, 10) * 1], opset=11, auto_pad=auto_pad)
    assert (
        y.ravel().tolist()
        == {
            "SAME_UPPER": [1 + 20, 2 + 30, 3],
            "SAME_LOWER": [10, 1 + 20, 2 + 30],
        }[auto_pad]
    )
    del expected


def test_in_double() -> None:
    x, w = np.linspace(0, 1, 50), np.array([1 / 3, 1 / 7, -1 / 9])
    (y,) = run_ours("Conv", [x[None, None], w[None, None]], opset=11)
    np.testing.assert_allclose(y[0, 0], np.correlate(x, w, "valid"), rtol=1e-14)


def test_auto_pad_decides_where_both_are_given() -> None:
    x, w = fill((1, 1, 5)), fill((1, 1, 3))
    both = run_ours("Conv", [x, w], opset=1, auto_pad="SAME_UPPER", pads=[0, 0])
    assert_same(both, run_ours("Conv", [x, w], opset=1, auto_pad="SAME_UPPER"))


def test_empty_image() -> None:
    x, w = np.zeros((2, 1, 0, 5), np.float32), fill((3, 1, 3, 3))
    (y,) = run_ours("Conv", [x, w], opset=11, pads=[1, 1, 1, 1])
    assert y.shape == (2, 3, 0, 5)


@pytest.mark.parametrize(
    ("x", "w", "attributes", "message"),
    [
        ((1, 3, 5), (2, 2, 3), {}, "weights .2, 2, 3. in 1 groups take 2 channels"),
        ((1, 4, 5), (3, 2, 3), {"group": 2}, "group must divide both"),
        ((1, 1, 5), (1, 1, 3), {"kernel_shape": (2,)}, "kernel_shape .2. is not that"),
        ((1, 1, 5), (1, 1, 3), {"strides": (0,)}, "strides .0. must be 1 or more"),
        ((1, 1, 5), (1, 1, 3), {"strides": (1, 1)}, "strides .1, 1. must have 1 elements"),
        ((1, 1, 5), (1, 1, 3), {"pads": (-1, 0)}, "pads .-1, 0. must be 0 or more"),
        ((1, 1, 5), (1, 1, 3), {"auto_pad": "SAME"}, "auto_pad must be NOTSET"),
        ((1, 1, 3), (1, 1, 5), {}, "spans 5 elements does not fit into an axis of 3"),
        ((1, 5), (1, 5), {}, "takes images"),
        ((1, 1, 5), (1, 1, 3), {"group": 0}, "group must be 1 or more"),
    ],
)
def test_refusals(x: Any, w: Any, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernels.conv(fill(x), fill(w), **attributes)


def test_bias_of_another_length_names_the_node() -> None:
    model = {"opset": 11, "pads": [1, 1]}
    with pytest.raises(so.ScratchOnnxError, match="the_node"):
        run_ours("Conv", [fill((1, 1, 5)), fill((2, 1, 3)), fill((3,))], **model)

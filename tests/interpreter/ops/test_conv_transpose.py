from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import arrays, fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours
from rounded import check_rounded
from typed import dtypes

from scratch_onnx.interpreter.ops import conv_transpose as kernels


@st.composite
def transposes(draw: Any) -> tuple[list[Any], dict[str, Any]]:
    """Inputs X, W and perhaps B of a ConvTranspose, and its attributes."""
    rank = draw(st.integers(1, 3))

    def per_axis(low: int, high: int, count: int = rank) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    opset = draw(st.sampled_from([1, 11, 22]))
    dtype = draw(st.sampled_from(dtypes("ConvTranspose", opset)))
    group, depth, features = (draw(st.integers(1, 3)) for _ in range(3))
    kernel, strides, dilations = per_axis(1, 3), per_axis(1, 3), per_axis(1, 2)
    spatial = per_axis(1, 4)
    full = [
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip(spatial, strides, kernel, dilations, strict=True)
    ]
    attributes: dict[str, Any] = {"opset": opset, "group": group}
    attributes |= {"strides": strides, "dilations": dilations}
    kind = draw(st.sampled_from(["pads", "VALID", "SAME_UPPER", "SAME_LOWER", "output_shape"]))
    if kind == "pads":
        padding = [draw(st.integers(0, stride - 1)) for stride in strides]
        ends = [draw(st.integers(0, min(2, n - 1))) for n in full]
        begins = [draw(st.integers(0, min(2, n - 1 - e))) for n, e in zip(full, ends, strict=True)]
        attributes |= {"output_padding": padding, "pads": begins + ends}
    elif kind == "output_shape" and opset > 1:
        attributes["output_shape"] = [draw(st.integers(max(1, n - 3), n)) for n in full]
    elif kind != "output_shape":
        attributes["auto_pad"] = kind
        # Where the kernel does not fill the stride, onnxruntime gives less than input * stride.
        same = kind.startswith("SAME")
        if same and any(n < i * s for n, i, s in zip(full, spatial, strides, strict=True)):
            attributes["strides"] = [1] * rank
    x = draw(arrays((draw(st.integers(1, 3)), group * depth, *spatial), (dtype,)))
    w = draw(arrays((group * depth, features, *kernel), (dtype,)))
    b = draw(st.none() | arrays((group * features,), (dtype,)))
    return [x, w] if b is None else [x, w, b], attributes


@given(transposes())
def test_conv_transpose(case: tuple[list[Any], dict[str, Any]]) -> None:
    inputs, attributes = case
    check_rounded("ConvTranspose", inputs, **attributes)


def row(*values: float) -> Any:
    return np.array(values, np.float32).reshape(1, 1, -1)


@pytest.mark.parametrize(
    ("opset", "attributes", "expected"),
    [
        (11, {}, [1, 12, 23, 34, 40]),
        (11, {"pads": [1, 2]}, [12, 23]),
        (11, {"strides": [3], "output_padding": [2]}, [1, 2, 3, 14, 20, 30, 40, 0, 0]),
        (11, {"dilations": [2]}, [1, 10, 2, 20, 3, 30, 4, 40]),
        (11, {"strides": [3], "auto_pad": "SAME_UPPER"}, [1, 2, 3, 14, 20, 30]),
        (11, {"strides": [3], "auto_pad": "SAME_LOWER"}, [2, 3, 14, 20, 30, 40]),
        # The specification's input * stride, with zeros behind what the kernels reach.
        (11, {"strides": [5], "auto_pad": "SAME_UPPER"}, [1, 2, 3, 4, 0, 10, 20, 30, 40, 0]),
        (11, {"output_shape": [4]}, [12, 23, 34, 40]),
        # Before opset 11 the odd pad of an output_shape goes to the end (onnxruntime: as later).
        (1, {"output_shape": [4]}, [1, 12, 23, 34]),
        (1, {"output_shape": [3]}, [12, 23, 34]),
        (1, {"output_shape": [7]}, [1, 12, 23, 34, 40, 0, 0]),
    ],
)
def test_by_hand(opset: int, attributes: dict[str, Any], expected: list[float]) -> None:
    (y,) = run_ours("ConvTranspose", [row(1, 10), row(1, 2, 3, 4)], opset=opset, **attributes)
    assert y.ravel().tolist() == expected


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [fill((5, 4, 3, 3)), fill((4, 2, 2, 3))]
    expected = run_ours("ConvTranspose", inputs, opset=11, group=2, strides=[2, 1])
    monkeypatch.setattr(kernels, "TILE_BYTES", 1)
    assert_same(run_ours("ConvTranspose", inputs, opset=11, group=2, strides=[2, 1]), expected)


@pytest.mark.parametrize(
    ("x", "w", "attributes", "message"),
    [
        ((1, 2, 3), (3, 1, 2), {}, "take 3 channels in 1 groups: the input has 2"),
        ((1, 1, 3), (1, 1, 2), {"pads": (3, 3)}, "take more than there is"),
        ((1, 1, 3), (1, 1, 2), {"output_shape": (1, 1)}, "must have 1 elements"),
        ((1, 1, 3), (1, 1, 2), {"output_padding": (1, 1)}, "must have 1 elements"),
        ((1, 1, 3), (1, 1, 2), {"auto_pad": "SAME"}, "auto_pad 'SAME' is not known"),
    ],
)
def test_refusals(x: Any, w: Any, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernels.conv_transpose(fill(x), fill(w), **attributes)


@given(st.data())
def test_col2im(data: Any) -> None:
    rank = data.draw(st.integers(2, 3))

    def per_axis(low: int, high: int, count: int = rank) -> list[int]:
        return data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    # In three dimensions onnxruntime misplaces dilated blocks: see below.
    block, strides, dilations = per_axis(1, 3), per_axis(1, 2), per_axis(1, 4 - rank)
    pads = per_axis(0, 1, 2 * rank)
    extents = [(k - 1) * d + 1 for k, d in zip(block, dilations, strict=True)]
    image = [
        max(1, e - a - z) + more
        for e, a, z, more in zip(extents, pads[:rank], pads[rank:], per_axis(0, 3), strict=True)
    ]
    places = [
        (n + a + z - e) // s + 1
        for n, a, z, e, s in zip(image, pads[:rank], pads[rank:], extents, strides, strict=True)
    ]
    shape = (data.draw(st.integers(1, 2)), 2 * np.prod(block), np.prod(places))
    x = data.draw(arrays(shape, (np.float16, np.float32, np.float64)))
    check_rounded(
        "Col2Im",
        [x, np.array(image), np.array(block)],
        opset=18,
        strides=strides,
        dilations=dilations,
        pads=pads,
    )


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.complex64, np.bool_])
def test_col2im_of_other_dtypes(dtype: Any) -> None:
    # Two overlapping blocks of 2 in a row of 3, and as many rows of 1.
    x = np.array([[[1, 1], [0, 1]]], dtype)
    (y,) = run_ours("Col2Im", [x, np.array([1, 3]), np.array([1, 2])], opset=18)
    assert_same([y], [np.array([[[[1, 1, 1]]]], dtype)])
    with pytest.raises(ValueError, match=r"must be .N, C . 2, 2."):
        kernels.col2im(x[:, :, :1], np.array([1, 3]), np.array([1, 2]))
    with pytest.raises(TypeError, match="strings cannot be added"):
        kernels.col2im(x.astype(object), np.array([1, 3]), np.array([1, 2]))


def test_col2im_of_dilated_blocks_in_three_dimensions() -> None:
    x = np.array([[[1], [2], [3], [4]]], np.float32)  # two channels of one block of two
    (y,) = run_ours(
        "Col2Im", [x, np.array([1, 3, 1]), np.array([1, 2, 1])], opset=18, dilations=[1, 2, 1]
    )
    assert y.reshape(2, 3).tolist() == [[1, 0, 2], [3, 0, 4]]


def test_the_adjoint_of_conv() -> None:
    # <conv(x), y> = <x, conv_transpose(y)>, for a convolution that covers its input exactly.
    x, w, y = fill((1, 2, 7), np.float64, 1), fill((3, 2, 3), np.float64, 2), fill((1, 3, 3), "f8")
    (forward,) = run_ours("Conv", [x, w], opset=11, strides=[2])
    (backward,) = run_ours("ConvTranspose", [y, w], opset=11, strides=[2])
    np.testing.assert_allclose((forward * y).sum(), (x * backward).sum(), rtol=1e-13)


def test_one_element() -> None:
    check_node("ConvTranspose", [fill((1, 1, 1)), fill((1, 1, 1))], opset=11)

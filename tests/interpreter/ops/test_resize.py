from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours

from scratch_onnx.interpreter.ops import resize as kernels

COORDINATES = st.sampled_from(["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"])
NEAREST = st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
SCALE = st.sampled_from([0.25, 0.5, 0.6, 0.75, 1.0, 1.3, 1.5, 2.0, 2.5, 3.0])
OPSET = st.sampled_from([11, 13, 18, 19])
EMPTY = np.zeros(0, np.float32)


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


def int64(*values: int) -> Any:
    return np.array(values, np.int64)


@st.composite
def images(draw: Any, dtypes: Any = (np.float32,)) -> Any:
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    shape += (draw(st.integers(2, 6)), draw(st.integers(2, 6)))
    image = fill(shape, draw(st.sampled_from(list(dtypes))), draw(st.integers(0, 9)))
    return np.asfortranarray(image) if draw(st.booleans()) else image


def asked(draw: Any, x: Any, opset: int, mode: str) -> tuple[list[Any], list[int]]:
    """Inputs that ask for a size, by scales or by sizes, and which of them are constant."""
    roi = EMPTY if opset == 11 else None
    if draw(st.booleans()):
        scales = floats(1, 1, draw(SCALE), draw(SCALE))
        if all(int(scale * size) for scale, size in zip(scales, x.shape, strict=True)):
            return [x, roi, scales], [1, 2] if opset == 11 else [2]
    del mode
    sizes = int64(*x.shape[:2], draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    return [x, roi, EMPTY if opset == 11 else None, sizes], [1, 2, 3] if opset == 11 else [3]


def aligned_by_fraction(inputs: list[Any], opset: int, coordinates: str) -> bool:
    """Where the standard's cases of opset 19 align corners otherwise than onnxruntime does."""
    if opset < 19 or coordinates != "align_corners" or len(inputs) > 3:
        return False
    length = inputs[2] * np.array(inputs[0].shape, np.float32)
    return bool((length != np.floor(length)).any())


@given(images([np.float32, np.uint8, np.int32]), OPSET, COORDINATES, NEAREST, st.data())
def test_nearest(x: Any, opset: int, coordinates: str, nearest: str, draw: Any) -> None:
    inputs, constants = asked(draw.draw, x, opset, "nearest")
    if aligned_by_fraction(inputs, opset, coordinates):
        return
    check_node(
        "Resize",
        inputs,
        opset=opset,
        constants=constants,
        coordinate_transformation_mode=coordinates,
        nearest_mode=nearest,
    )


@given(images(), OPSET, COORDINATES, st.data())
def test_linear(x: Any, opset: int, coordinates: str, draw: Any) -> None:
    inputs, constants = asked(draw.draw, x, opset, "linear")
    if aligned_by_fraction(inputs, opset, coordinates):
        return
    check_node(
        "Resize",
        inputs,
        opset=opset,
        constants=constants,
        mode="linear",
        coordinate_transformation_mode=coordinates,
    )


@given(images(), OPSET, COORDINATES, st.booleans(), st.sampled_from([-0.75, -0.5]), st.data())
def test_cubic(
    x: Any, opset: int, coordinates: str, exclude_outside: bool, a: float, draw: Any
) -> None:
    inputs, constants = asked(draw.draw, x, opset, "cubic")
    if aligned_by_fraction(inputs, opset, coordinates):
        return
    check_node(
        "Resize",
        inputs,
        opset=opset,
        constants=constants,
        rtol=1e-4,
        atol=1e-5,
        mode="cubic",
        cubic_coeff_a=a,
        exclude_outside=int(exclude_outside),
        coordinate_transformation_mode=coordinates,
    )


@given(
    images(),
    st.sampled_from(["linear", "cubic"]),
    st.sampled_from([18, 19]),
    st.booleans(),
    st.data(),
)
def test_antialias(x: Any, mode: str, opset: int, exclude_outside: bool, draw: Any) -> None:
    height = draw.draw(st.integers(1, x.shape[2]))
    width = draw.draw(st.integers(1, x.shape[3]))
    check_node(
        "Resize",
        [x, None, None, int64(*x.shape[:2], height, width)],
        opset=opset,
        constants=[3],
        rtol=1e-4,
        atol=1e-5,
        mode=mode,
        antialias=1,
        exclude_outside=int(exclude_outside),
    )


@given(images(), st.sampled_from(["nearest", "linear", "cubic"]), OPSET, st.data())
def test_crop_and_resize(x: Any, mode: str, opset: int, draw: Any) -> None:
    edge = st.sampled_from([-0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5])
    start = [draw.draw(edge), draw.draw(edge)]
    end = [draw.draw(edge), draw.draw(edge)]
    sizes = int64(*x.shape[:2], draw.draw(st.integers(1, 6)), draw.draw(st.integers(1, 6)))
    kept = sizes[2:] == x.shape[2:]
    if kept.any():
        return  # onnxruntime crops nothing where an axis keeps its size
    scales = EMPTY if opset == 11 else None
    check_node(
        "Resize",
        [x, floats(0, 0, *start, 1, 1, *end), scales, sizes],
        opset=opset,
        constants=[1, 2, 3] if opset == 11 else [1, 3],
        rtol=1e-4,
        atol=1e-5,
        mode=mode,
        coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=7.5,
    )


@given(images(), st.sampled_from(["not_larger", "not_smaller", "stretch"]), st.data())
def test_aspect_ratio(x: Any, policy: str, draw: Any) -> None:
    sizes = int64(draw.draw(st.integers(1, 9)), draw.draw(st.integers(1, 9)))
    axes = draw.draw(st.sampled_from([[2, 3], [3, 2]]))
    options: dict[str, Any] = {
        "opset": draw.draw(st.sampled_from([18, 19])),
        "constants": [3],
        "mode": draw.draw(st.sampled_from(["nearest", "linear"])),
        "keep_aspect_ratio_policy": policy,
    }
    inputs = [x, None, None, sizes]
    check_node("Resize", inputs, axes=axes, **options)
    # onnxruntime leaves the image as it is where axes are counted from the end.
    from_end = run_ours("Resize", inputs, axes=[axis - 4 for axis in axes], **options)
    assert_same(from_end, run_ours("Resize", inputs, axes=axes, **options))


@given(images([np.float32, np.uint8]), st.sampled_from(["nearest", "linear"]), SCALE, SCALE)
def test_resize_10(x: Any, mode: str, height: float, width: float) -> None:
    scales = floats(1, 1, height, width)
    if int(height * x.shape[2]) == 0 or int(width * x.shape[3]) == 0:
        return
    if mode == "linear":
        x = x.astype(np.float32)
    check_node("Resize", [x, scales], opset=10, constants=[1], mode=mode)
    if min(height, width) >= 1:
        check_node("Upsample", [x, scales], opset=9, constants=[1], mode=mode)
        check_node("Upsample", [x], opset=7, scales=scales.tolist(), mode=mode)
        assert_same(
            run_ours(
                "Upsample",
                [x.astype(np.float32)],
                opset=1,
                height_scale=height,
                width_scale=width,
                mode="bilinear" if mode == "linear" else mode,
            ),
            run_ours(
                "Upsample", [x.astype(np.float32)], opset=7, scales=scales.tolist(), mode=mode
            ),
        )


def test_one_and_three_dimensions() -> None:
    line = fill((5,))
    check_node("Resize", [line, None, floats(1.6)], opset=13, constants=[2])
    volume = fill((1, 2, 3, 4, 5))
    scales = floats(1, 1, 2, 0.5, 1.5)
    check_node("Resize", [volume, None, scales], opset=13, constants=[2], mode="linear")


def test_by_hand() -> None:
    row = floats(1, 2, 3, 4).reshape(1, 4)
    twice = kernels.resize_11(row, None, floats(1, 2), mode="linear")
    assert twice.tolist() == [[1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4]]
    half = kernels.resize_11(row, None, None, int64(1, 2), mode="linear")
    assert half.tolist() == [[1.5, 3.5]]
    ends = kernels.resize_11(
        row, None, None, int64(1, 2), mode="linear", coordinate_transformation_mode="align_corners"
    )
    assert ends.tolist() == [[1, 4]]
    # A triangle twice as wide, at 0.5 and 2.5: 1, 3, 3, 1 eighths, the edge standing in outside.
    wide = run_ours(
        "Resize",
        [row, None, None, int64(1, 2)],
        opset=18,
        constants=[3],
        mode="linear",
        antialias=1,
    )
    assert_same(wide, [floats((1 + 3 + 6 + 3) / 8, (2 + 9 + 12 + 4) / 8).reshape(1, 2)])
    assert kernels.resize_11(np.zeros((0, 2)), None, floats(2, 2)).shape == (0, 4)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.int8, np.bool_, object])
def test_other_dtypes(dtype: Any) -> None:
    values = ["a", "b", "b"] if dtype is object else [0, 1, 1]
    row = np.array([values]).astype(dtype)
    (result,) = run_ours("Resize", [row, None, floats(1, 2)], opset=13, constants=[2])
    assert result.dtype == dtype
    assert result.tolist() == row.repeat(2, 1).tolist()


def test_integers_stay_in_range() -> None:
    row = np.array([[0, 255, 255, 0]], np.uint8)
    result = kernels.resize(row, None, floats(1, 2), mode="cubic")
    assert result.dtype == np.uint8
    assert result.max() == 255
    assert result[0, 0] == 0


def test_refusals() -> None:
    row = floats(1, 2, 3, 4).reshape(1, 4)
    with pytest.raises(ValueError, match="one of scales and sizes"):
        kernels.resize(row)
    with pytest.raises(ValueError, match="one of scales and sizes"):
        kernels.resize(row, None, floats(1, 2), int64(1, 8))
    with pytest.raises(ValueError, match="one for each of 2 axes"):
        kernels.resize(row, None, floats(1))
    with pytest.raises(ValueError, match="above 0"):
        kernels.resize(row, None, floats(1, 0))
    with pytest.raises(ValueError, match="mode 'area' is none of"):
        kernels.resize(row, None, floats(1, 2), mode="area")
    with pytest.raises(ValueError, match="'middle' is not known"):
        kernels.resize(row, None, floats(1, 2), coordinate_transformation_mode="middle")
    with pytest.raises(ValueError, match="needs a roi of 4"):
        kernels.resize(row, None, floats(1, 2), coordinate_transformation_mode="tf_crop_and_resize")
    with pytest.raises(ValueError, match="cannot be resized"):
        kernels.resize(row[:, :0], None, None, int64(1, 2))

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours

from scratch_onnx.interpreter.ops import grid_sample as kernels

PADDINGS = st.sampled_from(["zeros", "border", "reflection"])


def grids(draw: Any, shape: tuple[int, ...], wide: float = 1.6) -> Any:
    """Places inside the image and outside, away from the ties of rounding."""
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    return random.uniform(-wide, wide, shape).astype(np.float32)


@given(
    st.sampled_from(
        [("bilinear", 16), ("nearest", 16), ("bicubic", 16)]
        + [(mode, opset) for mode in ("linear", "nearest", "cubic") for opset in (20, 22)]
    ),
    PADDINGS,
    st.integers(0, 1),
    st.data(),
)
def test_images(mode: tuple[str, int], padding: str, align_corners: int, draw: Any) -> None:
    x = fill((2, 3, draw.draw(st.integers(1, 5)), draw.draw(st.integers(1, 5))), seed=3)
    grid = grids(draw.draw, (2, 3, 2, 2))
    check_node(
        "GridSample",
        [x, grid],
        opset=mode[1],
        rtol=1e-4,
        atol=1e-4,
        mode=mode[0],
        padding_mode=padding,
        align_corners=align_corners,
    )


@given(
    st.sampled_from(["linear", "nearest"]),
    PADDINGS,
    st.integers(0, 1),
    st.sampled_from([20, 22]),
    st.data(),
)
def test_volumes(mode: str, padding: str, align_corners: int, opset: int, draw: Any) -> None:
    x = fill((1, 2, 3, 4, 2), seed=4)
    check_node(
        "GridSample",
        [x, grids(draw.draw, (1, 2, 3, 2, 3))],
        opset=opset,
        rtol=1e-4,
        atol=1e-4,
        mode=mode,
        padding_mode=padding,
        align_corners=align_corners,
    )


def test_by_hand() -> None:
    x = np.float32([[[[0, 1], [2, 3]]]])
    middle = np.zeros((1, 1, 1, 2), np.float32)
    assert kernels.grid_sample(x, middle).tolist() == [[[[1.5]]]]
    corner = np.full((1, 1, 1, 2), -1, np.float32)
    # The corner's outer edge is a quarter inside the corner pixel, the rest is zeros ...
    assert kernels.grid_sample(x + 4, corner).tolist() == [[[[1.0]]]]
    # ... and its centre is the pixel itself.
    assert kernels.grid_sample(x + 4, corner, align_corners=1).tolist() == [[[[4.0]]]]
    right = np.float32([[[[1, -1]]]])  # x comes before y
    assert kernels.grid_sample(x, right, align_corners=1).tolist() == [[[[1.0]]]]
    line = np.float32([[[1, 2, 4]]])
    third = kernels.grid_sample(line, np.float32([[[0.5], [3.0]]]), align_corners=1)
    assert third.tolist() == [[[3.0, 0.0]]]
    # Halfway between two pixels, nearest takes the even one.
    ties = np.float32([[[[-0.5, 0], [0.5, 0]]]])
    row = np.float32([[[[5, 6, 7]]]])
    nearest = kernels.grid_sample(row, ties, mode="nearest", align_corners=1)
    assert nearest.tolist() == [[[[5, 7]]]]


def test_what_lies_outside_is_not_read() -> None:
    x = np.full((1, 1, 2, 2), np.nan, np.float32)
    far = np.full((1, 1, 1, 2), 9, np.float32)
    assert kernels.grid_sample(x, far).tolist() == [[[[0.0]]]]
    endless = np.full((1, 1, 1, 2), np.inf, np.float32)
    assert kernels.grid_sample(np.ones_like(x), endless, mode="nearest").tolist() == [[[[0.0]]]]


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint8])
def test_other_dtypes(dtype: Any) -> None:
    x = np.array([[[[0, 1], [2, 4]]]]).astype(dtype)
    grid = np.zeros((1, 1, 1, 2), np.float32)
    (result,) = run_ours("GridSample", [x, grid], opset=20)
    assert result.dtype == dtype
    assert float(result.item()) == (1.75 if np.dtype(dtype).kind == "f" else 1)


def test_refusals() -> None:
    x, grid = np.zeros((1, 1, 2, 2), np.float32), np.zeros((1, 1, 1, 2), np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        kernels.grid_sample(x, grid[..., :1])
    with pytest.raises(ValueError, match="mode 'area'"):
        kernels.grid_sample(x, grid, mode="area")
    with pytest.raises(ValueError, match="padding_mode 'wrap'"):
        kernels.grid_sample(x, grid, padding_mode="wrap")


@given(
    st.sampled_from([(2, 3, 4, 5), (1, 1, 1, 3), (2, 3, 2, 3, 4), (1, 1, 1, 1, 1), (1, 2, 0, 3)]),
    st.integers(0, 1),
    st.sampled_from([np.float32, np.float64]),
)
def test_affine_grid(size: tuple[int, ...], align_corners: int, dtype: Any) -> None:
    rank = len(size) - 2
    theta = fill((size[0], rank, rank + 1), dtype, seed=5)
    inputs = [theta, np.array(size, np.int64)]
    if 0 not in size and (1 not in size[2:] or not align_corners):
        check_node("AffineGrid", inputs, opset=20, align_corners=align_corners)
    (grid,) = run_ours("AffineGrid", inputs, opset=20, align_corners=align_corners)
    assert grid.shape == (size[0], *size[2:], rank)
    if grid.size:  # the middle of an odd grid is the translation
        middle = tuple(length // 2 for length in size[2:])
        if all(length % 2 for length in size[2:]):
            np.testing.assert_allclose(grid[(0, *middle)], theta[0, :, -1], rtol=1e-5)


def test_affine_grid_by_hand() -> None:
    identity = np.float32([[[1, 0, 0], [0, 1, 0]]])
    size = np.array([1, 1, 2, 2])
    edges = kernels.affine_grid(identity, size, align_corners=1)
    assert edges.tolist() == [[[[-1, -1], [1, -1]], [[-1, 1], [1, 1]]]]
    centres = kernels.affine_grid(identity, size)
    assert_same([centres], [edges / 2])
    with pytest.raises(ValueError, match="theta must be"):
        kernels.affine_grid(identity, np.array([2, 1, 2, 2]))

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import fill
from hypothesis import given
from hypothesis import strategies as st

from scratch_onnx.interpreter.ops._windows import Windows, place_windows


@st.composite
def geometries(draw: Any) -> tuple[tuple[int, ...], Windows]:
    """The spatial shape of an image, and windows over it."""
    rank = draw(st.integers(1, 3))

    def per_axis(low: int, high: int, count: int = rank) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    windows = place_windows(
        spatial := per_axis(1, 6),
        per_axis(1, 3),
        strides=per_axis(1, 3),
        dilations=per_axis(1, 2),
        pads=per_axis(2, 4, 2 * rank),
        ceil_mode=draw(st.booleans()),
    )
    return tuple(spatial), windows


@given(geometries())
def test_reduce_is_the_reduction_of_all_windows(case: tuple[tuple[int, ...], Windows]) -> None:
    spatial, windows = case
    x = fill((2, 3, *spatial))
    rank = len(spatial)
    for combine, value in ((np.add, 0), (np.maximum, -np.inf)):
        view = windows.view(windows.pad(x, value))
        expected = combine.reduce(view, axis=tuple(range(2, 2 + rank)))
        np.testing.assert_array_equal(windows.reduce(x, combine, value), expected)


@given(geometries())
def test_fold_is_the_adjoint_of_view(case: tuple[tuple[int, ...], Windows]) -> None:
    _, windows = case
    image = fill((1, 2, *windows.covered), np.float64)
    view = windows.view(image)
    patches = fill(view.shape, np.float64, seed=1)
    folded = windows.fold(patches, windows.covered)
    assert (folded * image).sum() == pytest.approx((patches * view).sum(), rel=1e-12)


@given(geometries(), st.booleans())
def test_counts_are_sums_of_ones(case: tuple[tuple[int, ...], Windows], include_pads: bool) -> None:
    spatial, windows = case
    ones = np.ones((1, 1, *spatial), np.int64)
    if include_pads:
        ends = zip(windows.begins, windows.ends, strict=True)
        ones = np.pad(ones, [(0, 0), (0, 0), *ends], constant_values=1)
        windows = place_windows(
            ones.shape[2:],
            windows.kernel,
            strides=windows.strides,
            dilations=windows.dilations,
            ceil_mode=True,
        )
        counts = case[1].counts(spatial, True)
        sums = windows.reduce(ones, np.add, 0)[0, 0]
        np.testing.assert_array_equal(counts, sums[tuple(map(slice, counts.shape))])
    else:
        counts = windows.counts(spatial, False)
        np.testing.assert_array_equal(counts, windows.reduce(ones, np.add, 0)[0, 0])


def test_pad_copies_only_where_it_must() -> None:
    x = fill((1, 1, 5))
    assert np.shares_memory(place_windows((5,), (2,), strides=(2,)).pad(x, 0), x)
    padded = place_windows((5,), (2,), pads=(1, 0)).pad(x, -1)
    assert padded[0, 0].tolist() == [-1, *x[0, 0].tolist()]


@pytest.mark.parametrize(
    ("spatial", "options", "output"),
    [
        ((5,), {"kernel": (3,)}, (3,)),
        ((5,), {"kernel": (2,), "strides": (2,)}, (2,)),
        ((5,), {"kernel": (2,), "strides": (2,), "ceil_mode": True}, (3,)),
        ((5,), {"kernel": (2,), "dilations": (4,)}, (1,)),
        ((5, 4), {"kernel": (3, 3), "auto_pad": "SAME_UPPER", "strides": (2, 3)}, (3, 2)),
        ((0,), {"kernel": (3,), "pads": (1, 1)}, (0,)),
        ((0,), {"kernel": (1,), "auto_pad": "SAME_LOWER"}, (0,)),
    ],
)
def test_number_of_windows(spatial: Any, options: dict[str, Any], output: Any) -> None:
    assert place_windows(spatial, **options).output == output

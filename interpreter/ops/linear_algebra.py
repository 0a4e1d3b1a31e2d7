"""Einsum and Det."""

from __future__ import annotations

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import in_float32


@op("Einsum", since=(12, 28))
@in_float32
def einsum(*inputs: Array, equation: str) -> Array:
    """Sums of products over named axes, as ``numpy.einsum`` has it.

    Letters are case sensitive; without ``->`` the output has those that occur once,
    in ASCII order, after the ellipsis' axes.
    """
    for x, term in zip(inputs, equation.replace(" ", "").split("->")[0].split(","), strict=False):
        _check_diagonals(x, term)
    return np.einsum(equation.replace(" ", ""), *inputs, optimize=len(inputs) > 1)


def _check_diagonals(x: Array, term: str) -> None:
    """Axes that share a letter must have one size: NumPy reads past the end where one is 0."""
    before, _, after = term.partition("...")
    named = {*zip(before, x.shape, strict=False), *zip(after[::-1], x.shape[::-1], strict=False)}
    if len(named) > len({letter for letter, _ in named}):
        raise ValueError(f"'{term}' names axes of {list(x.shape)} that differ by one letter")


@op("Det", since=(11, 22))
@in_float32
def det(x: Array) -> Array:
    """The determinants of square matrices: [..., M, M] to [...]."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"Det takes square matrices [..., M, M], and was given {list(x.shape)}")
    # Elimination stops at a NaN as at a zero: the determinant would be 0.
    finite = np.isfinite(x).all(axis=(-2, -1))
    return np.where(finite, np.linalg.det(x), x.dtype.type(np.nan))

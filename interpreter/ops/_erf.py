"""The error function, which NumPy lacks.

Source: W. J. Cody, "Rational Chebyshev approximations for the error function",
Mathematics of Computation 23 (1969), 631-637: the coefficients of his program CALERF.
"""

from __future__ import annotations

import numpy as np

from ..types import Array

# |x| <= 0.46875: erf(x) = x · A(x²) / B(x²)
_A = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_B = (
    1.0,
    2.36012909523441209e1,
    2.44024637934444173e2,
    1.28261652607737228e3,
    2.84423683343917062e3,
)
# 0.46875 <= x <= 4: erfc(x) = exp(-x²) · C(x) / D(x)
_C = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
_D = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)


def erf(x: Array) -> Array:
    """2/√π · ∫₀ˣ exp(-t²) dt, elementwise, in x's own precision (float32 or float64).

    Within 3 (float32) and 6 (float64) units in the last place; NaN gives NaN.
    """
    # erf(6) rounds to 1 in float64, and the powers of a larger x could overflow.
    size = np.minimum(np.abs(x), 6)
    square = size * size
    below = size * _polynomial(_A, square) / _polynomial(_B, square)
    above = 1 - np.exp(-square) * _polynomial(_C, size) / _polynomial(_D, size)
    return np.copysign(np.where(size < 0.6, below, above), x)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """By Horner's rule, the highest power first."""
    result = coefficients[0] * x
    result += coefficients[1]
    for coefficient in coefficients[2:]:
        result *= x
        result += coefficient
    return result

"""Operators on floating point, compared with onnxruntime in the precision that it is good at.

Its float16 kernels round at every step, and it has few kernels for bfloat16 and
float64: ours are then compared with its float32 result, rounded to the dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from oracles import FLOAT32, assert_same, run_onnxruntime, run_ours

HALF = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))


def check_rounded(
    op_type: str,
    inputs: Sequence[Any],
    *,
    rtol: float | None = None,
    atol: float = 0.0,
    **options: Any,
) -> None:
    """One node, ours against onnxruntime; all floating inputs have the first one's dtype."""
    dtype = inputs[0].dtype
    actual = run_ours(op_type, inputs, **options)
    if dtype not in HALF:
        try:
            expected = run_onnxruntime(op_type, inputs, **options)
        except ort_errors.NotImplemented:
            assert dtype == np.float64, f"onnxruntime has no {op_type} for {dtype}"
        else:
            assert_same(actual, expected, rtol, atol)
            return
    widened = [x.astype(np.float32) if x is not None and x.dtype == dtype else x for x in inputs]
    expected = run_onnxruntime(op_type, widened, **options)
    rounded = [y.astype(dtype) if y.dtype == np.float32 else y for y in expected]
    if dtype == np.float64 and rtol is None:
        # No better than what it is compared with: tests by hand go further.
        rtol, atol = FLOAT32["rtol"], FLOAT32["atol"]
    assert_same(actual, rounded, rtol, atol)

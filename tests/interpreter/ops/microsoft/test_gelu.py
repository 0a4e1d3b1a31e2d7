from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays, fill
from hypothesis import given
from oracles import BFLOAT16, FLOAT16, check_node, run_ours

MS = {"domain": "com.microsoft", "opset": 1}


@given(arrays())
@pytest.mark.parametrize("op_type", ["Gelu", "FastGelu", "QuickGelu"])
def test_gelu(op_type: str, x: Any) -> None:
    if x.size and x.ndim:  # onnxruntime's FastGelu takes no scalar
        check_node(op_type, [x], **MS)


@pytest.mark.parametrize("op_type", ["BiasGelu", "FastGelu"])
@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 3, 4)])
def test_with_bias(op_type: str, shape: tuple[int, ...]) -> None:
    check_node(op_type, [fill(shape), fill((4,), seed=1)], **MS)


@pytest.mark.parametrize("alpha", [1.0, 1.702, 0.5])
def test_quick_gelu(alpha: float) -> None:
    check_node("QuickGelu", [fill((3, 4))], alpha=alpha, **MS)


@pytest.mark.parametrize("op_type", ["Gelu", "FastGelu", "QuickGelu", "BiasGelu"])
@pytest.mark.parametrize(
    ("dtype", "limits"), [(np.float16, FLOAT16), (ml_dtypes.bfloat16, BFLOAT16)]
)
def test_half_precision(op_type: str, dtype: Any, limits: Any) -> None:
    x = fill((3, 4)).astype(dtype)
    inputs = [x, x[0]] if op_type == "BiasGelu" else [x]
    (half,) = run_ours(op_type, inputs, **MS)
    assert half.dtype == dtype
    (full,) = run_ours(op_type, [value.astype(np.float32) for value in inputs], **MS)
    np.testing.assert_allclose(half.astype(np.float32), full, **limits)

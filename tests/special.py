"""Special values of every dtype, and what tests of them share."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from oracles import assert_same, run_onnxruntime, run_ours

from scratch_onnx.interpreter.types import dtype_name

NAN, INF = float("nan"), float("inf")
FLOATS: list[Any] = [np.float16, np.float32, np.float64]
SIGNED: list[Any] = [np.int8, np.int16, np.int32, np.int64]
UNSIGNED: list[Any] = [np.uint8, np.uint16, np.uint32, np.uint64]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

# fmt: off
SPECIAL = [
    NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 3.5,
    1e-40, -1e-40, 1e38, -1e38, 88.8, -104.0, 710.0, 3e9, -3e9, 1e20,
]
# fmt: on


def in_dtype(numbers: Any, dtype: Any) -> Any:
    """The numbers in a dtype, infinite where it ends before them."""
    with np.errstate(over="ignore"):
        return np.array(numbers).astype(dtype)


def values(dtype: Any) -> Any:
    """The special values of a dtype."""
    if np.dtype(dtype).kind == "f" or dtype == BFLOAT16:
        return in_dtype(SPECIAL, dtype)
    if dtype == np.bool_:
        return np.array([True, False])
    limits = np.iinfo(dtype)
    few = [0, 1, 2, 3, 7, limits.max - 1, limits.max, limits.min, limits.min + 1]
    return np.array(few + ([-1, -2, -3, -7] if limits.min else []), dtype)


def pairs(dtype: Any) -> tuple[Any, Any]:
    """Each special value with each."""
    one, other = np.meshgrid(values(dtype), values(dtype))
    return one.ravel().copy(), other.ravel().copy()


def takes(op_type: str, dtype: Any, opset: int) -> bool:
    schema = onnx.defs.get_schema(op_type, opset)
    return f"tensor({dtype_name(np.dtype(dtype))})" in schema.inputs[0].types


def oracle(op_type: str, inputs: list[Any], **options: Any) -> list[Any] | None:
    """onnxruntime's answer, None where it has no kernel for these dtypes."""
    try:
        return run_onnxruntime(op_type, inputs, **options)
    except Exception as error:
        if "NOT_IMPLEMENTED" not in str(error):
            raise
        return None


UNARY = (
    "Neg Abs Ceil Floor Round Reciprocal Sqrt Exp Log Erf Asin Acos Atan Sinh Cosh Asinh Acosh "
    "Atanh IsNaN IsInf Relu LeakyRelu Elu Selu Celu ThresholdedRelu Sigmoid HardSigmoid HardSwish "
    "Tanh Softplus Softsign Mish Gelu Identity"
).split()
BINARY = (
    "Add Sub Mul Div Pow Max Min Sum Mean PRelu Equal Greater Less GreaterOrEqual LessOrEqual"
).split()


def check(op_type: str, inputs: list[Any], **options: Any) -> None:
    """One node, ours against onnxruntime; skipped where it has no kernel for these dtypes."""
    expected = oracle(op_type, inputs, **options)
    if expected is None:
        pytest.skip("onnxruntime has no such kernel")
    assert_same(run_ours(op_type, inputs, **options), expected)

"""Every dtype and version of an operator's schema, compared with onnxruntime in the dtype itself
or, where onnxruntime has no kernel for it, in a wider one that it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from oracles import FLOAT32, assert_same, run_onnxruntime, run_ours

from scratch_onnx.interpreter.types import dtype_of_name

WIDER: dict[Any, tuple[Any, ...]] = {
    np.dtype(ml_dtypes.bfloat16): (np.float32,),
    np.dtype(np.float16): (np.float32,),
    np.dtype(np.float64): (np.float32,),
    np.dtype(np.int8): (np.int32, np.int64, np.float32),
    np.dtype(np.uint8): (np.int32, np.int64, np.float32),
    np.dtype(np.int16): (np.int32, np.int64, np.float32),
    np.dtype(np.uint16): (np.int32, np.int64, np.float32),
    np.dtype(np.int32): (np.int64, np.float64, np.float32),
    np.dtype(np.uint32): (np.int64, np.float64, np.float32),
    np.dtype(np.int64): (np.float64, np.float32),
    np.dtype(np.uint64): (np.int64, np.float64, np.float32),
}


def versions(op_type: str, first: int = 7) -> list[int]:
    """The schema versions of an operator from an opset on that onnxruntime still runs."""
    return sorted(
        schema.since_version
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.name == op_type and schema.domain == "" and schema.since_version >= first
    )


def dtypes(op_type: str, opset: int) -> list[Any]:
    """The dtypes that an operator's first input may have in an opset."""
    schema = onnx.defs.get_schema(op_type, opset, "")
    wanted = schema.inputs[0].type_str
    for constraint in schema.type_constraints:
        if constraint.type_param_str == wanted:
            names = [name[len("tensor(") : -1] for name in sorted(constraint.allowed_type_strs)]
            return [dtype_of_name(name) for name in names if not name.startswith("complex")]
    raise AssertionError(wanted)


def cases(op_types: Sequence[str], first: int = 7) -> list[tuple[str, int, Any]]:
    """Every (operator, version, dtype)."""
    return [
        (op_type, opset, dtype)
        for op_type in op_types
        for opset in (versions(op_type, first) or [first])
        for dtype in dtypes(op_type, opset)
    ]


def check_typed(
    op_type: str, inputs: Sequence[Any], *, fixed_output: bool = False, **options: Any
) -> None:
    """Ours against onnxruntime, whose result in a wider dtype is rounded to the inputs' own.

    ``fixed_output`` is for an output dtype that does not follow the inputs'.
    """
    actual = run_ours(op_type, inputs, **options)
    dtype = inputs[0].dtype
    for wide in _attempts(dtype):
        widened = [
            x.astype(wide) if x is not None and x.dtype == dtype and wide != dtype else x
            for x in inputs
        ]
        try:
            expected = run_onnxruntime(op_type, widened, **options)
        except (ort_errors.NotImplemented, ort_errors.InvalidGraph):
            continue
        narrowed = [y if fixed_output or y.dtype != wide else y.astype(dtype) for y in expected]
        limits = FLOAT32 if dtype == np.float64 and wide == np.float32 else {}
        assert_same(actual, narrowed, **limits)
        return
    raise AssertionError(f"onnxruntime has no {op_type} for {dtype}, nor for a wider dtype")


def _attempts(dtype: Any) -> Iterator[Any]:
    if dtype.kind != "V":  # onnxruntime does not take ml_dtypes' arrays
        yield np.dtype(dtype)
    yield from (np.dtype(wide) for wide in WIDER.get(np.dtype(dtype), ()))

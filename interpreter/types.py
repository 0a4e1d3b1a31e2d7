"""ONNX's types, and the NumPy dtypes that hold them.

A value's type prints as onnxruntime prints it: ``tensor(float)``,
``seq(tensor(int64))``, ``optional(tensor(float))``, ``map(string,tensor(float))``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from onnx.onnx_pb import TensorProto, TensorShapeProto, TypeProto

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

Array: TypeAlias = np.ndarray[tuple[Any, ...], np.dtype[Any]]
Dtype: TypeAlias = np.dtype[Any]
Dim: TypeAlias = int | str | None
"""A dimension: a number, a name (all that share it are equal), or unknown."""

# (ONNX's enum, its name in type strings, the NumPy dtype). Strings are Python
# str in object arrays, as onnxruntime returns them.
_TABLE: list[tuple[int, str, Any]] = [
    (TensorProto.FLOAT, "float", np.float32),
    (TensorProto.UINT8, "uint8", np.uint8),
    (TensorProto.INT8, "int8", np.int8),
    (TensorProto.UINT16, "uint16", np.uint16),
    (TensorProto.INT16, "int16", np.int16),
    (TensorProto.INT32, "int32", np.int32),
    (TensorProto.INT64, "int64", np.int64),
    (TensorProto.STRING, "string", np.object_),
    (TensorProto.BOOL, "bool", np.bool_),
    (TensorProto.FLOAT16, "float16", np.float16),
    (TensorProto.DOUBLE, "double", np.float64),
    (TensorProto.UINT32, "uint32", np.uint32),
    (TensorProto.UINT64, "uint64", np.uint64),
    (TensorProto.COMPLEX64, "complex64", np.complex64),
    (TensorProto.COMPLEX128, "complex128", np.complex128),
]

_DTYPE_OF_ENUM: dict[int, Dtype] = {}
_ENUM_OF_DTYPE: dict[Dtype, int] = {}
_NAME_OF_DTYPE: dict[Dtype, str] = {}
_DTYPE_OF_NAME: dict[str, Dtype] = {}


def _enter(table: Iterable[tuple[int, str, Any]]) -> None:
    for enum, name, scalar in table:
        dtype = np.dtype(scalar)
        _DTYPE_OF_ENUM[enum], _ENUM_OF_DTYPE[dtype] = dtype, enum
        _DTYPE_OF_NAME[name], _NAME_OF_DTYPE[dtype] = dtype, name


_enter(_TABLE)


@cache
def _enter_small() -> None:
    """The types that NumPy does not have; few models do, and importing them takes 4 ms."""
    import ml_dtypes

    _enter(
        [
            (TensorProto.BFLOAT16, "bfloat16", ml_dtypes.bfloat16),
            (TensorProto.FLOAT8E4M3FN, "float8e4m3fn", ml_dtypes.float8_e4m3fn),
            (TensorProto.FLOAT8E4M3FNUZ, "float8e4m3fnuz", ml_dtypes.float8_e4m3fnuz),
            (TensorProto.FLOAT8E5M2, "float8e5m2", ml_dtypes.float8_e5m2),
            (TensorProto.FLOAT8E5M2FNUZ, "float8e5m2fnuz", ml_dtypes.float8_e5m2fnuz),
            (TensorProto.UINT4, "uint4", ml_dtypes.uint4),
            (TensorProto.INT4, "int4", ml_dtypes.int4),
            (TensorProto.FLOAT4E2M1, "float4e2m1", ml_dtypes.float4_e2m1fn),
            (24, "float8e8m0", ml_dtypes.float8_e8m0fnu),
            (25, "uint2", ml_dtypes.uint2),
            (26, "int2", ml_dtypes.int2),
            (27, "float6e2m3", ml_dtypes.float6_e2m3fn),
            (28, "float6e3m2", ml_dtypes.float6_e3m2fn),
        ]
    )


STRING = np.dtype(np.object_)


def dtype_of_enum(enum: int) -> Dtype:
    """The NumPy dtype of a ``TensorProto.DataType``; ``ValueError`` where there is none."""
    if enum not in _DTYPE_OF_ENUM:
        _enter_small()
    try:
        return _DTYPE_OF_ENUM[enum]
    except KeyError:
        raise ValueError(f"no tensor element type has the number {enum}") from None


def enum_of_dtype(dtype: DTypeLike) -> int:
    """The ``TensorProto.DataType`` of a NumPy dtype; any string dtype is STRING."""
    dtype = np.dtype(dtype)
    if dtype.kind in "US":
        return int(TensorProto.STRING)
    if dtype not in _ENUM_OF_DTYPE:
        _enter_small()
    try:
        return _ENUM_OF_DTYPE[dtype]
    except KeyError:
        raise ValueError(f"ONNX has no element type for {dtype}") from None


def dtype_name(dtype: Dtype) -> str:
    """ONNX's name of a dtype: ``float`` for float32, ``string`` for object."""
    if dtype not in _NAME_OF_DTYPE:
        _enter_small()
    return _NAME_OF_DTYPE.get(dtype, str(dtype))


def dtype_of_name(name: str) -> Dtype:
    """The dtype of ONNX's name: float32 for ``float``."""
    if name not in _DTYPE_OF_NAME:
        _enter_small()
    return _DTYPE_OF_NAME[name]


class _Half:
    """float16 and bfloat16. By name, since only models that have it import bfloat16."""

    def __contains__(self, dtype: Dtype) -> bool:
        return dtype.itemsize == 2 and dtype.name in ("float16", "bfloat16")


HALF = _Half()
"""The dtypes that are too coarse to compute in."""


@dataclass(frozen=True, slots=True)
class TensorType:
    """A dense tensor (or, with ``sparse``, a sparse one); ``shape`` None where not even the rank
    is known, ``dtype`` None where the element type is not."""

    dtype: Dtype | None
    shape: tuple[Dim, ...] | None = None
    sparse: bool = False

    def __str__(self) -> str:
        name = "?" if self.dtype is None else dtype_name(self.dtype)
        return f"sparse_tensor({name})" if self.sparse else f"tensor({name})"


@dataclass(frozen=True, slots=True)
class SequenceType:
    """A sequence, a Python list when it runs."""

    element: Type | None

    def __str__(self) -> str:
        return f"seq({self.element})"


@dataclass(frozen=True, slots=True)
class OptionalType:
    """A value that may be absent: None when it runs."""

    element: Type | None

    def __str__(self) -> str:
        return f"optional({self.element})"


@dataclass(frozen=True, slots=True)
class MapType:
    """A map, a Python dict when it runs."""

    key: Dtype
    value: Type | None

    def __str__(self) -> str:
        return f"map({dtype_name(self.key)},{self.value})"


Type: TypeAlias = TensorType | SequenceType | OptionalType | MapType


def type_of_proto(proto: TypeProto) -> Type | None:
    """The type that a ``TypeProto`` states, None where it states none."""
    kind = proto.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        tensor = getattr(proto, kind)
        enum = tensor.elem_type
        dtype = None if enum == TensorProto.UNDEFINED else dtype_of_enum(enum)
        shape: tuple[Dim, ...] | None = None
        if tensor.HasField("shape"):
            shape = tuple(_dim(dim) for dim in tensor.shape.dim)
        return TensorType(dtype, shape, sparse=kind == "sparse_tensor_type")
    if kind == "sequence_type":
        return SequenceType(type_of_proto(proto.sequence_type.elem_type))
    if kind == "optional_type":
        return OptionalType(type_of_proto(proto.optional_type.elem_type))
    if kind == "map_type":
        key = dtype_of_enum(proto.map_type.key_type)
        return MapType(key, type_of_proto(proto.map_type.value_type))
    return None


def _dim(proto: TensorShapeProto.Dimension) -> Dim:
    if proto.HasField("dim_value"):
        return proto.dim_value if proto.dim_value >= 0 else None  # some exporters write -1
    return proto.dim_param or None


def describe(value: object) -> str:
    """A short description for messages: ``float32 [1, 3, 32, 32]``."""
    if value is None:
        return "nothing"
    if isinstance(value, (np.ndarray, np.generic)):
        name = "string" if value.dtype == STRING else str(value.dtype)
        return f"{name} {list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"a sequence of {len(value)}"
    if isinstance(value, dict):
        return f"a map of {len(value)}"
    return type(value).__name__

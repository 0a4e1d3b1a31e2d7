"""The arrays of a model's tensors: from the file itself, and from files beside it.

A file is not trusted: a tensor's data must be as much as its dims say, and what
lies outside the model's own folder is never opened.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TypeAlias

import numpy as np
from onnx.onnx_pb import SparseTensorProto, TensorProto

from .errors import LoadError, ModelError
from .types import STRING, Array, Dtype, dtype_of_enum

Folders: TypeAlias = tuple[Path, ...]
"""Where external data may lie: the folder that it is looked for in comes first; none for a model
that did not come from a file."""

_BITS = {"int4": 4, "uint4": 4, "float4_e2m1fn": 4, "int2": 2, "uint2": 2}
"""The dtypes of which several elements share a byte in a file."""


def folders_of(path: Path) -> Folders:
    """The folder of a model's file, and where the file itself lies if that is a link to it."""
    return path.parent.resolve(), path.resolve().parent


def read_tensor(proto: TensorProto, folders: Folders) -> Array:
    """The array of a tensor; read-only, since a session never changes its model.

    Raises ``ModelError`` where the data are not what dims and type say, and
    ``LoadError`` for external data that are missing or out of bounds.
    """
    try:
        dtype = dtype_of_enum(proto.data_type)
    except ValueError as error:
        raise ModelError(f"tensor '{proto.name}': {error}") from None
    if any(dim < 0 for dim in proto.dims):
        raise ModelError(f"tensor '{proto.name}' has a negative dimension: {list(proto.dims)}")
    if proto.data_location == TensorProto.EXTERNAL:
        array = _external(proto, dtype, folders)
    elif dtype == STRING:
        array = np.empty(len(proto.string_data), dtype=STRING)
        array[:] = [text(item) for item in proto.string_data]
        array = _shaped(array, proto)
    elif proto.HasField("raw_data"):
        array = _from_bytes(proto.raw_data, dtype, proto)
    else:
        array = _from_fields(proto, dtype)
    array.flags.writeable = False
    return array


def read_sparse(proto: SparseTensorProto, folders: Folders) -> Array:
    """The dense array of a sparse tensor in COO form, whose indices are linear ([nnz]) or
    coordinates ([nnz, rank])."""
    title = f"sparse tensor '{proto.values.name}'"
    values, indices = read_tensor(proto.values, folders), read_tensor(proto.indices, folders)
    shape = tuple(proto.dims)
    if any(dim < 0 for dim in shape):
        raise ModelError(f"{title} has a negative dimension: {list(shape)}")
    if values.ndim != 1 or indices.shape not in (values.shape, (len(values), len(shape))):
        raise ModelError(
            f"{title} of rank {len(shape)} has values of shape {list(values.shape)} "
            f"and indices of shape {list(indices.shape)}"
        )
    limits = math.prod(shape) if indices.ndim == 1 else np.array(shape)
    if indices.dtype != np.int64 or (indices < 0).any() or (indices >= limits).any():
        raise ModelError(f"{title} has indices outside its dims {list(shape)}")
    try:
        dense = np.zeros(shape, values.dtype)
    except (MemoryError, ValueError):
        raise LoadError(f"{title} of {list(shape)} does not fit into memory") from None
    if values.dtype == STRING:
        dense.fill("")
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    dense.flags.writeable = False
    return dense


def text(data: bytes) -> str:
    """A string of the file: UTF-8 by the standard; other bytes survive a round trip."""
    return data.decode("utf-8", "surrogateescape")


def _size(proto: TensorProto, dtype: Dtype) -> int:
    """How many bytes the elements take in a file."""
    bits: int = _BITS.get(dtype.name, dtype.itemsize * 8)
    return (math.prod(map(int, proto.dims)) * bits + 7) // 8


def _from_bytes(data: bytes, dtype: Dtype, proto: TensorProto) -> Array:
    expected = _size(proto, dtype)
    if len(data) != expected:
        raise ModelError(
            f"tensor '{proto.name}' holds {len(data)} bytes; its dims {list(proto.dims)} "
            f"of {dtype} need {expected}"
        )
    if dtype.name not in _BITS and sys.byteorder == "little":
        return np.frombuffer(data, dtype).reshape(tuple(proto.dims))
    inner = TensorProto(data_type=proto.data_type, dims=proto.dims, raw_data=data)
    return _unpacked(inner).astype(dtype, copy=False)


def _from_fields(proto: TensorProto, dtype: Dtype) -> Array:
    """From the lists of numbers that a tensor may hold instead of bytes."""
    try:
        return _unpacked(proto).astype(dtype, copy=False)
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"tensor '{proto.name}' does not hold what its dims {list(proto.dims)} "
            f"and type say: {error}"
        ) from error


def _unpacked(proto: TensorProto) -> Array:
    from onnx import numpy_helper  # not loaded for the many models whose tensors are plain bytes

    return numpy_helper.to_array(proto)


def _shaped(array: Array, proto: TensorProto) -> Array:
    if array.size != math.prod(proto.dims):
        raise ModelError(
            f"tensor '{proto.name}' holds {array.size} elements; its dims {list(proto.dims)} "
            f"need {math.prod(proto.dims)}"
        )
    return array.reshape(tuple(proto.dims))


def _external(proto: TensorProto, dtype: Dtype, folders: Folders) -> Array:
    """Data beside the model, memory-mapped; never from outside its folder."""
    entries = {entry.key: entry.value for entry in proto.external_data}
    location = entries.get("location", "")
    title = f"tensor '{proto.name}' has its data in '{location}'"
    if dtype == STRING:
        raise ModelError(f"{title}, but strings cannot lie outside the model's file")
    if not folders:
        raise LoadError(f"{title}, beside the model's file: load the model from its path")
    path = _path_of(location, title, folders)
    size = _size(proto, dtype)
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries.get("length", size))
    except ValueError:
        raise ModelError(f"{title} at an offset or length that is no number") from None
    try:
        available = path.stat().st_size
        if length != size or offset < 0 or offset + size > available:
            raise LoadError(
                f"{title}, {size} bytes from {offset} by its dims, but the entry says {length} "
                f"and the file has {available}"
            )
        if size == 0:
            return np.zeros(tuple(proto.dims), dtype)
        if dtype.name in _BITS or sys.byteorder != "little":
            with path.open("rb") as file:
                file.seek(offset)
                return _from_bytes(file.read(size), dtype, proto)
        mapped = np.memmap(path, np.uint8, mode="r", offset=offset, shape=(size,))
    except OSError as error:
        raise LoadError(f"{title}, which cannot be read: {error.strerror}") from None
    return np.asarray(mapped).view(dtype).reshape(tuple(proto.dims))


def _path_of(location: str, title: str, folders: Folders) -> Path:
    """The file of a location that is inside the model's own folder, links followed."""
    relative = Path(location)
    inside = location and "\0" not in location and not relative.is_absolute()
    if inside and ".." not in relative.parts:
        path = (folders[0] / relative).resolve()
        inside = any(path.is_relative_to(folder) for folder in folders)
    else:
        inside = False
    if not inside:
        raise LoadError(f"{title}, outside the model's own folder, which is refused")
    if not path.exists():
        raise LoadError(f"{title}, but there is no such file")
    if not path.is_file():
        raise LoadError(f"{title}, which is no file")
    return path

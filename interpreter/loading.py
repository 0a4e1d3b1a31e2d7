"""From a file, bytes or a ``ModelProto`` to a ``Model``.

A file is not trusted: external data stays inside the model's own folder, a
tensor's bytes must be as many as its dims say, and subgraphs nest only so deep.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from .checking import check_graph, order_nodes
from .errors import LoadError, ModelError, UnsupportedError
from .graph import AttributeRef, Function, Graph, Model, Node, Value
from .inference import infer_types
from .inlining import inline_functions
from .registry import DOMAIN_ALIASES
from .support import check_support
from .types import STRING, Array, densify, dtype_of_enum, type_of_proto

Source: TypeAlias = str | os.PathLike[str] | bytes | ModelProto
"""What a model may be loaded from."""

MAX_DEPTH = 32
"""How deep subgraphs may nest; real models need three or four."""


def load(source: Source) -> Model:
    """Read, check and convert a model.

    Parameters
    ----------
    source : a path (``.onnx``, or the text forms that onnx reads: ``.onnxtxt``,
        ``.textproto``, ``.json``), the bytes of a file, or a ``ModelProto``.

    Raises
    ------
    LoadError : no such file, not an ONNX model, truncated, unsafe external data.
    ModelError : the graph breaks a rule of the specification.
    UnsupportedError : operators that this version does not have, all at once.
    """
    proto, folder = _read(source)
    if not proto.ir_version or not proto.HasField("graph"):
        raise LoadError(f"{_title(source)} is not an ONNX model: it holds no graph")
    opsets = {
        DOMAIN_ALIASES.get(entry.domain, entry.domain): entry.version
        for entry in proto.opset_import
    }
    if not opsets and proto.ir_version >= 3:
        raise ModelError(f"{_title(source)} imports no opset: it must say which version it uses")
    opsets.setdefault("", 1)
    if opsets[""] > onnx.defs.onnx_opset_version():
        raise UnsupportedError(
            f"{_title(source)} is written in opset {opsets['']}; the installed onnx package knows "
            f"up to {onnx.defs.onnx_opset_version()}: update it, or export with an older opset"
        )
    reader = _Reader(opsets, folder)
    functions = {}
    for function in proto.functions:
        read = reader.function(function)
        functions[read.domain, read.name, read.overload] = read
    # Our own checks come first: their sentences are better than those of inference.
    graph = order_nodes(reader.graph(proto.graph))
    check_graph(graph)
    types = cache(lambda: infer_types(proto))
    graph = inline_functions(graph, functions, types)
    check_support(graph)
    graph = replace(graph, types={**graph.types, **types()})
    return Model(
        graph=graph,
        opsets=opsets,
        ir_version=proto.ir_version,
        metadata={entry.key: entry.value for entry in proto.metadata_props},
        producer_name=proto.producer_name,
        producer_version=proto.producer_version,
        domain=proto.domain,
        model_version=proto.model_version,
        description=proto.doc_string,
    )


def _title(source: Source) -> str:
    return str(source) if isinstance(source, (str, os.PathLike)) else "the model"


def _read(source: Source) -> tuple[ModelProto, Path | None]:
    """The protobuf, and the folder in which external data may lie (None: nowhere)."""
    if isinstance(source, ModelProto):
        return source, None
    if isinstance(source, (bytes, bytearray, memoryview)):
        data, folder, text_format = bytes(source), None, None
    else:
        path = Path(source)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise LoadError(f"{path}: no such file") from None
        except OSError as error:
            raise LoadError(f"{path} cannot be read: {error.strerror}") from None
        folder = path.resolve().parent
        text_format = {".onnxtxt": "onnxtxt", ".textproto": "textproto", ".json": "json"}.get(
            path.suffix, "textproto" if path.suffix in (".prototxt", ".pbtxt") else None
        )
    try:
        if text_format is None:
            proto = ModelProto.FromString(data)
        else:
            proto = onnx.load_model_from_string(data, format=text_format)
    except (DecodeError, RuntimeError) as error:
        raise LoadError(f"{_title(source)} is not an ONNX model, or it is truncated") from error
    except Exception as error:  # the text formats raise errors of their own parsers
        reason = str(error).strip().splitlines()[0]
        raise LoadError(f"{_title(source)} is not an ONNX model in text form: {reason}") from error
    return proto, folder


class _Reader:
    """Turns protobuf messages into the dataclasses of ``graph``."""

    def __init__(self, opsets: Mapping[str, int], folder: Path | None) -> None:
        self.opsets = opsets
        self.folder = folder
        self.depth = 0

    def graph(self, proto: GraphProto) -> Graph:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ModelError(f"graph '{proto.name}' nests deeper than {MAX_DEPTH} subgraphs")
        initializers: dict[str, Array] = {}
        for tensor in proto.initializer:
            if tensor.name in initializers:
                raise ModelError(f"two initialisers have the name '{tensor.name}'")
            initializers[tensor.name] = self.tensor(tensor)
        for sparse in proto.sparse_initializer:
            initializers[sparse.values.name] = densify(
                sparse, self.tensor(sparse.values), self.tensor(sparse.indices)
            )
        graph = Graph(
            name=proto.name,
            nodes=tuple(self.node(node, index) for index, node in enumerate(proto.node)),
            inputs=tuple(Value(value.name, type_of_proto(value.type)) for value in proto.input),
            outputs=tuple(Value(value.name, type_of_proto(value.type)) for value in proto.output),
            initializers=initializers,
            types={
                value.name: known
                for value in proto.value_info
                if (known := type_of_proto(value.type)) is not None
            },
        )
        self.depth -= 1
        return graph

    def node(self, proto: NodeProto, index: int) -> Node:
        domain = DOMAIN_ALIASES.get(proto.domain, proto.domain)
        attributes: dict[str, Any] = {}
        for attribute in proto.attribute:
            if attribute.name in attributes:
                raise ModelError(
                    f"node {index} '{proto.name}' ({proto.op_type}) "
                    f"gives the attribute '{attribute.name}' twice"
                )
            attributes[attribute.name] = self.attribute(attribute)
        return Node(
            op_type=proto.op_type,
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            attributes=attributes,
            name=proto.name,
            domain=domain,
            opset=self.opsets.get(domain, 1),
            overload=proto.overload,
            index=index,
        )

    def function(self, proto: onnx.FunctionProto) -> Function:
        return read_function(proto, self.folder, self.opsets)

    def attribute(self, proto: AttributeProto) -> Any:
        """The attribute's Python value: tuples for lists, str for bytes, arrays for tensors."""
        if proto.ref_attr_name:
            return AttributeRef(proto.ref_attr_name)
        kind = proto.type
        if kind == AttributeProto.FLOAT:
            return proto.f
        if kind == AttributeProto.INT:
            return proto.i
        if kind == AttributeProto.STRING:
            return _text(proto.s)
        if kind == AttributeProto.TENSOR:
            return self.tensor(proto.t)
        if kind == AttributeProto.GRAPH:
            return self.graph(proto.g)
        if kind == AttributeProto.SPARSE_TENSOR:
            sparse = proto.sparse_tensor
            return densify(sparse, self.tensor(sparse.values), self.tensor(sparse.indices))
        if kind == AttributeProto.TYPE_PROTO:
            return type_of_proto(proto.tp)
        if kind == AttributeProto.FLOATS:
            return tuple(proto.floats)
        if kind == AttributeProto.INTS:
            return tuple(proto.ints)
        if kind == AttributeProto.STRINGS:
            return tuple(_text(item) for item in proto.strings)
        if kind == AttributeProto.TENSORS:
            return tuple(self.tensor(item) for item in proto.tensors)
        if kind == AttributeProto.GRAPHS:
            return tuple(self.graph(item) for item in proto.graphs)
        if kind == AttributeProto.TYPE_PROTOS:
            return tuple(type_of_proto(item) for item in proto.type_protos)
        raise UnsupportedError(
            f"attribute '{proto.name}' has the type "
            f"{AttributeProto.AttributeType.Name(kind)}, which this version cannot read"
        )

    def tensor(self, proto: TensorProto) -> Array:
        """The array of a tensor; read-only, since a session never changes its model."""
        try:
            dtype = dtype_of_enum(proto.data_type)
        except ValueError as error:
            raise ModelError(f"tensor '{proto.name}': {error}") from None
        if any(dim < 0 for dim in proto.dims):
            raise ModelError(f"tensor '{proto.name}' has a negative dimension: {list(proto.dims)}")
        if proto.data_location == TensorProto.EXTERNAL:
            array = self.external(proto, dtype)
        elif dtype == STRING:
            array = np.empty(len(proto.string_data), dtype=STRING)
            array[:] = [_text(item) for item in proto.string_data]
            array = _shaped(array, proto)
        elif proto.HasField("raw_data") and dtype.isbuiltin == 1 and sys.byteorder == "little":
            array = _shaped(_from_bytes(proto.raw_data, dtype, proto), proto)
        else:
            try:
                array = numpy_helper.to_array(proto).astype(dtype, copy=False)
            except (ValueError, TypeError) as error:
                raise ModelError(
                    f"tensor '{proto.name}' does not hold what its dims {list(proto.dims)} "
                    f"and type say: {error}"
                ) from error
        array.flags.writeable = False
        return array

    def external(self, proto: TensorProto, dtype: np.dtype[Any]) -> Array:
        """Data beside the model, memory-mapped; never from outside its folder."""
        entries = {entry.key: entry.value for entry in proto.external_data}
        location = entries.get("location", "")
        title = f"tensor '{proto.name}' has its data in '{location}'"
        if self.folder is None:
            raise LoadError(f"{title}, beside the model's file: load the model from its path")
        path = (self.folder / location).resolve()
        if (
            not location
            or Path(location).is_absolute()
            or ".." in Path(location).parts
            or not path.is_relative_to(self.folder)
        ):
            raise LoadError(f"{title}, outside the model's own folder, which is refused")
        count = math.prod(proto.dims)
        bits = {"int4": 4, "uint4": 4, "float4_e2m1fn": 4, "int2": 2, "uint2": 2}
        packed = bits.get(dtype.name)
        size = count * dtype.itemsize if packed is None else math.ceil(count * packed / 8)
        try:
            offset = int(entries.get("offset", 0))
            length = int(entries.get("length", size))
            available = path.stat().st_size
        except FileNotFoundError:
            raise LoadError(f"{title}, but there is no such file") from None
        except ValueError:
            raise ModelError(f"{title} at an offset or length that is no number") from None
        if length != size or offset < 0 or offset + size > available:
            raise LoadError(
                f"{title}, {size} bytes from {offset} by its dims, but the entry says {length} "
                f"and the file has {available}"
            )
        if size == 0:
            return np.zeros(tuple(proto.dims), dtype)
        if packed is not None:
            with path.open("rb") as file:
                file.seek(offset)
                inner = TensorProto(
                    data_type=proto.data_type, dims=proto.dims, raw_data=file.read(size)
                )
            return numpy_helper.to_array(inner).astype(dtype, copy=False)
        return np.memmap(path, dtype, mode="r", offset=offset, shape=tuple(proto.dims))


def read_function(
    proto: onnx.FunctionProto, folder: Path | None, model_opsets: Mapping[str, int]
) -> Function:
    """A function as a dataclass; its nodes have the opsets that the function imports."""
    opsets = dict(model_opsets)
    opsets.update(
        {
            DOMAIN_ALIASES.get(entry.domain, entry.domain): entry.version
            for entry in proto.opset_import
        }
    )
    reader = _Reader(opsets, folder)
    attributes: dict[str, Any] = dict.fromkeys(proto.attribute)
    attributes.update({item.name: reader.attribute(item) for item in proto.attribute_proto})
    return Function(
        name=proto.name,
        domain=DOMAIN_ALIASES.get(proto.domain, proto.domain),
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes=attributes,
        nodes=tuple(reader.node(node, index) for index, node in enumerate(proto.node)),
        overload=proto.overload,
    )


def _text(data: bytes) -> str:
    # Strings are UTF-8 by the standard; other bytes survive a round trip.
    return data.decode("utf-8", "surrogateescape")


def _from_bytes(data: bytes, dtype: np.dtype[Any], proto: TensorProto) -> Array:
    expected = math.prod(proto.dims) * dtype.itemsize
    if len(data) != expected:
        raise ModelError(
            f"tensor '{proto.name}' holds {len(data)} bytes; its dims {list(proto.dims)} "
            f"of {dtype} need {expected}"
        )
    return np.frombuffer(data, dtype)


def _shaped(array: Array, proto: TensorProto) -> Array:
    if array.size != math.prod(proto.dims):
        raise ModelError(
            f"tensor '{proto.name}' holds {array.size} elements; its dims {list(proto.dims)} "
            f"need {math.prod(proto.dims)}"
        )
    return array.reshape(tuple(proto.dims))

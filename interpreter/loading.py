"""From a file, bytes or a ``ModelProto`` to a ``Model``.

A file is not trusted: what its tensors may claim is checked in ``tensors``,
subgraphs nest only so deep, and functions grow only so large.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import onnx.defs as schemas
from google.protobuf.message import DecodeError
from onnx.onnx_pb import (
    IR_VERSION,
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    ValueInfoProto,
)

from .checking import check_graph, order_nodes
from .errors import LoadError, ModelError, UnsupportedError
from .graph import AttributeRef, Function, Graph, Model, Node, Value
from .inference import infer_types
from .inlining import inline_functions
from .registry import DOMAIN_ALIASES
from .support import check_support, walk
from .tensors import Folders, folders_of, read_sparse, read_tensor, text
from .types import Array, Type, type_of_proto

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
    return convert(*read_proto(source), title=_title(source))


def convert(
    proto: ModelProto, folders: Folders, *, title: str = "the model", supported: bool = True
) -> Model:
    """Check and convert what ``read_proto`` read.

    ``title`` names the model in messages. ``supported=False`` lets nodes
    without a kernel pass, for looking at a model that cannot be run. Raises
    what ``load`` raises.
    """
    try:
        return _convert(proto, folders, title, supported)
    except UnicodeError as error:
        raise LoadError(f"{title} is damaged: it holds a name that is not UTF-8") from error


def _check_names(*names: Any) -> None:
    # protobuf gives a string that is not UTF-8 as bytes.
    if bytes in map(type, names):
        raise UnicodeError("a name that is not UTF-8")


def _convert(proto: ModelProto, folders: Folders, title: str, supported: bool) -> Model:
    if not proto.ir_version or not proto.HasField("graph"):
        raise LoadError(f"{title} is not an ONNX model: it holds no graph")
    if proto.ir_version > IR_VERSION:
        raise UnsupportedError(
            f"{title} is of IR version {proto.ir_version}; the installed onnx package knows up to "
            f"{IR_VERSION}: update it, or save the model with an older one"
        )
    _check_names(proto.producer_name, proto.producer_version, proto.domain, proto.doc_string)
    _check_names(proto.graph.doc_string)
    for item in proto.metadata_props:
        _check_names(item.key, item.value)
    opsets = _opsets(proto, title)
    reader = _Reader(opsets, folders)
    functions = {}
    for function in proto.functions:
        read = reader.function(function)
        key = read.domain, read.name, read.overload
        if key in functions:
            raise ModelError(f"{title} defines the function {read.domain}.{read.name} twice")
        functions[key] = read
    # Our own checks come first: their sentences are better than those of inference.
    graph = reader.graph(proto.graph)
    check_graph(graph)
    graph = order_nodes(graph)
    original = graph
    types = cache(lambda: infer_types(proto, original, list(functions.values())))
    graph = inline_functions(graph, functions, types)
    if supported:
        if any(node.op_type == "Gradient" for node in walk(graph)):
            from .gradients.expand import expand_gradients  # few models train

            graph = expand_gradients(graph, types)
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
        graph_description=proto.graph.doc_string,
    )


def _opsets(proto: ModelProto, title: str) -> dict[str, int]:
    """The opset of each domain that the model imports."""
    opsets = _imports(proto.opset_import, title)
    if not opsets:
        if proto.ir_version >= 3:
            raise ModelError(f"{title} imports no opset: it must say which version it uses")
        opsets[""] = 1  # before IR version 3 there was one
    return opsets


def _imports(entries: Iterable[OperatorSetIdProto], title: str) -> dict[str, int]:
    """The opsets that a model or a function imports, if the onnx package knows them."""
    opsets = {}
    for entry in entries:
        _check_names(entry.domain)
        opsets[DOMAIN_ALIASES.get(entry.domain, entry.domain)] = entry.version
    for domain, version in opsets.items():
        known = _newest_opsets().get(domain)
        name = domain or "ai.onnx"
        if version < 1:
            raise ModelError(f"{title} imports opset {version} of {name}; the first is 1")
        if known is not None and version > known:
            raise UnsupportedError(
                f"{title} is written in opset {version} of {name}; the installed onnx package "
                f"knows up to {known}: update it, or export with an older opset"
            )
    return opsets


def _newest_opsets() -> dict[str, int]:
    """The newest opset of the standard's domains that the onnx package knows."""
    return {"": schemas.onnx_opset_version(), "ai.onnx.ml": schemas.onnx_ml_opset_version()}


def _title(source: Source) -> str:
    return str(source) if isinstance(source, (str, os.PathLike)) else "the model"


_TEXT_FORMATS = {
    ".onnxtxt": "onnxtxt",
    ".textproto": "textproto",
    ".prototxt": "textproto",
    ".pbtxt": "textproto",
    ".json": "json",
    ".onnxjson": "json",
}


def read_proto(source: Source) -> tuple[ModelProto, Folders]:
    """The protobuf, and the folders in which its external data may lie."""
    if isinstance(source, ModelProto):
        return source, ()
    data: bytes | memoryview
    title, text_format = _title(source), None
    folders: Folders = ()
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    else:
        path = Path(source)
        try:
            data = _contents(path)
        except FileNotFoundError:
            raise LoadError(f"{path}: no such file") from None
        except OSError as error:
            raise LoadError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError as error:  # a path with a null character
            raise LoadError(f"{str(path)!r} cannot be read: {error}") from None
        folders = folders_of(path)
        text_format = _TEXT_FORMATS.get(path.suffix.lower())
    try:
        if text_format is None:
            return ModelProto.FromString(data), folders
        from onnx import load_model_from_string

        return load_model_from_string(bytes(data), format=text_format), folders
    except (DecodeError, RuntimeError) as error:
        raise LoadError(f"{title} is not an ONNX model, or it is truncated") from error
    except Exception as error:  # the text formats raise errors of their own parsers
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise LoadError(f"{title} is not an ONNX model in text form: {reason}") from error


def _contents(path: Path) -> bytes | memoryview:
    """The bytes of a file: mapped where they can be, for what is parsed from them is a copy."""
    with path.open("rb") as file:
        try:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError):  # a pipe, or nothing
            return file.read()


class _Reader:
    """Turns protobuf messages into the dataclasses of ``graph``."""

    def __init__(self, opsets: Mapping[str, int], folders: Folders) -> None:
        self.opsets = opsets
        self.folders = folders
        self.depth = 0

    def graph(self, proto: GraphProto) -> Graph:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ModelError(f"graph '{proto.name}' nests deeper than {MAX_DEPTH} subgraphs")
        _check_names(proto.name)
        initializers: dict[str, Array] = {}
        for tensor in proto.initializer:
            self.add(initializers, tensor.name, read_tensor(tensor, self.folders))
        for sparse in proto.sparse_initializer:
            self.add(initializers, sparse.values.name, read_sparse(sparse, self.folders))
        graph = Graph(
            name=proto.name,
            nodes=tuple(self.node(node, index) for index, node in enumerate(proto.node)),
            inputs=tuple(Value(value.name, self.type(value)) for value in proto.input),
            outputs=tuple(Value(value.name, self.type(value)) for value in proto.output),
            initializers=initializers,
            types={
                value.name: known
                for value in proto.value_info
                if (known := self.type(value)) is not None
            },
        )
        self.depth -= 1
        return graph

    @staticmethod
    def add(initializers: dict[str, Array], name: str, array: Array) -> None:
        _check_names(name)
        if not name:
            raise ModelError("an initialiser has no name")
        if name in initializers:
            raise ModelError(f"two initialisers have the name '{name}'")
        initializers[name] = array

    @staticmethod
    def type(value: ValueInfoProto) -> Type | None:
        _check_names(value.name)
        try:
            return type_of_proto(value.type)
        except ValueError as error:
            raise ModelError(f"the type of '{value.name}' is wrong: {error}") from None

    def node(self, proto: NodeProto, index: int) -> Node:
        _check_names(proto.op_type, proto.domain, proto.name, proto.overload)
        _check_names(*proto.input, *proto.output)
        domain = DOMAIN_ALIASES.get(proto.domain, proto.domain)
        attributes: dict[str, Any] = {}
        for attribute in proto.attribute:
            if attribute.name in attributes:
                raise ModelError(
                    f"node {index} '{proto.name}' ({proto.op_type}) "
                    f"gives the attribute '{attribute.name}' twice"
                )
            attributes[attribute.name] = self.attribute(attribute)
        if domain not in self.opsets:
            raise ModelError(
                f"node {index} '{proto.name}' ({proto.op_type}) is of the domain "
                f"'{domain or 'ai.onnx'}', of which the model imports no opset"
            )
        return Node(
            op_type=proto.op_type,
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            attributes=attributes,
            name=proto.name,
            domain=domain,
            opset=self.opsets[domain],
            overload=proto.overload,
            index=index,
        )

    def function(self, proto: FunctionProto) -> Function:
        return read_function(proto, self.folders, self.opsets)

    def attribute(self, proto: AttributeProto) -> Any:
        """The attribute's Python value: tuples for lists, str for bytes, arrays for tensors."""
        _check_names(proto.name, proto.ref_attr_name)
        if proto.ref_attr_name:
            return AttributeRef(proto.ref_attr_name)
        kind = proto.type
        if kind == AttributeProto.FLOAT:
            return proto.f
        if kind == AttributeProto.INT:
            return proto.i
        if kind == AttributeProto.STRING:
            return text(proto.s)
        if kind == AttributeProto.TENSOR:
            return read_tensor(proto.t, self.folders)
        if kind == AttributeProto.GRAPH:
            return self.graph(proto.g)
        if kind == AttributeProto.SPARSE_TENSOR:
            return read_sparse(proto.sparse_tensor, self.folders)
        if kind == AttributeProto.TYPE_PROTO:
            return type_of_proto(proto.tp)
        if kind == AttributeProto.FLOATS:
            return tuple(proto.floats)
        if kind == AttributeProto.INTS:
            return tuple(proto.ints)
        if kind == AttributeProto.STRINGS:
            return tuple(text(item) for item in proto.strings)
        if kind == AttributeProto.TENSORS:
            return tuple(read_tensor(item, self.folders) for item in proto.tensors)
        if kind == AttributeProto.GRAPHS:
            return tuple(self.graph(item) for item in proto.graphs)
        if kind == AttributeProto.TYPE_PROTOS:
            return tuple(type_of_proto(item) for item in proto.type_protos)
        raise UnsupportedError(
            f"attribute '{proto.name}' has the type "
            f"{AttributeProto.AttributeType.Name(kind)}, which this version cannot read"
        )


def read_function(
    proto: FunctionProto, folders: Folders, model_opsets: Mapping[str, int]
) -> Function:
    """A function as a dataclass; its nodes have the opsets that the function imports."""
    opsets = {**model_opsets, **_imports(proto.opset_import, f"the function {proto.name}")}
    _check_names(proto.name, proto.domain, proto.overload)
    _check_names(*proto.input, *proto.output, *proto.attribute)
    reader = _Reader(opsets, folders)
    attributes: dict[str, Any] = dict.fromkeys(proto.attribute)
    attributes.update({item.name: reader.attribute(item) for item in proto.attribute_proto})
    body = Graph(
        name=proto.name,
        nodes=tuple(reader.node(node, index) for index, node in enumerate(proto.node)),
        inputs=tuple(Value(name) for name in proto.input),
        outputs=tuple(Value(name) for name in proto.output),
    )
    check_graph(body)
    return Function(
        name=proto.name,
        domain=DOMAIN_ALIASES.get(proto.domain, proto.domain),
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes=attributes,
        nodes=order_nodes(body).nodes,
        overload=proto.overload,
    )

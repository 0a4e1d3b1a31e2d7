"""The other sides that a model is compared with: what ``compare --against`` names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from scratch_onnx import missing_extra
from scratch_onnx.files import read_npy
from scratch_onnx.interpreter import InferenceSession
from scratch_onnx.interpreter.errors import InputError, ScratchOnnxError
from scratch_onnx.interpreter.graph import Value
from scratch_onnx.interpreter.inspection.compare import NodeComparison, Peer
from scratch_onnx.interpreter.inspection.compare import compare as compare_nodes
from scratch_onnx.interpreter.inspection.trace import MANIFEST
from scratch_onnx.interpreter.plan import compile_graph

Feed = Mapping[str, Any]


def peer_of(against: str, model: str, session: InferenceSession, feed: Feed) -> Peer:
    """The side that ``--against`` names.

    ``onnxruntime``, ``reference`` (onnx's own evaluator), ``keras:FILE``,
    ``dir:TRACE`` (what ``trace --save`` wrote), or the path of another model.

    Raises ``ScratchOnnxError`` where it cannot be had, with the extra that
    brings it.
    """
    if against == "onnxruntime":
        return OnnxRuntimePeer(model, feed)
    if against == "reference":
        return ReferencePeer(model, feed)
    kind, colon, rest = against.partition(":")
    if colon and kind == "keras":
        from scratch_onnx.keras_peer import KerasPeer

        return KerasPeer(rest, session, feed)
    if colon and kind == "dir":
        return TracePeer(rest)
    return ModelPeer(against, session, feed)


def compare(
    model: str | PathLike[str],
    feed: Feed,
    against: str,
    *,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> list[NodeComparison]:
    """Compare a model file node by node with another side: see ``interpreter.inspection.compare``.

    ``against`` is what ``peer_of`` takes. A value may differ by ``atol + rtol``
    times the other side's largest element.
    """
    session = InferenceSession(model, optimize=False)
    peer = peer_of(against, str(model), session, feed)
    return list(compare_nodes(session, feed, peer, rtol=rtol, atol=atol))


class _SameLayout:
    """Of a side whose values have our layout."""

    def align(self, value: Any, like: Any) -> Any:
        """The value; text as objects, as we have it."""
        del like
        return value


class _ProtoPeer(_SameLayout):
    """A side that runs the same file, with the wanted values as its outputs."""

    name = ""

    def __init__(self, model: str, feed: Feed) -> None:
        self.proto = onnx.load(model)
        self.feed = {name: np.ascontiguousarray(value) for name, value in feed.items()}
        self.produced = {name for node in self.proto.graph.node for name in node.output if name}

    def has(self, name: str) -> bool:
        """Whether a node of the file's own graph gives it."""
        return name in self.produced

    def values(self, names: Sequence[str]) -> dict[str, Any]:
        """The values, from one run."""
        known = [name for name in dict.fromkeys(names) if self.has(name)]
        if not known:
            return {}
        del self.proto.graph.output[:]
        self.proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in known)
        try:
            return dict(zip(known, self._run(known), strict=True))
        except ScratchOnnxError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ScratchOnnxError(f"{self.name} cannot run the model: {reason}") from error

    def _run(self, names: Sequence[str]) -> Sequence[Any]:
        raise NotImplementedError


class OnnxRuntimePeer(_ProtoPeer):
    """onnxruntime, one node after another, without its graph optimisations."""

    name = "onnxruntime"

    def _run(self, names: Sequence[str]) -> Sequence[Any]:
        try:
            import onnxruntime
        except ImportError as error:
            raise missing_extra("--against onnxruntime", "dev", error) from error
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            self.proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return list(session.run(list(names), self.feed))


class ReferencePeer(_ProtoPeer):
    """onnx's reference evaluator, which is wrong for some operators and old opsets."""

    name = "onnx's reference evaluator"

    def _run(self, names: Sequence[str]) -> Sequence[Any]:
        from onnx.reference import ReferenceEvaluator

        return list(ReferenceEvaluator(self.proto).run(list(names), dict(self.feed)))


class ModelPeer(_SameLayout):
    """Another file, run by this interpreter. Values are matched by their names."""

    def __init__(self, path: str, session: InferenceSession, feed: Feed) -> None:
        self.name = path
        self.session = InferenceSession(path, optimize=False)
        self.graph = self.session.model.graph
        ours = [value.name for value in session.get_inputs()]
        theirs = [value.name for value in self.session.get_inputs()]
        if set(theirs) != set(ours):
            raise InputError(
                f"{path} takes the inputs {', '.join(theirs)}, and the model {', '.join(ours)}"
            )
        self.inputs = self.session.prepare({name: feed[name] for name in theirs})
        self.produced = {name for node in self.graph.nodes for name in node.outputs if name}

    def has(self, name: str) -> bool:
        """Whether the other file has a value of that name."""
        return name in self.produced

    def values(self, names: Sequence[str]) -> dict[str, Any]:
        """The values, from one run that keeps no others."""
        known = [name for name in names if self.has(name)]
        part = replace(self.graph, outputs=tuple(Value(name) for name in known))
        with np.errstate(all="ignore"):
            outputs = compile_graph(part).execute(self.inputs)
        return dict(zip(known, outputs, strict=True))


class TracePeer(_SameLayout):
    """The folder that ``trace --save`` wrote, read value by value."""

    def __init__(self, folder: str) -> None:
        self.name = folder
        self.folder = Path(folder)
        try:
            document = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
            self.files = {
                value["name"]: (value["file"], value["dtype"])
                for value in document["values"]
                if not value["depth"]
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder} is no trace that 'scratch-onnx trace --save' wrote: {error}"
            ) from error

    def has(self, name: str) -> bool:
        """Whether the value was saved."""
        return name in self.files

    def values(self, names: Sequence[str]) -> dict[str, Any]:
        """The values, memory-mapped."""
        found = {}
        for name in names:
            if name in self.files:
                file, dtype = self.files[name]
                path = self.folder / Path(file).name
                array = read_npy(str(path))
                found[name] = array.astype(object) if dtype == "string" else array
        return found

    def align(self, value: Any, like: Any) -> Any:
        """The value; bfloat16 and its kin, which .npy stores as raw bytes, by our dtype."""
        if value.dtype.type is np.void and isinstance(like, np.ndarray):
            return value.view(like.dtype)
        return value

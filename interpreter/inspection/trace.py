"""Every value of a run as it is computed: statistics, files and pictures, one value at a time."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ..errors import ScratchOnnxError
from ..graph import Node
from ..loading import Source
from ..session import InferenceSession
from ..types import STRING
from .summary import Summary, summarise

__all__ = ["MANIFEST", "NodeTrace", "Selection", "Trace", "ValueTrace", "trace"]

MANIFEST = "trace.json"
"""The file of a saved trace that says which value is in which .npy."""


@dataclass(frozen=True, slots=True)
class ValueTrace:
    """One output of a node. ``file`` is where it was saved, ``picture`` HTML that shows it."""

    name: str
    summary: Summary
    file: str = ""
    picture: str = ""


@dataclass(frozen=True, slots=True)
class NodeTrace:
    """One call of a node. ``depth`` counts the subgraphs that it is in, ``call`` its calls."""

    index: int
    name: str
    op: str
    depth: int
    call: int
    seconds: float
    outputs: tuple[ValueTrace, ...]
    picture: str = ""


@dataclass(slots=True)
class Trace:
    """What was seen of a run, in the order of computation.

    ``stopped`` is the call whose outputs were the first with a NaN or an
    infinity, where the trace was to stop there; ``inputs`` are then the
    summaries of what the node had been given, by name.
    """

    model: str
    nodes: list[NodeTrace] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    stopped: NodeTrace | None = None
    inputs: dict[str, Summary] = field(default_factory=dict)

    def __iter__(self) -> Any:
        return iter(self.nodes)

    def __getitem__(self, name: str) -> ValueTrace:
        """The last value of that name."""
        for node in reversed(self.nodes):
            for value in node.outputs:
                if value.name == name:
                    return value
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """All of it but the pictures, in JSON's types."""
        document = asdict(self)
        for node in [*document["nodes"], document["stopped"]]:
            for part in () if node is None else (node, *node["outputs"]):
                part.pop("picture")
        return document

    def _repr_html_(self) -> str:
        from .html import trace_table

        return trace_table(self)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which nodes are traced: shell patterns of node names, operators and output names; of each
    kind that is given one must match."""

    nodes: Sequence[str] = ()
    ops: Sequence[str] = ()
    names: Sequence[str] = ()

    def takes(self, node: Node) -> bool:
        """Whether the node is wanted."""
        return (
            _matches(self.nodes, [node.name])
            and _matches(self.ops, [node.op_type])
            and _matches(self.names, node.outputs)
        )


def _matches(patterns: Sequence[str], names: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(n, p) for n in names for p in patterns)


class _StopError(ScratchOnnxError):
    """Ends a run from inside an observer."""


Painter = Callable[[Node, Sequence[Any], Sequence[Any]], tuple[str, Sequence[str]]]
"""From a node, its inputs and outputs to HTML for the node and for each output."""


class Tracer:
    """The observer: sees a value, keeps its statistics, and lets it go."""

    def __init__(
        self,
        result: Trace,
        selection: Selection,
        save: Path | None,
        stop_on_nan: bool,
        paint: Painter | None,
    ) -> None:
        self.result, self.selection, self.save = result, selection, save
        self.stop_on_nan, self.paint = stop_on_nan, paint
        self.started: list[float] = []
        self.calls: Counter[tuple[int, int]] = Counter()
        self.saved: list[dict[str, Any]] = []

    def before(self, node: Node, inputs: Sequence[Any]) -> None:
        """Remember when a node began."""
        del node, inputs
        self.started.append(perf_counter())

    def after(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Look at what a node gave."""
        seconds = perf_counter() - self.started.pop()
        wanted = self.selection.takes(node)
        if not wanted and not self.stop_on_nan:
            return
        key = (len(self.started), id(node))
        call = self.calls[key]
        self.calls[key] += 1
        named = [(name, v) for name, v in zip(node.outputs, outputs, strict=False) if name]
        summaries = [summarise(value) for _, value in named]
        sick = self.stop_on_nan and not all(summary.finite for summary in summaries)
        if not wanted and not sick:
            return
        picture, pictures = "", [""] * len(named)
        if self.paint is not None:
            picture, painted = self.paint(node, inputs, [value for _, value in named])
            pictures = list(painted)
        files = [self._store(node, name, value, call) for name, value in named]
        seen = NodeTrace(
            index=node.index,
            name=node.name or next((name for name, _ in named), ""),
            op=node.op_type,
            depth=len(self.started),
            call=call,
            seconds=seconds,
            outputs=tuple(
                ValueTrace(name, summary, file, shown)
                for (name, _), summary, file, shown in zip(
                    named, summaries, files, pictures, strict=True
                )
            ),
            picture=picture,
        )
        self.result.nodes.append(seen)
        if sick:
            self.result.stopped = seen
            self.result.inputs = {
                name: summarise(value)
                for name, value in zip(node.inputs, inputs, strict=False)
                if name
            }
            raise _StopError(f"{node} gave the first NaN or infinity")

    def _store(self, node: Node, name: str, value: Any, call: int) -> str:
        if self.save is None or not isinstance(value, np.ndarray):
            return ""
        safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip(".")[:80]
        file = f"{len(self.saved):05d}_{safe}.npy"
        plain = value.astype(str) if value.dtype == STRING else value
        np.save(self.save / file, plain, allow_pickle=False)
        self.saved.append(
            {
                "name": name,
                "file": file,
                "node": node.name,
                "op": node.op_type,
                "depth": len(self.started),
                "call": call,
                "dtype": "string" if value.dtype == STRING else value.dtype.name,
            }
        )
        return file


def trace(
    model: Source | InferenceSession,
    feed: Mapping[str, Any],
    *,
    select: Selection | None = None,
    save: str | Path | None = None,
    stop_on_nan: bool = False,
    paint: Painter | None = None,
    into: Trace | None = None,
) -> Trace:
    """Run a model and look at every value as it is computed.

    Parameters
    ----------
    model : anything that a session takes (it is then run node by node as the
        file has it), or a session (run as it is, fused nodes and all).
    feed : an array for each input by name.
    select : which nodes; all by default.
    save : a folder, made where missing, for one .npy a value and a ``trace.json``.
    stop_on_nan : end the run at the first NaN or infinity.
    paint : makes pictures of the values; ``html.paint`` does.
    into : an empty trace to fill: it keeps what was seen of a run that fails.

    Raises
    ------
    What a session raises; ``OSError`` where the folder cannot be written.
    """
    if isinstance(model, InferenceSession):
        session = model
    else:
        session = InferenceSession(model, optimize=False)
    folder = None
    if save is not None:
        folder = Path(save)
        folder.mkdir(parents=True, exist_ok=True)
    title = str(model) if isinstance(model, (str, Path)) else session.model.graph.name
    result = into or Trace(title)
    result.outputs = [value.name for value in session.plan.outputs]
    tracer = Tracer(result, select or Selection(), folder, stop_on_nan, paint)
    try:
        session.run(None, feed, observer=tracer)
    except _StopError:
        pass
    finally:
        if folder is not None:
            document = {"model": result.model, "values": tracer.saved}
            (folder / MANIFEST).write_text(json.dumps(document, indent=1), encoding="utf-8")
    return result

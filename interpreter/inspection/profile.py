"""Where a run's time and memory go, node by node."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from ..graph import Node
from ..loading import Source
from ..session import InferenceSession
from .costs import cost_of

__all__ = ["NodeProfile", "OpProfile", "Profile", "profile"]


@dataclass(frozen=True, slots=True)
class NodeProfile:
    """One node in the run of median length.

    ``seconds`` is of all its calls in it, ``share`` of the top level's
    nodes together; a node inside a subgraph (``depth`` above 0) is part of the
    node that runs it. ``bytes`` are those of its inputs and outputs, ``flops``
    None where unknown.
    """

    index: int
    name: str
    op: str
    depth: int
    calls: int
    seconds: float
    share: float
    bytes: int
    flops: int | None

    @property
    def gflops(self) -> float | None:
        """10⁹ FLOPs a second; None where unknown."""
        return _rate(self.flops, self.seconds)


@dataclass(frozen=True, slots=True)
class OpProfile:
    """All top-level nodes of one operator together."""

    op: str
    nodes: int
    calls: int
    seconds: float
    share: float
    bytes: int
    flops: int | None

    @property
    def gflops(self) -> float | None:
        """As a node's."""
        return _rate(self.flops, self.seconds)


def _rate(flops: int | None, seconds: float) -> float | None:
    return None if not flops or not seconds else flops / seconds / 1e9


@dataclass(frozen=True, slots=True)
class Event:
    """One call of a node in that run, in seconds since its first node began."""

    name: str
    op: str
    start: float
    seconds: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """A profiled model.

    ``seconds`` is the length of the median one of the runs that were watched node
    by node (all else is of this run, so that nodes add up to it), and
    ``plain_seconds`` the median of runs that were not: those may also split the batch
    between threads. ``peak_bytes`` is the most that a watched run held beyond its
    inputs and the model.
    """

    nodes: tuple[NodeProfile, ...]
    seconds: float
    plain_seconds: float
    peak_bytes: int
    repeats: int
    warmup: int
    events: tuple[Event, ...]

    @property
    def operators(self) -> list[OpProfile]:
        """By operator, slowest first."""
        found: dict[str, list[NodeProfile]] = {}
        for node in self.nodes:
            if not node.depth:
                found.setdefault(node.op, []).append(node)
        result = [
            OpProfile(
                op,
                len(nodes),
                sum(node.calls for node in nodes),
                sum(node.seconds for node in nodes),
                sum(node.share for node in nodes),
                sum(node.bytes for node in nodes),
                _total(node.flops for node in nodes),
            )
            for op, nodes in found.items()
        ]
        return sorted(result, key=lambda one: -one.seconds)

    def to_dict(self) -> dict[str, Any]:
        """All but the events, in JSON's types."""
        document = asdict(self)
        del document["events"]
        document["operators"] = [asdict(one) | {"gflops": one.gflops} for one in self.operators]
        for entry, node in zip(document["nodes"], self.nodes, strict=True):
            entry["gflops"] = node.gflops
        return document

    def chrome_trace(self) -> dict[str, Any]:
        """The last repeat in the Trace Event Format, which Chrome and Perfetto open."""
        return {
            "displayTimeUnit": "ms",
            "traceEvents": [
                {
                    "name": event.name,
                    "cat": event.op,
                    "ph": "X",
                    "ts": event.start * 1e6,
                    "dur": event.seconds * 1e6,
                    "pid": 1,
                    "tid": 1,
                    "args": {
                        "op": event.op,
                        "inputs": list(event.inputs),
                        "outputs": list(event.outputs),
                    },
                }
                for event in self.events
            ],
        }


def _total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


class _Call:
    """What is added up of a node in one run."""

    __slots__ = ("bytes", "calls", "depth", "flops", "node", "seconds")

    def __init__(self, node: Node, depth: int) -> None:
        self.node, self.depth = node, depth
        self.seconds, self.calls, self.bytes = 0.0, 0, 0
        self.flops: int | None = 0


class _Profiler:
    """The observer: a clock before, a clock after, and all else outside of them."""

    def __init__(self) -> None:
        self.calls: dict[tuple[int, int], _Call] = {}
        self.open: list[tuple[_Call, float, float]] = []
        """For each node that has begun: its sums, its start, and ``own`` at its start."""
        self.own = 0.0
        """The time spent in here, which the run's time must not contain."""
        self.events: list[Event] = []

    def before(self, node: Node, inputs: Sequence[Any]) -> None:
        del inputs
        key = (len(self.open), id(node))
        if key not in self.calls:
            self.calls[key] = _Call(node, len(self.open))
        self.open.append((self.calls[key], perf_counter(), self.own))

    def after(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        now = perf_counter()
        call, start, own_before = self.open.pop()
        # Inner nodes' bookkeeping is no work of this node.
        seconds = now - start - (self.own - own_before)
        call.seconds += seconds
        call.calls += 1
        call.bytes += _bytes(inputs) + _bytes(outputs)
        cost = cost_of(node, _shapes(inputs), _shapes(outputs))
        call.flops = None if cost is None or call.flops is None else call.flops + cost.flops
        title = node.name or next((name for name in node.outputs if name), node.op_type)
        self.events.append(
            Event(title, _op(node), start, now - start, _described(inputs), _described(outputs))
        )
        self.own += perf_counter() - now


def _op(node: Node) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def _described(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(f"{v.dtype}{list(v.shape)}" for v in values if isinstance(v, np.ndarray))


def _bytes(values: Sequence[Any]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


def _shapes(values: Sequence[Any]) -> list[tuple[int, ...] | None]:
    return [value.shape if isinstance(value, np.ndarray) else None for value in values]


def profile(
    model: Source | InferenceSession,
    feed: Mapping[str, Any],
    *,
    repeats: int = 10,
    warmup: int = 2,
) -> Profile:
    """Run a model several times and measure each node.

    Parameters
    ----------
    model : anything that a session takes, or a session.
    feed : an array for each input by name.
    repeats : how many runs are measured; the one of median length is given.
    warmup : how many are run before, and not measured.

    Raises
    ------
    What a session raises; ``ValueError`` for fewer than one repeat.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f"repeats must be 1 or more and warmup 0 or more: {repeats}, {warmup}")
    session = model if isinstance(model, InferenceSession) else InferenceSession(model)
    for _ in range(warmup):
        session.run(None, feed)
    plain = [_timed(session, feed, None) for _ in range(repeats)]
    for _ in range(warmup):
        session.run(None, feed, observer=_Profiler())
    profilers = [_Profiler() for _ in range(repeats)]
    watched = []
    for profiler in profilers:
        seconds = _timed(session, feed, profiler)
        watched.append(seconds - profiler.own)
    ranking = sorted(range(repeats), key=watched.__getitem__)
    chosen = ranking[(repeats - 1) // 2]
    events = profilers[chosen].events
    start = min((event.start for event in events), default=0.0)
    return Profile(
        nodes=_nodes(profilers[chosen]),
        seconds=watched[chosen],
        plain_seconds=median(plain),
        peak_bytes=_peak(session, feed),
        repeats=repeats,
        warmup=warmup,
        events=tuple(replace(event, start=event.start - start) for event in events),
    )


def _timed(session: InferenceSession, feed: Mapping[str, Any], observer: _Profiler | None) -> float:
    start = perf_counter()
    session.run(None, feed, observer=observer)
    return perf_counter() - start


def _peak(session: InferenceSession, feed: Mapping[str, Any]) -> int:
    """The most bytes that were held at once; NumPy tells tracemalloc of its arrays."""
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    session.run(None, feed, observer=_Nothing())
    _, peak = tracemalloc.get_traced_memory()
    if not was_tracing:
        tracemalloc.stop()
    return max(0, peak - before)


class _Nothing:
    """An observer that looks away: it keeps the run in one thread and in one part."""

    def before(self, node: Node, inputs: Sequence[Any]) -> None:
        pass

    def after(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        pass


def _nodes(profiler: _Profiler) -> tuple[NodeProfile, ...]:
    calls = profiler.calls.values()
    total = sum(call.seconds for call in calls if not call.depth) or 1.0
    return tuple(
        NodeProfile(
            index=call.node.index,
            name=call.node.name or next((name for name in call.node.outputs if name), ""),
            op=_op(call.node),
            depth=call.depth,
            calls=call.calls,
            seconds=call.seconds,
            share=call.seconds / total,
            bytes=call.bytes,
            flops=call.flops,
        )
        for call in calls
    )

"""A model node by node against another side: onnxruntime, Keras, another file, a saved trace.

Two ways at once. *Cumulative*: each side goes on with its own values, so a
fault smears over all that follows. *Isolated*: each node is fed with the other
side's inputs, so that only the node that is at fault differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..checking import captures
from ..errors import ScratchOnnxError
from ..graph import Node
from ..plan import Plan, Step, as_array, failure
from ..session import InferenceSession
from .difference import Difference, difference

BUDGET = 256 * 1024 * 1024
"""How many bytes of the other side's values are asked for together."""


class Peer(Protocol):
    """The other side. It has been given the same inputs."""

    name: str

    def has(self, name: str) -> bool:
        """Whether this side has a value of that name."""

    def values(self, names: Sequence[str]) -> Mapping[str, Any]:
        """Those of the values that this side has, from its own run, by name."""

    def align(self, value: Any, like: Any) -> Any:
        """The value in the layout of ours; None where it cannot be compared."""


@dataclass(frozen=True, slots=True)
class NodeComparison:
    """One node of both sides: differences of its outputs, worst first; None: not on that side."""

    index: int
    name: str
    op: str
    cumulative: Difference | None
    isolated: Difference | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one node was given and gave, kept so that its fault can be shown again."""

    node: Node
    inputs: Mapping[str, Any]
    got: Mapping[str, Any]
    want: Mapping[str, Any]
    difference: Difference


Reporter = Callable[[Finding], None]


def compare(
    session: InferenceSession,
    feed: Mapping[str, Any],
    peer: Peer,
    *,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    report: Reporter | None = None,
) -> Iterator[NodeComparison]:
    """Compare each node, in the order of computation.

    Parameters
    ----------
    session : best one made with ``optimize=False``, whose values are the file's.
    feed : an array for each input by name.
    peer : the other side, given the same feed.
    rtol, atol : the tolerance is ``atol + rtol · max|the other side's value|``.
    report : called once, for the first node that differs in isolation.

    Values are let go after their last use: of our side, and of the other side
    but for ``BUDGET`` bytes that are asked for at once.
    """
    plan = session.plan
    ours = _slots(plan, session, feed)
    theirs = list(ours)
    fetched: dict[str, Any] = {}
    ahead = _chunks(plan, _sizes(session, feed))
    with np.errstate(all="ignore"):
        for position, step in enumerate(plan.steps):
            if position in ahead:
                fetched = dict(peer.values(ahead[position]))
            own = _call(step, [ours[slot] for slot in step.inputs])
            given = [theirs[slot] for slot in step.inputs]
            alone = _call(step, given)
            names = step.node.outputs
            want = aligned(peer, names, fetched, alone)
            cumulative = worst(names, own, want, rtol, atol)
            isolated = worst(names, alone, want, rtol, atol)
            if report is not None and isolated is not None and not isolated.equal:
                given_by_name = dict(zip(_read(step.node), given, strict=False))
                report(finding(step.node, given_by_name, alone, want, isolated))
                report = None
            yield NodeComparison(
                step.node.index,
                step.node.name or next((n for n in names if n), ""),
                step.node.op_type,
                cumulative,
                isolated,
            )
            for slot, name, a, b in zip(step.outputs, names, own, alone, strict=False):
                ours[slot], theirs[slot] = a, want.get(name, b)
            for slot in step.frees:
                ours[slot] = theirs[slot] = None


def _slots(plan: Plan, session: InferenceSession, feed: Mapping[str, Any]) -> list[Any]:
    slots = list(plan.constants)
    for slot, value in zip(plan.input_slots, session.prepare(feed), strict=True):
        slots[slot] = value
    return slots


def _call(step: Step, inputs: Sequence[Any]) -> tuple[Any, ...]:
    try:
        result = step.call(*inputs)
    except ScratchOnnxError:
        raise
    except Exception as error:
        raise ScratchOnnxError(failure(step.node, inputs, error)) from error
    results = result[: len(step.outputs)] if type(result) is tuple else (result,)
    return tuple(as_array(value) for value in results)


def aligned(
    peer: Peer, names: Sequence[str], fetched: Mapping[str, Any], like: Sequence[Any]
) -> dict[str, Any]:
    """The other side's values of a node's outputs, in our layout."""
    fits = {}
    for name, value in zip(names, like, strict=False):
        if name and name in fetched:
            fit = peer.align(fetched[name], value)
            if fit is not None:
                fits[name] = fit
    return fits


def worst(
    names: Sequence[str], got: Sequence[Any], want: Mapping[str, Any], rtol: float, atol: float
) -> Difference | None:
    """The worst difference of a node's outputs; None where the other side has none of them."""
    found = [
        difference(name, value, want[name], rtol, atol)
        for name, value in zip(names, got, strict=False)
        if name in want
    ]
    return max(found, key=lambda one: (not one.equal, one.largest), default=None)


def _read(node: Node) -> list[str]:
    """What a step reads: the node's inputs, then what its subgraphs capture, as the plan has it."""
    return [*node.inputs, *(name for graph in node.subgraphs for name in captures(graph))]


def finding(
    node: Node,
    given: Mapping[str, Any],
    got: Sequence[Any],
    want: Mapping[str, Any],
    differs: Difference,
) -> Finding:
    """What a reporter is told."""
    return Finding(
        node,
        {name: value for name, value in given.items() if name},
        {name: value for name, value in zip(node.outputs, got, strict=False) if name in want},
        want,
        differs,
    )


class _Sizes:
    """An observer that notes how many bytes each value has."""

    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}
        self.depth = 0

    def before(self, node: Node, inputs: Sequence[Any]) -> None:
        del node, inputs
        self.depth += 1

    def after(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        del inputs
        self.depth -= 1
        if not self.depth:
            for name, value in zip(node.outputs, outputs, strict=False):
                self.bytes[name] = getattr(value, "nbytes", 0)


def _sizes(session: InferenceSession, feed: Mapping[str, Any]) -> Mapping[str, int]:
    sizes = _Sizes()
    session.run(None, feed, observer=sizes)
    return sizes.bytes


def _chunks(plan: Plan, sizes: Mapping[str, int]) -> dict[int, list[str]]:
    """Before which step which values of the other side are asked for."""
    chunks: dict[int, list[str]] = {}
    start, total = 0, BUDGET
    for position, step in enumerate(plan.steps):
        names = [name for name in step.node.outputs if name]
        size = sum(sizes.get(name, 0) for name in names)
        if total + size > BUDGET:
            start, total = position, 0
        total += size
        chunks.setdefault(start, []).extend(names)
    return chunks

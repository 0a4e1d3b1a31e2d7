"""The node that a difference comes from, found by halving the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..checking import reads
from ..graph import Graph, Node, Value
from ..plan import compile_graph
from ..session import InferenceSession
from .compare import NodeComparison, Peer, Reporter, aligned, finding, worst


@dataclass(frozen=True, slots=True)
class Bisection:
    """``found`` is None where nothing differs; ``runs`` is how often each side ran."""

    found: NodeComparison | None
    runs: int


def bisect(
    session: InferenceSession,
    feed: Mapping[str, Any],
    peer: Peer,
    *,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    report: Reporter | None = None,
) -> Bisection:
    """Find the node where the difference of the outputs comes from.

    Among the nodes that lead to a value that differs, the first that differs is
    found by halving. Where that node's own inputs differ too (another branch
    brought it), the search goes on in what leads to them. A probe runs both
    sides as far as one node, so a graph of n nodes takes about log2(n) runs.

    Parameters are those of ``compare.compare``. Where the outputs are the same on
    both sides nothing is found, whatever differs on the way to them.
    """
    search = _Search(session, feed, peer, rtol, atol)
    bad = search.differing([value.name for value in search.graph.outputs])
    if bad is None:
        return Bisection(None, search.runs)
    while True:
        node = search.first_among(search.leading_to(bad))
        inner = search.differing(list(dict.fromkeys(reads(node))))
        if inner is None:
            return Bisection(search.describe(node, report), search.runs)
        bad = inner


class _Search:
    """Both sides, run as far as they are asked."""

    def __init__(
        self,
        session: InferenceSession,
        feed: Mapping[str, Any],
        peer: Peer,
        rtol: float,
        atol: float,
    ) -> None:
        self.graph = session.model.graph
        self.inputs = session.prepare(feed)
        self.peer, self.rtol, self.atol = peer, rtol, atol
        self.producers = {name: node for node in self.graph.nodes for name in node.outputs if name}
        self.runs = 0

    def both(self, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Our values and the other side's, by name, from a run of each."""
        self.runs += 1
        nodes = self._ancestors(names)
        part = replace(self.graph, nodes=tuple(nodes), outputs=_values(names))
        with np.errstate(all="ignore"):
            ours = dict(zip(names, compile_graph(part).execute(self.inputs), strict=True))
        theirs = self.peer.values(names)
        return ours, {n: aligned(self.peer, [n], theirs, [ours[n]]).get(n) for n in theirs}

    def differing(self, names: Iterable[str]) -> str | None:
        """The first of the values that is not the same on both sides."""
        known = [name for name in names if name in self.producers and self.peer.has(name)]
        if not known:
            return None
        ours, theirs = self.both(known)
        for name in known:
            found = worst([name], [ours[name]], _present(theirs), self.rtol, self.atol)
            if found is not None and not found.equal:
                return name
        return None

    def _ancestors(self, names: Iterable[str]) -> list[Node]:
        wanted: set[int] = set()
        left = [self.producers[name] for name in names if name in self.producers]
        while left:
            node = left.pop()
            if id(node) not in wanted:
                wanted.add(id(node))
                left += [self.producers[name] for name in reads(node) if name in self.producers]
        return [node for node in self.graph.nodes if id(node) in wanted]

    def leading_to(self, name: str) -> list[Node]:
        """The nodes that the value depends on and that the other side has, its own last."""
        return [
            node
            for node in self._ancestors([name])
            if any(output and self.peer.has(output) for output in node.outputs)
        ]

    def first_among(self, nodes: Sequence[Node]) -> Node:
        """The first node that differs; the last is known to."""
        low, high = 0, len(nodes) - 1
        while low < high:
            middle = (low + high) // 2
            if self.differing(nodes[middle].outputs) is None:
                low = middle + 1
            else:
                high = middle
        return nodes[low]

    def describe(self, node: Node, report: Reporter | None) -> NodeComparison:
        """The node by itself, fed with the other side's inputs."""
        outputs = [name for name in node.outputs if name]
        read = list(dict.fromkeys(reads(node)))
        made = [name for name in read if name in self.producers]
        ours, theirs = self.both([*outputs, *made])
        given: dict[str, Any] = dict(self.graph.initializers)
        given |= dict(zip((v.name for v in self.graph.inputs), self.inputs, strict=True))
        given |= ours | _present(theirs)
        alone = Graph("one node", (node,), _values(read), _values(outputs))
        with np.errstate(all="ignore"):
            got = compile_graph(alone).execute([given[name] for name in read])
        want = _present({name: theirs[name] for name in outputs if name in theirs})
        isolated = worst(outputs, got, want, self.rtol, self.atol)
        cumulative = worst(outputs, [ours[n] for n in outputs], want, self.rtol, self.atol)
        if report is not None and isolated is not None:
            report(finding(node, {name: given[name] for name in read}, got, want, isolated))
        title = node.name or next(iter(outputs), "")
        return NodeComparison(node.index, title, node.op_type, cumulative, isolated)


def _values(names: Iterable[str]) -> tuple[Value, ...]:
    return tuple(Value(name) for name in names if name)


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}

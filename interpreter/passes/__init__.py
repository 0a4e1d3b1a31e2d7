"""Rewrites of a graph into a better one, one small named rewrite after another."""

from __future__ import annotations

from ..graph import Graph


def optimise(graph: Graph) -> Graph:
    """The graph after all passes, in their order."""
    return graph

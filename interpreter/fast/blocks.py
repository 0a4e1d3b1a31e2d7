"""A convolution's output cut into blocks that stay in the cache."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from ..types import Array
from .parallel import slice_of


class Block(NamedTuple):
    """Some whole images, or some rows of one image: a contiguous part of an NHWC output."""

    start: int
    stop: int
    top: int
    bottom: int

    @property
    def images(self) -> int:
        return self.stop - self.start

    @property
    def rows(self) -> int:
        return self.bottom - self.top

    def of(self, x: Array, step: int = 1) -> Array:
        """The block's part of an array whose rows are ``step`` a row of the block."""
        return x[self.start : self.stop, self.top * step : self.bottom * step]


def cut(images: int, rows: int, cost: int, budget: int, parts: int = 1) -> list[Block]:
    """Blocks of about ``budget``, where one row of one image costs ``cost``.

    With ``parts`` above 1 the blocks are small enough that as many threads
    have about the same to do.
    """
    whole = cost * rows
    if images >= parts and whole <= budget:
        count = max(1, min(images, budget // max(1, whole)))
        # Equal blocks rather than a small last one, and one at least for each thread.
        pieces = max(-(-images // count), min(parts, images))
        count = -(-images // pieces)
        return [
            Block(start, min(start + count, images), 0, rows) for start in range(0, images, count)
        ]
    count = max(1, min(rows, budget // max(1, cost)))
    pieces = -(-rows // count)
    if parts > 1:
        pieces = min(rows, -(-pieces // parts) * parts)
    edges = [rows * index // pieces for index in range(pieces + 1)]
    return [
        Block(image, image + 1, top, bottom)
        for image in range(images)
        for top, bottom in pairwise(edges)
        if bottom > top
    ]


class Reach(NamedTuple):
    """Rows ``start`` to ``stop`` of an image, between so many rows of zeros above and below."""

    start: int
    stop: int
    above: int
    below: int


Work: TypeAlias = Callable[[Array, Array, Any], None]
"""``work(x, out, residual)`` computes a block: its rows of the images, its part of the output and
of the residual, which is None where there is none."""


class Tasks:
    """The blocks of a kernel on one input shape, each with what computes it.

    Parameters
    ----------
    blocks : in order.
    reach : the rows of the input that a block needs.
    step : rows of the output a row of a block.
    make : the work for a block; blocks of the same form share it, and its buffers.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        reach: Callable[[Block], Reach],
        step: int,
        make: Callable[[Block, Reach], Work],
    ) -> None:
        self.blocks, self.reach, self.step, self.make = blocks, reach, step, make
        self.made: dict[Hashable, Work] = {}
        self.parts: dict[tuple[int, int], list[tuple[slice, slice, slice, Work]]] = {}

    def run(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        """Compute the blocks of one of ``parts`` threads."""
        tasks = self.parts.get((part, parts))
        if tasks is None:
            blocks = self.blocks[slice_of(len(self.blocks), part, parts)]
            tasks = self.parts[part, parts] = [self._task(block) for block in blocks]
        for images, lines, rows, work in tasks:
            rest = None if residual is None else residual[images, rows]
            work(x[images, lines], y[images, rows], rest)

    def _task(self, block: Block) -> tuple[slice, slice, slice, Work]:
        reach = self.reach(block)
        key = (block.images, block.rows, reach.above, reach.below)
        work = self.made.get(key)
        if work is None:
            work = self.made[key] = self.make(block, reach)
        return (
            slice(block.start, block.stop),
            slice(reach.start, reach.stop),
            slice(block.top * self.step, block.bottom * self.step),
            work,
        )

"""A convolution's output cut into blocks that stay in the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..types import Array


@dataclass(frozen=True, slots=True)
class Block:
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
        if parts > 1:
            count = max(1, min(count, -(-images // parts)))
        return [
            Block(start, min(start + count, images), 0, rows) for start in range(0, images, count)
        ]
    count = max(1, min(rows, budget // max(1, cost)))
    # Equal blocks rather than a small last one, and one at least for each thread.
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


def share_of(blocks: Sequence[Block], part: int, parts: int) -> Iterator[Block]:
    """The blocks of one of ``parts`` threads: a run of neighbours each."""
    first, last = len(blocks) * part // parts, len(blocks) * (part + 1) // parts
    yield from blocks[first:last]

"""Attention in one kernel: the scores of some heads at a time, which never leave the cache."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from ..types import Array
from . import fast
from .last_axis import Softmax, exponentials
from .parallel import share, slice_of
from .workspace import scratch

SCORES = 1 << 18
"""Scores that are worked on at a time: 1 MiB. Fewer heads a call cost more than a fuller cache."""
WORK = 128
"""About how many multiplications the softmax of a score is worth."""


@fast("Attention")
class Attention:
    """``softmax(scale * q @ kᵀ + mask) @ v`` for stacks of matrices, float32.

    ``query``, ``key`` and ``value`` are the permutations that bring what is given to (heads,
    tokens, size) or (batch, heads, tokens, size), and ``output`` the one from there to what is
    returned: the Transposes around, in the same pass over the data. The mask broadcasts to the
    scores. Where ``hidden`` is given it is boolean, and scores where it is False are ``hidden``.
    """

    def __init__(
        self,
        *,
        query: Sequence[int],
        key: Sequence[int],
        value: Sequence[int],
        output: Sequence[int],
        scale: float,
        hidden: float | None = None,
    ) -> None:
        self.query, self.key, self.value, self.output = query, key, value, tuple(output)
        self.back = tuple(int(axis) for axis in np.argsort(output))
        self.scale = np.float32(scale)
        self.hidden = None if hidden is None else np.float32(hidden)

    def __call__(self, q: Array, k: Array, v: Array, mask: Array | None = None) -> Array:
        q, k, v = q.transpose(self.query), k.transpose(self.key), v.transpose(self.value)
        scores = (*q.shape[:-1], k.shape[-2])
        fits = k.shape == (*q.shape[:-2], k.shape[-2], q.shape[-1]) and v.shape[:-1] == k.shape[:-1]
        if mask is not None and fits:
            fits = np.broadcast_shapes(mask.shape, scores) == scores
        if not fits or 0 in scores or not v.size:
            return self._whole(q, k, v, mask).transpose(self.output)
        shape = (*q.shape[:-1], v.shape[-1])
        result = np.empty([shape[axis] for axis in self.output], np.float32)
        y = result.transpose(self.back)
        if mask is not None:
            mask = np.broadcast_to(mask, scores)
        if q.ndim == 3:
            q, k, v, y = q[None], k[None], v[None], y[None]
            mask = None if mask is None else mask[None]
        blocks = self._blocks(q.shape[0], q.shape[1], q.shape[2], k.shape[2])

        def part(index: int, parts: int) -> None:
            for block in blocks[slice_of(len(blocks), index, parts)]:
                batch, heads, _ = block
                keys, values = k[batch, heads], v[batch, heads]
                seen = None if mask is None else mask[block]
                self._block(q[block], keys, values, seen, y[block])

        share(part, float(np.prod(scores)) * (q.shape[-1] + v.shape[-1] + WORK))
        return result

    @staticmethod
    def _blocks(batch: int, heads: int, rows: int, keys: int) -> list[tuple[int, slice, slice]]:
        """Which sample, heads and queries are worked on at a time: an even number where it can be,
        so that two threads have the same to do."""
        together = max(1, min(-(-heads // 2), SCORES // (rows * keys)))
        some = max(1, min(rows, SCORES // keys))
        groups = [slice(first, first + together) for first in range(0, heads, together)]
        runs = [slice(first, first + some) for first in range(0, rows, some)]
        return list(product(range(batch), groups, runs))

    def _block(self, q: Array, k: Array, v: Array, mask: Array | None, y: Array) -> None:
        """Some heads of one sample: q (heads, queries, size), k and v (heads, keys, size)."""
        # One pass scales the keys, which are fewer than the scores, and turns them for BLAS.
        keys = scratch("keys", len(k), k.shape[2], k.shape[1])
        np.multiply(k.swapaxes(1, 2), self.scale, out=keys)
        scores = scratch("scores", *q.shape[:2], k.shape[1])
        np.matmul(q, keys, out=scores)
        if mask is not None and self.hidden is not None:
            np.copyto(scores, self.hidden, where=np.logical_not(mask))
        elif mask is not None:
            np.add(scores, mask, out=scores)
        flat = scores.reshape(-1, scores.shape[2])
        sums = exponentials(flat, flat).reshape(*q.shape[:2], 1)
        weighed = np.matmul(scores, v, out=scratch("weighed", *q.shape[:2], v.shape[2]))
        np.multiply(weighed, np.divide(1, sums, out=sums), out=y)

    def _whole(self, q: Array, k: Array, v: Array, mask: Array | None) -> Array:
        """Where batches broadcast, or there is nothing to attend to: as the plain nodes do."""
        scores = np.matmul(q * self.scale, k.swapaxes(-1, -2))
        if mask is not None:
            scores = scores + mask if self.hidden is None else np.where(mask, scores, self.hidden)
        return np.matmul(Softmax()(scores), v)

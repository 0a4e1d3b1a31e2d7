"""A run of nodes that treat every row by itself, on some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Graph, Node, Value
from ..types import Array
from . import fast
from .activations import activation
from .parallel import MIN_WORK, share, slice_of
from .workspace import scratch

if TYPE_CHECKING:
    from ..plan import Observer, Step

ROWS = 1024
"""Rows of a block. Every block reads all weights again, which are larger than the cache near a
core: with 1024 rows an encoder 384 wide takes a tenth less time than with 128."""
BLOCK = 1 << 16
"""Elements of a block's widest value, where rows are short: a call must be worth its cost."""

RowKernel = Callable[..., Any]
"""Called with blocks (rows, width) of a node's inputs, and last the block that it writes."""

SUMS: Mapping[str, RowKernel] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}
ACTIVATIONS = ("Relu", "Sigmoid", "Tanh")


def _row_kernel(step: Step) -> RowKernel:
    """What computes a step: a fast kernel's ``rows``, or the ufunc or activation of a plain one."""
    op_type = step.node.op_type
    if step.node.domain:
        return step.call.rows  # type: ignore[attr-defined]
    if op_type in SUMS:
        ufunc = SUMS[op_type]
        return lambda x, y, out: ufunc(x, y, out=out)
    activate = activation(op_type)
    assert activate is not None

    def copied(x: Array, y: Array) -> None:
        np.copyto(y, x)
        activate(y)

    return copied


@fast("Rows")
class Rows:
    """The nodes of a small graph, all of them along the last axis of float32 values, run on blocks
    of rows; the blocks are shared between the threads, which meet once instead of after each node.

    ``widths`` are the last dimensions of all values that the nodes make.
    """

    def __init__(
        self,
        *,
        nodes: Sequence[Node],
        inputs: Sequence[str],
        outputs: Sequence[str],
        widths: Mapping[str, int],
        constants: Mapping[str, Array],
    ) -> None:
        from ..plan import compile_graph  # which imports this package

        self.plan = compile_graph(
            Graph(
                name="rows",
                nodes=tuple(nodes),
                inputs=tuple(map(Value, inputs)),
                outputs=tuple(map(Value, outputs)),
                initializers=constants,
            )
        )
        self.widths = [widths[name] for name in outputs]
        self.calls = [(_row_kernel(step), step.inputs, step.outputs[0]) for step in self.plan.steps]
        self.places = self._places(widths)
        self.rows = max(ROWS, BLOCK // max(1, *widths.values()))
        self.work = float(sum(node.attributes["weight"].size for node in nodes if _is_dense(node)))

    def _places(self, widths: Mapping[str, int]) -> list[tuple[int, str, int]]:
        """Which buffer each value between is kept in, as (slot, buffer, width): one that the
        values before have left."""
        places: list[tuple[int, str, int]] = []
        owner: dict[int, str] = {}
        free: list[str] = []
        for step in self.plan.steps:
            slot = step.outputs[0]
            if slot not in self.plan.output_slots:
                buffer = free.pop() if free else f"rows {len(owner)}"
                owner[slot] = buffer
                places.append((slot, buffer, widths[step.node.outputs[0]]))
            free += [owner[slot] for slot in step.frees if slot in owner]
        return places

    def __call__(self, *values: Array) -> Any:
        leading = values[0].shape[:-1]
        count = values[0].size // max(1, values[0].shape[-1])
        if not count or any(value.shape[:-1] != leading for value in values):
            return self._outputs(self.plan.execute(values))
        sources = [np.ascontiguousarray(v).reshape(count, v.shape[-1]) for v in values]
        targets = [np.empty((count, width), np.float32) for width in self.widths]

        def part(index: int, parts: int) -> None:
            blocks = -(-count // self.rows)
            blocks = min(count, -(-blocks // parts) * parts)  # as many for each thread
            for block in range(blocks)[slice_of(blocks, index, parts)]:
                mine = slice_of(count, block, blocks)
                self._block([x[mine] for x in sources], [y[mine] for y in targets])

        if count <= self.rows and self.work * count < MIN_WORK:
            self._block(sources, targets)
        else:
            share(part, self.work * count)
        return self._outputs([target.reshape(*leading, target.shape[1]) for target in targets])

    def _block(self, sources: Sequence[Array], targets: Sequence[Array]) -> None:
        slots = list(self.plan.constants)
        for slot, source in zip(self.plan.input_slots, sources, strict=True):
            slots[slot] = source
        for slot, target in zip(self.plan.output_slots, targets, strict=True):
            slots[slot] = target
        rows = len(sources[0])
        for slot, buffer, width in self.places:
            slots[slot] = scratch(buffer, rows, width)
        for call, reads, write in self.calls:
            call(*[slots[slot] for slot in reads], slots[write])

    def observed_nodes(self, observer: Observer, *values: Array) -> tuple[Any, ...]:
        """All rows at once, with an observer that sees the nodes inside."""
        return tuple(self.plan.execute(values, observer))

    @staticmethod
    def _outputs(results: Sequence[Any]) -> Any:
        return results[0] if len(results) == 1 else tuple(results)


def _is_dense(node: Node) -> bool:
    return node.op_type == "Dense"

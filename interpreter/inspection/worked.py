"""One output element of a node worked out by hand: which numbers meet, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..graph import Node
from ..types import Array
from .gates import RECURRENT, gates_of

_TERMS = 9
"""How many terms of a long sum are written out."""


@dataclass(frozen=True, slots=True)
class Worked:
    """``lines`` lead to ``value``, computed in float64; ``computed`` is what the kernel gave."""

    output: str
    index: tuple[int, ...]
    lines: tuple[str, ...]
    value: float
    computed: float


def work_out(
    node: Node,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    index: Sequence[int] | None = None,
) -> Worked | None:
    """Work out one element of a node's first output that is there.

    Parameters
    ----------
    node : for Conv, Gemm, MatMul, MaxPool, AveragePool, RNN, GRU and LSTM;
        None is returned for others.
    inputs, outputs : what it was given, and gave.
    index : which element; by default the largest in absolute value.

    Raises ``InputError`` for an index that the output does not have.
    """
    if node.domain or node.op_type not in _EXPLAINED:
        return None
    position, output = next(
        (p, o) for p, o in enumerate(outputs) if isinstance(o, np.ndarray) and node.outputs[p]
    )
    if not output.size:
        return None
    if index is None:
        largest = np.unravel_index(int(np.abs(output).argmax()), output.shape)
        at = tuple(int(i) for i in largest)
    else:
        at = tuple(index)
        if len(at) != output.ndim or any(
            not 0 <= i < n for i, n in zip(at, output.shape, strict=True)
        ):
            raise InputError(
                f"the output '{node.outputs[position]}' of shape {list(output.shape)} has no "
                f"element {list(at)}"
            )
    if node.op_type in RECURRENT:
        lines, value = _recurrent(node, inputs, position, output, at)
    else:
        lines, value = _EXPLAINED[node.op_type](node, inputs, at)
    return Worked(node.outputs[position], at, tuple(lines), value, float(output[at]))


Lines = tuple[list[str], float]


def _at(name: str, index: Sequence[int]) -> str:
    return f"{name}[{', '.join(str(int(i)) for i in index)}]"


def _sum(terms: Sequence[tuple[str, float, str, float]], total: float) -> list[str]:
    """Products of named factors, the longest sums shortened."""
    shown = [
        f"    {x_name} · {w_name} = {x:.6g} · {w:.6g} = {x * w:.6g}"
        for x_name, x, w_name, w in terms[:_TERMS]
    ]
    if len(terms) > _TERMS:
        rest = sum(x * w for _, x, _, w in terms[_TERMS:])
        shown.append(f"    … {len(terms) - _TERMS} more terms, together {rest:.6g}")
    return [*shown, f"  sum of {len(terms)} products: {total:.8g}"]


@dataclass(frozen=True, slots=True)
class _Window:
    """Where a kernel stands for one output position: kernel offsets, and input coordinates."""

    offsets: Array
    places: Array
    count: int


def _window(
    node: Node, spatial: Sequence[int], kernel: Sequence[int], at: Sequence[int]
) -> _Window:
    """The part of the kernel that lies inside the input, as [rank, positions] each."""
    rank = len(kernel)
    strides = list(node.attributes.get("strides") or [1] * rank)
    dilations = list(node.attributes.get("dilations") or [1] * rank)
    before = _pads_before(node, spatial, kernel, strides, dilations)
    offsets = np.indices(kernel).reshape(rank, -1)
    start = np.array(at) * strides - before
    places = start[:, None] + offsets * np.array(dilations)[:, None]
    inside = ((places >= 0) & (places < np.array(spatial)[:, None])).all(axis=0)
    return _Window(offsets[:, inside], places[:, inside], int(np.prod(kernel)))


def _pads_before(
    node: Node,
    spatial: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Array:
    auto = node.attributes.get("auto_pad", "NOTSET")
    rank = len(kernel)
    if auto == "NOTSET":
        return np.array((node.attributes.get("pads") or [0] * 2 * rank)[:rank])
    if auto == "VALID":
        return np.zeros(rank, int)
    total = [
        max(0, (-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size)
        for size, k, stride, dilation in zip(spatial, kernel, strides, dilations, strict=True)
    ]
    return np.array([t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in total])


def _conv(node: Node, inputs: Sequence[Any], at: tuple[int, ...]) -> Lines:
    x, w = inputs[0], inputs[1]
    bias = inputs[2] if len(inputs) > 2 and inputs[2] is not None else None
    sample, channel, *place = at
    window = _window(node, x.shape[2:], w.shape[2:], place)
    first = channel // (w.shape[0] // node.attributes.get("group", 1)) * w.shape[1]
    terms = []
    for inner in range(w.shape[1]):
        for offset, spot in zip(window.offsets.T, window.places.T, strict=True):
            source, weight = (sample, first + inner, *spot), (channel, inner, *offset)
            terms.append((_at("X", source), float(x[source]), _at("W", weight), float(w[weight])))
    total = sum(a * b for _, a, _, b in terms)
    skipped = window.count - window.offsets.shape[1]
    lines = ["  the kernel's positions over the input, channel by channel:", *_sum(terms, total)]
    if skipped:
        lines.append(
            f"  {skipped} of {window.count} kernel positions lie in the padding, and add 0"
        )
    if bias is not None:
        lines.append(f"  + {_at('B', [channel])} = {float(bias[channel]):.6g}")
        total += float(bias[channel])
    return lines, total


def _gemm(node: Node, inputs: Sequence[Any], at: tuple[int, ...]) -> Lines:
    a, b = inputs[0], inputs[1]
    c = inputs[2] if len(inputs) > 2 else None
    across, down = node.attributes.get("transA", 0), node.attributes.get("transB", 0)
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    i, j = at
    terms = []
    for k in range(a.shape[0] if across else a.shape[1]):
        left, right = ((k, i) if across else (i, k)), ((j, k) if down else (k, j))
        terms.append((_at("A", left), float(a[left]), _at("B", right), float(b[right])))
    total = sum(x * y for _, x, _, y in terms)
    lines = [f"  row {i} of A with column {j} of B:", *_sum(terms, total)]
    if alpha != 1:
        total *= alpha
        lines.append(f"  · alpha = {alpha:.6g}: {total:.6g}")
    if c is not None:
        own = at[2 - c.ndim :]
        part = float(c[tuple(0 if n == 1 else spot for n, spot in zip(c.shape, own, strict=True))])
        lines.append(f"  + beta · C = {beta:.6g} · {part:.6g}")
        total += beta * part
    return lines, total


def _matmul(node: Node, inputs: Sequence[Any], at: tuple[int, ...]) -> Lines:
    del node
    a, b = inputs[0], inputs[1]
    rows, columns = a.ndim > 1, b.ndim > 1
    stack = at[: len(at) - rows - columns]
    i = at[len(stack)] if rows else None
    j = at[-1] if columns else None

    def place(matrix: Array, last: tuple[int, ...]) -> tuple[int, ...]:
        lead = matrix.ndim - len(last)
        own = stack[len(stack) - lead :] if lead else ()
        return (*(0 if n == 1 else s for n, s in zip(matrix.shape, own, strict=False)), *last)

    terms = []
    for k in range(a.shape[-1]):
        left = place(a, (k,) if i is None else (i, k))
        right = place(b, (k,) if j is None else (k, j))
        terms.append((_at("A", left), float(a[left]), _at("B", right), float(b[right])))
    total = sum(x * y for _, x, _, y in terms)
    return ["  a row of A with a column of B:", *_sum(terms, total)], total


def _pool(node: Node, inputs: Sequence[Any], at: tuple[int, ...]) -> Lines:
    x = inputs[0]
    sample, channel, *place = at
    window = _window(node, x.shape[2:], node.attributes["kernel_shape"], place)
    spots = [(sample, channel, *spot) for spot in window.places.T]
    values = [float(x[spot]) for spot in spots]
    lines = [f"    {_at('X', s)} = {v:.6g}" for s, v in zip(spots, values, strict=True)]
    if len(lines) > _TERMS:
        lines = [*lines[:_TERMS], f"    … {len(lines) - _TERMS} more"]
    if node.op_type == "MaxPool":
        return [*lines, f"  the largest of {len(values)}"], max(values)
    counted = len(values)
    if node.attributes.get("count_include_pad", 0):
        counted = _with_padding(node, x.shape[2:], place)
    total = math.fsum(values)
    return [*lines, f"  their sum {total:.6g} divided by {counted}"], total / counted


def _with_padding(node: Node, spatial: Sequence[int], at: Sequence[int]) -> int:
    """The positions of a window that lie in the input or its padding."""
    kernel = node.attributes["kernel_shape"]
    rank = len(kernel)
    pads = list(node.attributes.get("pads") or [0] * 2 * rank)
    padded = [n + pads[d] + pads[rank + d] for d, n in enumerate(spatial)]
    plain = Node(
        node.op_type,
        node.inputs,
        node.outputs,
        {k: v for k, v in node.attributes.items() if k in ("strides", "dilations")},
    )
    if node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return math.prod(kernel)
    return int(_window(plain, padded, kernel, at).offsets.shape[1])


_GATES: Mapping[str, Sequence[tuple[str, str]]] = {
    # In the order of the weights' rows: (the gate's name, its letter).
    "RNN": [("hidden state", "h")],
    "GRU": [("update gate", "z"), ("reset gate", "r"), ("candidate", "ĥ")],
    "LSTM": [("input gate", "i"), ("output gate", "o"), ("forget gate", "f"), ("candidate", "ĉ")],
}


def _recurrent(
    node: Node, inputs: Sequence[Any], position: int, output: Array, at: tuple[int, ...]
) -> Lines:
    """One unit of one step: each gate's sums, then the new state."""
    given = [*inputs, *[None] * (8 - len(inputs))]
    x, w, r, b = given[:4]
    batch_first = node.attributes.get("layout", 0)
    if position == 0:
        t, d, n, unit = (at[1], at[2], at[0], at[3]) if batch_first else at
    else:
        d, n, unit = (at[1], at[0], at[2]) if batch_first else at
        t = -1
    del output
    steps = x.shape[1] if batch_first else x.shape[0]
    reverse = node.attributes.get("direction", "forward") == "reverse" or d == 1
    length = steps if given[4] is None else int(given[4][n])
    if t < 0:
        t = 0 if reverse else length - 1
    seen = gates_of(node, inputs, d, n)
    if t >= length:
        return [f"  step {t} is behind the sequence's end ({length}): 0"], 0.0
    before = t + 1 if reverse else t - 1
    hidden = r.shape[-1]
    inside = 0 <= before < length
    h = seen["hidden state"][before] if inside else _initial(given[5], batch_first, d, n, hidden)
    row = (x[n, t] if batch_first else x[t, n]).astype(np.float64)
    lines = [f"  step {t}, direction {d}, sequence {n}, unit {unit}; before: h = {h[unit]:.6g}"]
    for gate, (name, letter) in enumerate(_GATES[node.op_type]):
        line = gate * hidden + unit
        from_x = float(row @ w[d, line])
        from_h = float(h.astype(np.float64) @ r[d, line])
        bias = 0.0 if b is None else float(b[d, line] + b[d, r.shape[1] + line])
        value = float(seen[name][t, unit])
        lines.append(
            f"  {letter}: W·x = {from_x:.6g}, R·h = {from_h:.6g}, biases {bias:.6g}"
            f" → {name} {value:.6g}"
        )
    value = float(seen["hidden state"][t, unit])
    if node.op_type == "GRU":
        z, candidate = float(seen["update gate"][t, unit]), float(seen["candidate"][t, unit])
        value = (1 - z) * candidate + z * float(h[unit])
        lines.append(
            f"  h = (1 - z) · ĥ + z · h before = {1 - z:.6g} · {candidate:.6g} + {z:.6g} · "
            f"{h[unit]:.6g}"
        )
    if node.op_type == "LSTM":
        c = seen["cell state"]
        old = c[before] if inside else _initial(given[6], batch_first, d, n, hidden)
        i, f, o, g = (
            float(seen[name][t, unit])
            for name in ("input gate", "forget gate", "output gate", "candidate")
        )
        lines.append(
            f"  c = f · c before + i · ĉ = {f:.6g} · {old[unit]:.6g} + {i:.6g} · {g:.6g}"
            f" = {float(c[t, unit]):.6g}"
        )
        if position == 2:
            return lines, f * float(old[unit]) + i * g
        squashed = value / o if o else 0.0
        lines.append(f"  h = o · act(c) = {o:.6g} · {squashed:.6g}")
    return lines, value


def _initial(given: Any, batch_first: int, d: int, n: int, hidden: int) -> Array:
    if given is None:
        return np.zeros(hidden)
    state: Array = given[n, d] if batch_first else given[d, n]
    return state


_EXPLAINED: Mapping[str, Callable[[Node, Sequence[Any], tuple[int, ...]], Lines]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "AveragePool": _pool,
    **dict.fromkeys(RECURRENT, _matmul),  # worked out by _recurrent
}

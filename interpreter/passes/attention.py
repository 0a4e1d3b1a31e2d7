"""Attention, which exporters write as products, a scale, a mask and a softmax, becomes one node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..fast import FAST
from ..graph import Graph, Node
from ..types import Array
from ._index import Index, rebuild
from .activations import scalar

Perm = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Operand:
    """A value, and the permutation that brings it to (..., heads, tokens, size)."""

    name: str
    perm: Perm


@dataclass(frozen=True, slots=True)
class _Scores:
    """``scale * q @ kᵀ + mask``; or, where ``hidden`` is a number, that number where the mask is
    False."""

    query: _Operand
    key: _Operand
    scale: float = 1.0
    mask: str = ""
    hidden: float | None = None


def drop_full_masks(graph: Graph) -> Graph:
    """``Where(And(Expand(True, Shape(x)), mask), x, number)`` needs no Expand: Where broadcasts.

    So Keras's masks are exported.
    """
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        if node.domain or node.op_type != "Where" or scalar(node.inputs[2], index) is None:
            continue
        both = index.maker(node.inputs[0])
        if both is None or both.domain or both.op_type != "And" or both.opset < 7:
            continue
        rank = index.rank(node.inputs[1])
        for full, mask in (both.inputs, reversed(both.inputs)):
            known = index.rank(mask)
            if known is None or rank is None or known > rank:
                continue
            if _is_true_like(full, node.inputs[1], index):
                inputs = (mask, *node.inputs[1:])
                changes[position] = (replace(node, inputs=inputs),)
    return rebuild(graph, changes) if changes else graph


def _is_true_like(name: str, source: str, index: Index) -> bool:
    """Whether a value is True everywhere, in the shape of ``source``."""
    expand = index.maker(name)
    if expand is None or expand.domain or expand.op_type != "Expand":
        return False
    if scalar(expand.inputs[0], index) != 1:
        return False
    shape = index.maker(expand.inputs[1])
    while shape is not None and not shape.domain and shape.op_type == "Cast":
        shape = index.maker(shape.inputs[0])
    whole = shape is not None and not shape.domain and shape.op_type == "Shape"
    return whole and shape is not None and shape.inputs[0] == source and not shape.attributes


def find_attention(graph: Graph) -> Graph:
    """``softmax(scale · Q·Kᵀ + mask) · V`` with the Transposes around it, whose products are
    MatMul or Einsum; the softmax is along the last axis (``make_rows`` has found those)."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for node in graph.nodes:
        if node.domain != FAST or node.op_type != "Softmax":
            continue
        scores = _scores(node.inputs[0], index)
        after = index.only_reader(node.outputs[0])
        if scores is None or after is None or not index.is_float32(node.outputs[0]):
            continue
        weighed = _weighed(graph.nodes[after], node.outputs[0], index)
        if weighed is None:
            continue
        value, output = weighed
        last = index.only_reader(graph.nodes[after].outputs[0])
        if last is not None and (perm := _perm(graph.nodes[last])) is not None:
            after, output = last, tuple(output[axis] for axis in perm)
        changes[after] = (
            replace(
                graph.nodes[after],
                op_type="Attention",
                domain=FAST,
                inputs=tuple(
                    name
                    for name in (scores.query.name, scores.key.name, value.name, scores.mask)
                    if name
                ),
                attributes={
                    "query": scores.query.perm,
                    "key": scores.key.perm,
                    "value": value.perm,
                    "output": output,
                    "scale": scores.scale,
                    "hidden": scores.hidden,
                },
            ),
        )
    return rebuild(graph, changes) if changes else graph


def lower_attention(graph: Graph) -> Graph:
    """The operator Attention without mask, cache, causal frontier or window, with a key head for
    each query head, in float32, becomes the fast node; heads that are packed are split by Reshapes.
    """
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    constants: dict[str, Array] = {}
    for position, node in enumerate(graph.nodes):
        heads = None if node.domain or node.op_type != "Attention" else _plain_heads(node, index)
        if heads is None:
            continue
        packed = index.rank(node.inputs[0]) == 3
        perm = (0, 2, 1, 3) if packed else (0, 1, 2, 3)
        sizes = [_last(name, index) // (heads if packed else 1) for name in node.inputs[:3]]
        attributes: dict[str, Any] = dict.fromkeys(("query", "key", "value", "output"), perm)
        attributes["scale"] = node.attributes.get("scale") or sizes[0] ** -0.5
        fast = replace(
            node,
            op_type="Attention",
            domain=FAST,
            inputs=node.inputs[:3],
            outputs=node.outputs[:1],
            attributes=attributes,
        )
        if not packed:
            changes[position] = (fast,)
            continue
        y = node.outputs[0]
        parts = [f"{y}/{role}" for role in ("query", "key", "value")]
        before = [
            _reshape(name, part, (0, 0, heads, size), constants)
            for name, part, size in zip(node.inputs, parts, sizes, strict=False)
        ]
        fast = replace(fast, inputs=tuple(parts), outputs=(f"{y}/heads",))
        after = _reshape(f"{y}/heads", y, (0, 0, heads * sizes[2]), constants)
        changes[position] = (*before, fast, after)
    return rebuild(graph, changes, constants) if changes else graph


def _plain_heads(node: Node, index: Index) -> int | None:
    """The number of heads of an Attention that the fast node can compute, None of any other."""
    values, attributes = node.inputs[:3], node.attributes
    ranks = {index.rank(name) for name in values}
    if any(node.inputs[3:]) or not all(index.is_float32(name) for name in values):
        return None
    if any(name in index.readers or name in index.outputs for name in node.outputs[1:] if name):
        return None
    if attributes.get("is_causal", 0) or attributes.get("softcap", 0.0):
        return None
    if any(attributes.get(f"{side}_window_size", -1) != -1 for side in ("left", "right")):
        return None
    if any(_last(name, index) == 0 for name in values):
        return None
    if ranks == {3}:
        heads = {attributes.get("q_num_heads", 0), attributes.get("kv_num_heads", 0)}
    elif ranks == {4}:
        shapes = [known.shape for name in values if (known := index.tensor(name)) is not None]
        heads = {shape[1] if shape is not None else None for shape in shapes}
    else:
        return None
    (number, *others) = heads
    divides = number and all(_last(name, index) % number == 0 for name in values if ranks == {3})
    return number if isinstance(number, int) and not others and divides else None


def _last(name: str, index: Index) -> int:
    """The last dimension, 0 where it is not known."""
    known = index.tensor(name)
    last = None if known is None or not known.shape else known.shape[-1]
    return last if isinstance(last, int) else 0


def _reshape(source: str, made: str, shape: tuple[int, ...], constants: dict[str, Array]) -> Node:
    constants[f"{made}/shape"] = np.array(shape)
    return Node("Reshape", (source, f"{made}/shape"), (made,), name=made, opset=14)


def _scores(name: str, index: Index) -> _Scores | None:
    """What the softmax reads, taken apart from its end."""
    node, rank = index.maker(name), index.rank(name)
    if node is None or index.only_reader(name) is None or rank not in (3, 4):
        return None
    if not node.domain and node.op_type == "Where" and index.is_float32(name):
        mask, shown, number = node.inputs
        inner, hidden = _scores(shown, index), scalar(number, index)
        if inner is None or inner.mask or hidden is None or index.rank(shown) != rank:
            return None
        return replace(inner, mask=mask, hidden=hidden)
    if not all(index.is_float32(each) for each in (*node.inputs, *node.outputs)):
        return None
    if node.domain not in ("", FAST):
        return None
    if node.op_type == "Einsum":
        return _einsum_scores(node)
    if node.op_type == "MatMul":
        plain = tuple(range(rank))
        if any(index.rank(each) != rank for each in node.inputs):
            return None
        turned = (*plain[:-2], plain[-1], plain[-2])
        query, q_scale = _operand(node.inputs[0], plain, index)
        key, k_scale = _operand(node.inputs[1], turned, index)
        return _Scores(query, key, q_scale * k_scale)
    if node.domain or node.opset < 7 or node.op_type not in ("Add", "Mul", "Div"):
        return None
    first, second = node.inputs
    if node.op_type == "Div":
        factor, inner = scalar(second, index), _scores(first, index)
        if not factor or inner is None or inner.mask or index.rank(first) != rank:
            return None
        return replace(inner, scale=inner.scale / factor)
    for one, other in ((first, second), (second, first)):
        inner = _scores(one, index)
        if inner is None or inner.mask or index.rank(one) != rank:
            continue
        if node.op_type == "Add":
            return replace(inner, mask=other)
        factor = scalar(other, index)
        return None if factor is None else replace(inner, scale=inner.scale * factor)
    return None


def _operand(name: str, perm: Perm, index: Index) -> tuple[_Operand, float]:
    """The value before Transposes and constant factors, its permutation, and the factor."""
    factor = 1.0
    while (node := index.maker(name)) is not None:
        before = _perm(node)
        if before is not None:
            name, perm = node.inputs[0], tuple(before[axis] for axis in perm)
            continue
        if node.domain or node.op_type != "Mul" or index.only_reader(name) is None:
            break
        numbers = [scalar(each, index) for each in node.inputs]
        if (numbers[0] is None) == (numbers[1] is None):
            break
        source = node.inputs[0 if numbers[0] is None else 1]
        if index.rank(source) != index.rank(name):
            break
        name, factor = source, factor * next(number for number in numbers if number is not None)
    return _Operand(name, perm), factor


def _perm(node: Node) -> Perm | None:
    """The permutation of a Transpose that names it; None of any other node."""
    if node.domain or node.op_type != "Transpose":
        return None
    perm = node.attributes.get("perm")
    return None if perm is None else tuple(perm)


def _terms(node: Node) -> list[str] | None:
    """The letters of an Einsum of two operands, those of the result last; each once in a term."""
    equation = node.attributes["equation"].replace(" ", "")
    if equation.count(",") != 1 or "->" not in equation or "." in equation:
        return None
    terms = equation.replace("->", ",").split(",")
    if any(len(set(term)) < len(term) or len(term) not in (3, 4) for term in terms):
        return None
    return terms if len({len(term) for term in terms}) == 1 else None


def _einsum_scores(node: Node) -> _Scores | None:
    terms = _terms(node)
    if terms is None:
        return None
    *stack, token, key_token = list(terms[2])
    (query, query_name), (key, key_name) = zip(terms[:2], node.inputs, strict=True)
    if token in key:
        query, query_name, key, key_name = key, key_name, query, query_name
    sizes = set(query) - {*stack, token}
    if len(sizes) != 1 or set(key) != {*stack, key_token, *sizes} or not {*stack, token} < {*query}:
        return None
    size = sizes.pop()
    return _Scores(
        _Operand(query_name, tuple(query.index(letter) for letter in (*stack, token, size))),
        _Operand(key_name, tuple(key.index(letter) for letter in (*stack, key_token, size))),
    )


def _weighed(node: Node, weights: str, index: Index) -> tuple[_Operand, Perm] | None:
    """The values that the node weighs, and the permutation of the result; None where it does
    something else."""
    rank = index.rank(weights)
    if node.op_type not in ("MatMul", "Einsum") or rank is None or len(node.inputs) != 2:
        return None
    first, second = node.inputs
    if node.domain not in ("", FAST) or first == second:
        return None
    if not all(index.is_float32(name) for name in node.inputs):
        return None
    plain = tuple(range(rank))
    if node.op_type == "MatMul":
        if first != weights or index.rank(second) != rank:
            return None
        operand, factor = _operand(second, plain, index)
        return (operand, plain) if factor == 1 else (_Operand(second, plain), plain)
    terms = _terms(node)
    if terms is None or len(terms[0]) != rank:
        return None
    (weight, _), (value, name) = zip(terms[:2], node.inputs, strict=True)
    if second == weights:
        weight, value, name = value, weight, first
    *stack, token, key_token = list(weight)
    sizes = set(value) - {*stack, key_token}
    if len(sizes) != 1 or token in value or not {*stack, key_token} < {*value}:
        return None
    made = (*stack, token, sizes.pop())
    if set(terms[2]) != set(made):
        return None
    perm = tuple(value.index(letter) for letter in (*stack, key_token, made[-1]))
    return _Operand(name, perm), tuple(made.index(letter) for letter in terms[2])

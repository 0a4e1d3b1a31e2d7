"""Activations: which a node computes, and those that exporters write as several nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..fast import FAST
from ..graph import Graph, Node
from ._index import Index, rebuild


class Activation(NamedTuple):
    """An activation's name and parameters, as ``fast.epilogue.activation`` takes them."""

    kind: str
    parameters: tuple[float, ...] = ()


def activation_of(node: Node, index: Index) -> Activation | None:
    """The activation that a node computes of its first input, None where it is none of ours."""
    attributes = node.attributes
    if node.domain == FAST and node.op_type == "Activation":
        return Activation(attributes["activation"], attributes.get("activation_parameters", ()))
    if node.domain or len(node.outputs) != 1:
        return None
    if node.op_type in ("Relu", "Sigmoid", "Tanh", "HardSwish"):
        return Activation(node.op_type)
    if node.op_type == "LeakyRelu":
        return Activation("LeakyRelu", (attributes.get("alpha", 0.01),))
    if node.op_type == "HardSigmoid":
        return Activation(
            "HardSigmoid", (attributes.get("alpha", 0.2), attributes.get("beta", 0.5))
        )
    if node.op_type == "Clip":
        limits = _limits(node, index)
        return None if limits is None else Activation("Clip", limits)
    return None


def _limits(node: Node, index: Index) -> tuple[float, float] | None:
    """The bounds of a Clip, None where they are not known or one is NaN."""
    # Only versions 6 to 10 have bounds where none are given.
    largest = float(np.finfo(np.float32).max) if 6 <= node.opset < 11 else np.inf
    limits = [node.attributes.get("min", -largest), node.attributes.get("max", largest)]
    for position, name in enumerate(node.inputs[1:3]):
        if name:
            limits[position] = scalar(name, index)
    low, high = limits
    if low is None or high is None or np.isnan(low) or np.isnan(high):
        return None
    return low, high


def _as_activation(node: Node, source: str, kind: str) -> Node:
    """The activation of ``source`` that takes the place of ``node``."""
    return replace(
        node,
        op_type="Activation",
        domain=FAST,
        inputs=(source,),
        attributes={"activation": kind},
    )


def find_silu(graph: Graph) -> Graph:
    """x * Sigmoid(x), which exporters write as two nodes, is one activation."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        if node.domain or node.op_type != "Sigmoid" or not index.is_float32(node.inputs[0]):
            continue
        after = index.only_reader(node.outputs[0])
        if after is None:
            continue
        product = graph.nodes[after]
        if product.domain or product.op_type != "Mul" or product.opset < 7:
            continue
        if set(product.inputs) != {node.inputs[0], node.outputs[0]}:
            continue
        changes[position] = ()
        changes[after] = (_as_activation(product, node.inputs[0], "Silu"),)
    return rebuild(graph, changes) if changes else graph


def find_gelu(graph: Graph) -> Graph:
    """The exact GELU, x/2 (1 + erf(x / sqrt(2))), in the forms that exporters write it in, and the
    operator Gelu."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        if not node.domain and node.op_type == "Gelu" and index.is_float32(node.inputs[0]):
            form = "GeluTanh" if node.attributes.get("approximate", "none") == "tanh" else "Gelu"
            changes[position] = (_as_activation(node, node.inputs[0], form),)
            continue
        if node.domain or node.op_type != "Erf" or not index.is_float32(node.inputs[0]):
            continue
        source, factor = _scaled(node.inputs[0], index)
        if not np.isclose(abs(factor), 0.5**0.5, rtol=1e-5):
            continue
        after = index.only_reader(node.outputs[0])
        if after is None or not _is_one_plus(graph.nodes[after], node.outputs[0], factor, index):
            continue
        last = _half_product(after, source, index)
        if last is not None and _same_rank(source, graph.nodes[last].outputs[0], index):
            changes[last] = (_as_activation(graph.nodes[last], source, "Gelu"),)
    return rebuild(graph, changes) if changes else graph


_TANH_FORM = {1: (2 / np.pi) ** 0.5, 3: 0.044715 * (2 / np.pi) ** 0.5}
"""The polynomial in x inside the tanh of GELU's approximate form, by powers."""


def find_gelu_tanh(graph: Graph) -> Graph:
    """The approximate GELU, x/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), however it is
    written."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for node in graph.nodes:
        if node.domain or node.op_type != "Tanh" or not index.is_float32(node.inputs[0]):
            continue
        after = index.only_reader(node.outputs[0])
        if after is None or not _is_one_plus(graph.nodes[after], node.outputs[0], 1, index):
            continue
        for source in _sources(node.inputs[0], index):
            powers = _polynomial(node.inputs[0], source, index)
            if powers is None or powers.keys() != _TANH_FORM.keys():
                continue
            if not all(np.isclose(powers[n], _TANH_FORM[n], rtol=1e-4) for n in powers):
                continue
            last = _half_product(after, source, index)
            if last is not None and _same_rank(source, graph.nodes[last].outputs[0], index):
                changes[last] = (_as_activation(graph.nodes[last], source, "GeluTanh"),)
    return rebuild(graph, changes) if changes else graph


_ARITHMETIC = ("Add", "Mul", "Pow")


def _sources(name: str, index: Index) -> Sequence[str]:
    """The values that a chain of sums, products and powers with numbers may be a polynomial of."""
    found: dict[str, None] = {}
    waiting = [name]
    while waiting and len(found) < 16:
        name = waiting.pop()
        node = index.maker(name)
        if name in found or name in index.constants:
            continue
        found[name] = None
        if node is not None and not node.domain and node.op_type in _ARITHMETIC:
            waiting += node.inputs
    return list(found)


def _polynomial(name: str, source: str, index: Index) -> dict[int, float] | None:
    """``name`` as a polynomial of ``source`` of low degree, coefficients by power; None where it
    is none."""
    if name == source:
        return {1: 1.0}
    number = scalar(name, index)
    if number is not None:
        return {0: number}
    node = index.maker(name)
    if node is None or node.domain or node.op_type not in _ARITHMETIC or node.opset < 7:
        return None
    first, second = (_polynomial(each, source, index) for each in node.inputs)
    if first is None or second is None:
        return None
    if node.op_type == "Add":
        return {n: first.get(n, 0) + second.get(n, 0) for n in first.keys() | second.keys()}
    if node.op_type == "Pow":
        exponent = scalar(node.inputs[1], index)
        if len(first) != 1 or exponent not in (2, 3):
            return None
        ((power, factor),) = first.items()
        return {power * int(exponent): factor**exponent}
    product: dict[int, float] = {}
    for n, one in first.items():
        for m, other in second.items():
            product[n + m] = product.get(n + m, 0) + one * other
    return product if max(product) <= 3 else None


def _same_rank(one: str, other: str, index: Index) -> bool:
    """Whether no factor of more axes has given the result axes that x does not have."""
    return index.rank(one) is not None and index.rank(one) == index.rank(other)


def scalar(name: str, index: Index) -> float | None:
    """A constant of one element as a number, None of anything else."""
    array = index.constants.get(name)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def _scaled(name: str, index: Index) -> tuple[str, float]:
    """The value that ``name`` is a multiple of, and the factor."""
    factor = 1.0
    while True:
        node = index.maker(name)
        if node is None or node.domain or node.op_type not in ("Neg", "Mul", "Div"):
            return name, factor
        if node.op_type == "Neg":
            name, factor = node.inputs[0], -factor
            continue
        first, second = node.inputs
        number = scalar(second, index)
        if number is None and node.op_type == "Mul":
            first, number = second, scalar(first, index)
        if not number:
            return name, factor
        name, factor = first, factor * number if node.op_type == "Mul" else factor / number


def _is_one_plus(node: Node, erf: str, factor: float, index: Index) -> bool:
    """Whether the node is 1 + erf(x / sqrt(2)): the erf of -x is subtracted."""
    if node.domain or node.op_type not in ("Add", "Sub"):
        return False
    first, second = node.inputs
    if node.op_type == "Add":
        other = second if first == erf else first
        return factor > 0 and scalar(other, index) == 1
    return factor < 0 and second == erf and scalar(first, index) == 1


def _half_product(position: int, source: str, index: Index) -> int | None:
    """The node behind ``position`` that has multiplied its value by x and by 1/2."""
    factor, has_source = 1.0, False
    while not (has_source and np.isclose(factor, 0.5)):
        value = index.graph.nodes[position].outputs[0]
        after = index.only_reader(value)
        node = None if after is None else index.graph.nodes[after]
        if node is None or node.domain or node.op_type != "Mul" or set(node.inputs) == {value}:
            return None
        other = node.inputs[1] if node.inputs[0] == value else node.inputs[0]
        number = scalar(other, index)
        if number is not None:
            factor *= number
        else:
            base, scale = _scaled(other, index)
            if base != source or has_source:
                return None
            factor, has_source = factor * scale, True
        assert after is not None
        position = after
    return position

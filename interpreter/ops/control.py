"""If, Loop, Scan and SequenceMap: operators that call subgraphs.

A subgraph arrives as a ``Body``: it is called with its inputs and returns the
list of its outputs; what it reads from outside is already bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Value
from ..registry import Body, op
from ..types import Array, TensorType
from ._shared import normalise_axis


@op("If", since=(1, 11, 13, 16, 19, 21, 23, 24, 25))
def if_(cond: Array, *, then_branch: Body, else_branch: Body) -> tuple[Any, ...]:
    """The outputs of ``then_branch`` where ``cond`` (one element) is true, else of the other."""
    return tuple((then_branch if _single(cond, "cond") else else_branch)())


@op("Loop", since=(1, 11, 13, 16, 19, 21, 23, 24, 25))
def loop(
    M: Array | None = None, cond: Array | None = None, *v_initial: Any, body: Body
) -> tuple[Any, ...]:
    """Run ``body`` at most ``M`` times, while its condition is true.

    The body takes (iteration, condition, carried values…) and gives (condition, carried
    values…, scan elements…). Without ``cond`` its condition is ignored, as the standard's table
    has it. Returns the last carried values, and each scan element of all iterations stacked on a
    new first axis.
    """
    if M is None and cond is None:
        raise ValueError("a Loop with neither M nor cond would never end: give it one of them")
    limit = None if M is None else int(_single(M, "M"))
    going = cond is None or bool(_single(cond, "cond"))
    carried = list(v_initial)
    elements: list[list[Array]] = [[] for _ in body.outputs[1 + len(carried) :]]
    iteration = 0
    while going and (limit is None or iteration < limit):
        condition, *values = body(np.array(iteration, np.int64), np.array(going), *carried)
        carried = values[: len(carried)]
        for collected, element in zip(elements, values[len(carried) :], strict=True):
            collected.append(element)
        if cond is not None:
            going = bool(_single(condition, "the body's condition"))
        iteration += 1
    scanned = zip(elements, body.outputs[1 + len(carried) :], strict=True)
    return (*carried, *(_stack(collected, value) for collected, value in scanned))


def _single(value: Array, name: str) -> Any:
    if value.size != 1:
        raise ValueError(f"{name} must have one element, and has the shape {list(value.shape)}")
    return value.reshape(-1)[0]


def _stack(elements: Sequence[Array], value: Value, axis: int = 0) -> Array:
    """The elements along a new axis. Where there are none, the body's output says dtype and
    shape; a dimension that it leaves open is 0."""
    if not elements:
        elements = [_empty_element(value)]
        axis = normalise_axis(axis, elements[0].ndim + 1, "scan_output_axes")
        return np.stack(elements, axis).take([], axis)
    for number, element in enumerate(elements):
        if element.shape != elements[0].shape or element.dtype != elements[0].dtype:
            raise ValueError(
                f"the scan output '{value.name}' must keep its dtype and shape: it was "
                f"{elements[0].dtype} {list(elements[0].shape)} at first, and is {element.dtype} "
                f"{list(element.shape)} in iteration {number}"
            )
    return np.stack(elements, normalise_axis(axis, elements[0].ndim + 1, "scan_output_axes"))


def _empty_element(value: Value) -> Array:
    if not isinstance(value.type, TensorType) or value.type.dtype is None:
        raise ValueError(
            f"the body ran no time, and nothing says of what type its output '{value.name}' is"
        )
    shape = value.type.shape or ()
    return np.zeros([dim if isinstance(dim, int) else 0 for dim in shape], value.type.dtype)


@op("Scan", since=(9, 11, 16, 19, 21, 23, 24, 25))
def scan(
    *initial_state_and_scan_inputs: Array,
    body: Body,
    num_scan_inputs: int,
    scan_input_axes: tuple[int, ...] | None = None,
    scan_input_directions: tuple[int, ...] | None = None,
    scan_output_axes: tuple[int, ...] | None = None,
    scan_output_directions: tuple[int, ...] | None = None,
) -> tuple[Array, ...]:
    """Run ``body`` on each slice of the scan inputs.

    The body takes (states…, slices…) and gives (states…, scan elements…). Direction 1 of an
    input starts at its end, of an output prepends. Returns the last states, and each scan element
    of all iterations stacked on a new axis.
    """
    states, inputs = _split(initial_state_and_scan_inputs, num_scan_inputs)
    axes = _flags(scan_input_axes, len(inputs), "scan_input_axes")
    directions = _flags(scan_input_directions, len(inputs), "scan_input_directions")
    sequences = []
    for x, axis, reverse in zip(inputs, axes, directions, strict=True):
        x = np.moveaxis(x, normalise_axis(axis, x.ndim, "scan_input_axes"), 0)
        sequences.append(x[::-1] if reverse else x)
    states, elements = _run(body, states, sequences)
    outputs = body.outputs[len(states) :]
    axes = _flags(scan_output_axes, len(outputs), "scan_output_axes")
    directions = _flags(scan_output_directions, len(outputs), "scan_output_directions")
    scanned = zip(elements, outputs, axes, directions, strict=True)
    return (
        *states,
        *(
            _stack(collected[::-1] if prepend else collected, value, axis)
            for collected, value, axis, prepend in scanned
        ),
    )


def _split(values: Sequence[Array], num_scan_inputs: int) -> tuple[list[Array], list[Array]]:
    """States and scan inputs."""
    if not 1 <= num_scan_inputs <= len(values):
        raise ValueError(
            f"num_scan_inputs must be 1 to the number of inputs {len(values)}, and is "
            f"{num_scan_inputs}"
        )
    count = len(values) - num_scan_inputs
    return list(values[:count]), list(values[count:])


def _flags(given: Sequence[int] | None, count: int, name: str) -> Sequence[int]:
    if given is None:
        return [0] * count
    if len(given) != count:
        raise ValueError(f"{name} must have {count} values, and has {len(given)}")
    if name.endswith("directions") and not set(given) <= {0, 1}:
        raise ValueError(f"{name} must be 0 or 1, and are {list(given)}")
    return given


def _run(
    body: Body, states: list[Array], sequences: Sequence[Array]
) -> tuple[list[Array], list[list[Array]]]:
    """Scan along the first axis; returns the last states, and for each scan output its elements."""
    lengths = [len(x) for x in sequences]
    if len(set(lengths)) > 1:
        raise ValueError(f"all scan inputs must have one length, and have {lengths}")
    elements: list[list[Array]] = [[] for _ in body.outputs[len(states) :]]
    for t in range(lengths[0]):
        values = body(*states, *(x[t, ...] for x in sequences))
        states = values[: len(states)]
        for collected, element in zip(elements, values[len(states) :], strict=True):
            collected.append(element)
    return states, elements


@op("Scan", since=8)
def scan_8(
    sequence_lens: Array | None = None,
    *initial_state_and_scan_inputs: Array,
    body: Body,
    num_scan_inputs: int,
    directions: tuple[int, ...] | None = None,
) -> tuple[Array, ...]:
    """Opset 8: all states and scan inputs have a batch axis in front, and the body sees one item.

    The scan axis is 1; ``sequence_lens`` [batch] says how much of it each item uses (a direction
    of 1 starts at the end of that), and scan outputs are 0 behind it.
    """
    states, inputs = _split(initial_state_and_scan_inputs, num_scan_inputs)
    reverse = _flags(directions, len(inputs), "directions")
    if len({x.shape[:2] for x in inputs}) != 1 or inputs[0].ndim < 2:
        raise ValueError(
            f"all scan inputs must begin with the same batch and sequence dimensions, and have the "
            f"shapes {[list(x.shape) for x in inputs]}"
        )
    batch, longest = inputs[0].shape[:2]
    lengths = [longest] * batch if sequence_lens is None else sequence_lens.tolist()
    if len(lengths) != batch or any(not 0 <= length <= longest for length in lengths):
        raise ValueError(
            f"sequence_lens must be {batch} values of 0 to {longest}, and is {lengths}"
        )
    if any(len(state) != batch for state in states):
        raise ValueError(
            f"each state must have the batch size {batch} in front, and they have "
            f"{[len(state) for state in states]}"
        )
    finals = [state.copy() for state in states]
    outputs: list[list[list[Array]]] = [[] for _ in body.outputs[len(states) :]]
    for item, length in enumerate(lengths):
        used = [x[item, :length] for x in inputs]
        used = [x[::-1] if flag else x for x, flag in zip(used, reverse, strict=True)]
        last, elements = _run(body, [state[item, ...] for state in states], used)
        for final, value in zip(finals, last, strict=True):
            final[item] = value
        for collected, own in zip(outputs, elements, strict=True):
            collected.append(own)
    named = zip(outputs, body.outputs[len(states) :], strict=True)
    return (*finals, *(_pad(items, longest, value) for items, value in named))


def _pad(items: Sequence[Sequence[Array]], longest: int, value: Value) -> Array:
    """The items' scan elements as [batch, longest, ...], with 0 behind each item's end."""
    element = next((own[0] for own in items if own), None)
    if element is None:
        element = _empty_element(value)
    padded = np.zeros((len(items), longest, *element.shape), element.dtype)
    for row, own in zip(padded, items, strict=True):
        if own:
            row[: len(own)] = _stack(own, value)
    return padded


@op("SequenceMap", since=17)
def sequence_map(
    input_sequence: list[Any], *additional_inputs: Any, body: Body
) -> tuple[list[Any], ...]:
    """``body`` on each element of the sequence; other sequences go along, tensors stay the same."""
    for other in additional_inputs:
        if isinstance(other, list) and len(other) != len(input_sequence):
            raise ValueError(
                f"all sequences must have the length {len(input_sequence)} of the first, and one "
                f"has {len(other)}"
            )
    results = [
        body(x, *(other[i] if isinstance(other, list) else other for other in additional_inputs))
        for i, x in enumerate(input_sequence)
    ]
    return tuple([result[k] for result in results] for k in range(len(body.outputs)))

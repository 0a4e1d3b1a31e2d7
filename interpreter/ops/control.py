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
    trips = limit if cond is None else None
    values: Sequence[Any] = v_initial
    count = 1 + len(v_initial)
    scanned = [_Scanned(value, trips) for value in body.outputs[count:]]
    true, iteration = np.array(True), 0
    while going and (limit is None or iteration < limit):
        results = body(np.array(iteration, np.int64), true, *values)
        values = results[1:count]
        for output, element in zip(scanned, results[count:], strict=True):
            output.append(element)
        if cond is not None:
            going = bool(_single(results[0], "the body's condition"))
        iteration += 1
    return (*values, *(output.whole() for output in scanned))


def _single(value: Array, name: str) -> Any:
    if value.size != 1:
        raise ValueError(f"{name} must have one element, and has the shape {list(value.shape)}")
    return value.reshape(-1)[0]


class _Scanned:
    """A scan output: the elements along a new axis, written to their places as they are made.

    ``length`` is their number where it is known from the start. With ``prepend`` the first stands
    at the end.
    """

    def __init__(
        self, value: Value, length: int | None, axis: int = 0, prepend: bool = False
    ) -> None:
        self.value, self.length, self.axis, self.prepend = value, length, axis, prepend
        self.count = 0
        self.places: Array

    def append(self, element: Array) -> None:
        """Copy an element to its place."""
        if not self.count:
            self.places = self._room(16 if self.length is None else self.length, element)
        elif element.shape != self.places.shape[1:] or element.dtype != self.places.dtype:
            raise ValueError(
                f"the scan output '{self.value.name}' must keep its dtype and shape: it was "
                f"{self.places.dtype} {list(self.places.shape[1:])} at first, and is "
                f"{element.dtype} {list(element.shape)} in iteration {self.count}"
            )
        elif self.count == len(self.places):
            longer = self._room(2 * self.count, element)
            longer[: self.count] = self.places
            self.places = longer
        self.places[self.count] = element
        self.count += 1

    def _room(self, length: int, element: Array) -> Array:
        """An empty array whose first axis is the new one, which lies where the output has it."""
        axis = normalise_axis(self.axis, element.ndim + 1, "scan_output_axes")
        shape = (*element.shape[:axis], length, *element.shape[axis:])
        places = np.moveaxis(np.empty(shape, element.dtype), axis, 0)
        return places[::-1] if self.prepend else places

    def whole(self) -> Array:
        """The output. Where there are no elements, the body's output says dtype and shape; a
        dimension that it leaves open is 0."""
        if not self.count:
            self.places = self._room(0, _empty_element(self.value))
        places = self.places if self.count == len(self.places) else self.places[: self.count].copy()
        axis = normalise_axis(self.axis, places.ndim, "scan_output_axes")
        return np.moveaxis(places[::-1] if self.prepend else places, 0, axis)


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
    outputs = body.outputs[len(states) :]
    axes = _flags(scan_output_axes, len(outputs), "scan_output_axes")
    directions = _flags(scan_output_directions, len(outputs), "scan_output_directions")
    scanned = [
        _Scanned(value, len(sequences[0]), axis, bool(prepend))
        for value, axis, prepend in zip(outputs, axes, directions, strict=True)
    ]
    last = _run(body, states, sequences, scanned)
    return (*last, *(output.whole() for output in scanned))


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
    body: Body, states: Sequence[Array], sequences: Sequence[Array], scanned: Sequence[_Scanned]
) -> Sequence[Array]:
    """Scan along the first axis; returns the last states."""
    lengths = [len(x) for x in sequences]
    if len(set(lengths)) > 1:
        raise ValueError(f"all scan inputs must have one length, and have {lengths}")
    count = len(states)
    for t in range(lengths[0]):
        results = body(*states, *[x[t, ...] for x in sequences])
        states = results[:count]
        for output, element in zip(scanned, results[count:], strict=True):
            output.append(element)
    return states


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
    outputs = [(value, list[_Scanned]()) for value in body.outputs[len(states) :]]
    for item, length in enumerate(lengths):
        used = [x[item, :length] for x in inputs]
        used = [x[::-1] if flag else x for x, flag in zip(used, reverse, strict=True)]
        scanned = [_Scanned(value, length) for value, _ in outputs]
        last = _run(body, [state[item, ...] for state in states], used, scanned)
        for final, value in zip(finals, last, strict=True):
            final[item] = value
        for (_, items), own in zip(outputs, scanned, strict=True):
            items.append(own)

    padded = ([own.whole() for own in items or [_Scanned(value, 0)]] for value, items in outputs)
    return (*finals, *(_pad(items, batch, longest) for items in padded))


def _pad(items: Sequence[Array], batch: int, longest: int) -> Array:
    """The items' scan outputs as [batch, longest, ...], with 0 behind each item's end."""
    like = max(items, key=len)  # an item without elements may not know their shape
    padded = np.zeros((batch, longest, *like.shape[1:]), like.dtype)
    for row, own in zip(padded, items, strict=False):
        if len(own):
            row[: len(own)] = own
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

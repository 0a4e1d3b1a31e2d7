"""The gates of an RNN, GRU or LSTM over time: what its outputs do not show.

Written out once more, for one sequence and one direction, in the order of the
specification's equations: this is for looking, ``ops.recurrent`` for computing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Node
from ..ops._recurrent_activations import InPlace, read_activations
from ..types import Array

RECURRENT = ("RNN", "GRU", "LSTM")
_DEFAULTS = {
    "RNN": ("Tanh",),
    "GRU": ("Sigmoid", "Tanh"),
    "LSTM": ("Sigmoid", "Tanh", "Tanh"),
}
_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


def gates_of(
    node: Node, inputs: Sequence[Any], direction: int = 0, row: int = 0
) -> dict[str, Array]:
    """The gates and states of one sequence.

    Parameters
    ----------
    node : an RNN, GRU or LSTM.
    inputs : what it was given.
    direction : 0, or 1 for the reverse half of a bidirectional one.
    row : which sequence of the batch.

    Returns
    -------
    By name (``input gate`` …, ``hidden state``) arrays of shape [steps,
    hidden_size]; step t is at index t also where the sequence is read from its
    end, and steps behind the sequence's end are 0.
    """
    given = dict(zip(_INPUTS, inputs, strict=False))
    attributes = node.attributes
    X = given["X"] if not attributes.get("layout", 0) else given["X"].swapaxes(0, 1)
    W, R = given["W"][direction], given["R"][direction]
    hidden = R.shape[-1]
    count = R.shape[0] // hidden
    bias = given.get("B")
    Wb, Rb = np.zeros((2, R.shape[0]), R.dtype) if bias is None else bias[direction].reshape(2, -1)
    f = _activations(node, direction)
    steps = len(X)
    lengths = given.get("sequence_lens")
    length = steps if lengths is None else int(lengths[row])
    reverse = attributes.get("direction", "forward") == "reverse" or direction == 1
    state = _initial(given.get("initial_h"), attributes, direction, row, hidden)
    cell = _initial(given.get("initial_c"), attributes, direction, row, hidden)
    P = given.get("P")
    peepholes = None if P is None else P[direction].reshape(3, hidden)
    result: dict[str, Array] = {}
    for t in range(length - 1, -1, -1) if reverse else range(length):
        x = (X[t, row] @ W.T + Wb).reshape(count, hidden)
        r = (state @ R.T + Rb).reshape(count, hidden)
        if node.op_type == "RNN":
            state = _apply(f[0], x[0] + r[0])
            seen = {"hidden state": state}
        elif node.op_type == "GRU":
            update, reset = _apply(f[0], x[0] + r[0]), _apply(f[0], x[1] + r[1])
            if attributes.get("linear_before_reset", 0):
                inner = reset * r[2]
            else:
                inner = (reset * state) @ R[2 * hidden :].T + Rb[2 * hidden :]
            candidate = _apply(f[1], x[2] + inner)
            state = (1 - update) * candidate + update * state
            seen = {
                "update gate": update,
                "reset gate": reset,
                "candidate": candidate,
                "hidden state": state,
            }
        else:
            z = x + r
            if peepholes is not None:
                z[0] += peepholes[0] * cell
                z[2] += peepholes[2] * cell
            enter = _apply(f[0], z[0])
            forget = 1 - enter if attributes.get("input_forget", 0) else _apply(f[0], z[2])
            candidate = _apply(f[1], z[3])
            cell = forget * cell + enter * candidate
            if peepholes is not None:
                z[1] += peepholes[1] * cell
            leave = _apply(f[0], z[1])
            state = leave * _apply(f[2], cell)
            seen = {
                "input gate": enter,
                "forget gate": forget,
                "candidate": candidate,
                "output gate": leave,
                "cell state": cell,
                "hidden state": state,
            }
        for name, value in seen.items():
            result.setdefault(name, np.zeros((steps, hidden), value.dtype))[t] = value
    return result


def _activations(node: Node, direction: int) -> list[InPlace]:
    defaults = _DEFAULTS[node.op_type]
    both = 2 if node.attributes.get("direction") == "bidirectional" else 1
    names = node.attributes.get("activations") or defaults * both
    functions = read_activations(
        names,
        node.attributes.get("activation_alpha") or (),
        node.attributes.get("activation_beta") or (),
        node.attributes.get("clip"),
    )
    return functions[direction * len(defaults) :]


def _apply(function: InPlace, x: Array) -> Array:
    x = x.copy()
    function(x)
    return x


def _initial(given: Any, attributes: Any, direction: int, row: int, hidden: int) -> Array:
    if given is None:
        return np.zeros(hidden, np.float32)
    state: Array = given[row, direction] if attributes.get("layout", 0) else given[direction, row]
    return state

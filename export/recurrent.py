"""One Keras recurrent layer as one ONNX node: SimpleRNN, GRU, LSTM, and Bidirectional of them.

:func:`recurrent` and :func:`bidirectional` give what stands for the layer's
``call`` while the model is traced. They return None for what an ONNX node
cannot be (a cell of another kind, an activation that ONNX does not know): such
a layer keeps Keras's own loop, which tf2onnx writes as a Loop.

Shapes below: B batch, T steps, F features, H units, D directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .framework import Array
from .native import onnx_op, values

__all__ = ["bidirectional", "recurrent"]

Call = Callable[..., Any]


@dataclass(frozen=True)
class _Kind:
    """How a Keras cell's gates are laid out in the ONNX operator."""

    op_type: str
    gates: tuple[int, ...]  # the Keras index of each ONNX gate: i, f, c, o to i, o, f, c
    activations: tuple[str, ...]  # the operator's defaults


_RNN = _Kind("RNN", (0,), ("Tanh",))
_GRU = _Kind("GRU", (0, 1, 2), ("Sigmoid", "Tanh"))
_LSTM = _Kind("LSTM", (0, 3, 1, 2), ("Sigmoid", "Tanh", "Tanh"))


def recurrent(layer: Any) -> Call | None:
    """A ``call`` for a SimpleRNN, GRU, LSTM or RNN layer that adds one ONNX node."""
    if not _is_native(layer):
        return None

    def call(
        sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        if mask is not None and _masks_unlike_the_others(layer):
            return type(layer).call(layer, sequences, initial_state, mask, training)
        states = _states([layer], initial_state)
        every, last, states = _run([layer], sequences, states, mask)
        if layer.return_sequences:
            output = _batch_first(_combined(every, 1, None)[0])
            if layer.go_backwards:  # Keras gives the outputs in the order of computation
                output = _reversed(output)
        else:
            output = _combined(last, 0, None)[0]
        return (output, *states) if layer.return_state else output

    return call


def bidirectional(layer: Any) -> Call | None:
    """A ``call`` for a Bidirectional layer that adds one ONNX node for both directions."""
    pair = [layer.forward_layer, layer.backward_layer]
    if not all(_is_native(part) for part in pair) or not _fit_together(*pair):
        return None

    def call(
        sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None
    ) -> Any:
        if mask is not None and any(map(_masks_unlike_the_others, pair)):
            return type(layer).call(layer, sequences, initial_state, mask, training)
        states = _states(pair, initial_state)
        every, last, states = _run(pair, sequences, states, mask)
        if layer.return_sequences:
            outputs = [_batch_first(o) for o in _combined(every, 1, layer.merge_mode)]
        else:
            outputs = _combined(last, 0, layer.merge_mode)
        if layer.return_state:
            return (*outputs, *states)
        return tuple(outputs) if layer.merge_mode is None else outputs[0]

    return call


def _is_native(layer: Any) -> bool:
    """Whether one ONNX node computes exactly what this layer computes."""
    import keras

    known = (keras.layers.SimpleRNN, keras.layers.GRU, keras.layers.LSTM, keras.layers.RNN)
    if type(layer) not in known or _kind(layer.cell) is None:
        return False
    functions = _functions(layer.cell)
    return all(any(f is known for known in _activation_table()) for f in functions)


def _masks_unlike_the_others(layer: Any) -> bool:
    """Whether Keras puts zeros in the wrong places here: it forgets to turn the mask around.

    The file then says what Keras computes, in Keras's own unrolled steps.
    """
    flags = (layer.unroll, layer.go_backwards, layer.return_sequences, layer.zero_output_for_mask)
    return all(flags)


def _fit_together(forward: Any, backward: Any) -> bool:
    """Whether two layers are the two directions of one node, of one hidden size."""
    one, other = forward.cell, backward.cell
    return (
        _kind(one) == _kind(other)
        and one.units == other.units
        and getattr(one, "reset_after", None) == getattr(other, "reset_after", None)
        and one.compute_dtype == other.compute_dtype
        and not forward.go_backwards
        and backward.go_backwards
        and forward.stateful == backward.stateful
        and forward.zero_output_for_mask == backward.zero_output_for_mask
    )


def _kind(cell: Any) -> _Kind | None:
    import keras

    kinds = {
        keras.layers.SimpleRNNCell: _RNN,
        keras.layers.GRUCell: _GRU,
        keras.layers.LSTMCell: _LSTM,
    }
    return kinds.get(type(cell))  # a subclass may compute anything


def _functions(cell: Any) -> list[Any]:
    """The activations in ONNX's order: the gates', the candidate's, and for LSTM the output's."""
    kind = _kind(cell)
    if kind is _RNN:
        return [cell.activation]
    gates = [cell.recurrent_activation, cell.activation]
    return [*gates, cell.activation] if kind is _LSTM else gates


def _activation_table() -> dict[Any, tuple[str, list[float], list[float]]]:
    """Keras activation to its ONNX name, and the alpha and beta that it takes."""
    from keras import activations as keras_activations

    return {
        keras_activations.tanh: ("Tanh", [], []),
        keras_activations.sigmoid: ("Sigmoid", [], []),
        keras_activations.relu: ("Relu", [], []),
        keras_activations.softsign: ("Softsign", [], []),
        keras_activations.softplus: ("Softplus", [], []),
        keras_activations.linear: ("Affine", [1.0], [0.0]),
        keras_activations.elu: ("Elu", [1.0], []),
        keras_activations.leaky_relu: ("LeakyRelu", [0.2], []),
        keras_activations.hard_sigmoid: ("HardSigmoid", [1 / 6], [0.5]),
    }


def _states(layers: Sequence[Any], given: Any) -> list[Any] | None:
    """The initial states in one list (h of each layer, with c behind it for LSTM), or None.

    A stateful layer starts from the state that it has when it is exported.
    """
    import tensorflow as tf

    if given is None:
        if not layers[0].stateful:
            return None
        given = [state for layer in layers for state in layer.states]
    given = list(given) if isinstance(given, (list, tuple)) else [given]
    dtype = layers[0].cell.compute_dtype
    return [tf.cast(tf.convert_to_tensor(state), dtype) for state in given]


def _run(
    layers: Sequence[Any], sequences: Any, initial: list[Any] | None, mask: Any
) -> tuple[Any, Any, list[Any]]:
    """Add the node for one layer, or for a forward and a backward one.

    Args:
        layers: the Keras layers.
        sequences: (B, T, F).
        initial: the initial states as :func:`_states` gives them.
        mask: (B, T) of bool, or None.

    Returns:
        The outputs of every step (T, D, B, H), the last ones (D, B, H), and
        the final states, each (B, H), in Keras's order.
    """
    import tensorflow as tf

    cell = layers[0].cell
    kind = _kind(cell)
    assert kind is not None
    count = len(cell.state_size) if kind is _LSTM else 1
    dtype, units, directions = tf.as_dtype(cell.compute_dtype), cell.units, len(layers)
    padding = None if mask is None else _Padding(mask, [bool(x.go_backwards) for x in layers])

    x = tf.cast(sequences, dtype)
    steps, batch = x.shape[1], x.shape[0]
    if padding is not None:
        x = padding.valid_first(x)
    stacked = [tf.stack(initial[i::count]) if initial else None for i in range(count)]
    weights = [np.stack(arrays) for arrays in zip(*map(_weights, layers), strict=True)]
    has_bias = any(part.cell.use_bias for part in layers)
    results = onnx_op(
        kind.op_type,
        [
            tf.transpose(x, (1, 0, 2)),
            *(tf.constant(w, dtype) for w in weights[:2]),
            tf.constant(weights[2], dtype) if has_bias else None,
            None if padding is None else padding.lengths,
            *stacked,
        ],
        [
            (dtype, (steps, directions, batch, units)),
            *[(dtype, (directions, batch, units))] * count,
        ],
        hidden_size=units,
        direction=_direction(layers),
        **_activation_attributes(layers, kind),
        **({"linear_before_reset": int(cell.reset_after)} if kind is _GRU else {}),
    )
    every, finals = results[0], results[1:]
    last = finals[0]
    if padding is not None:
        zero = layers[0].zero_output_for_mask
        every = padding.all_steps(every, zero=zero)
        if zero or initial:  # otherwise the state where no step counts is zero by itself
            last = padding.last_step(last, zero=zero)
        if initial:
            finals = [padding.or_initial(f, s) for f, s in zip(finals, stacked, strict=True)]
    parts = [_combined(final, 0, None) for final in finals]
    states = [parts[i][d] for d in range(directions) for i in range(count)]
    return every, last, states


def _direction(layers: Sequence[Any]) -> str:
    if len(layers) == 2:
        return "bidirectional"
    return "reverse" if layers[0].go_backwards else "forward"


def _activation_attributes(layers: Sequence[Any], kind: _Kind) -> dict[str, Any]:
    """The attributes for activations other than the operator's defaults.

    ONNX lists alpha and beta for those functions alone that take them.
    """
    used = [_activation_table()[f] for layer in layers for f in _functions(layer.cell)]
    names = [name for name, _, _ in used]
    if names == list(kind.activations) * len(layers):
        return {}
    alpha = [value for _, values, _ in used for value in values]
    beta = [value for _, _, values in used for value in values]
    attributes: dict[str, Any] = {"activations": names}
    if alpha:
        attributes["activation_alpha"] = alpha
    if beta:
        attributes["activation_beta"] = beta
    return attributes


def _weights(layer: Any) -> tuple[Array, Array, Array]:
    """W (gates*H, F), R (gates*H, H) and B (2*gates*H), with the gates in ONNX's order."""
    cell = layer.cell
    kind = _kind(cell)
    assert kind is not None
    kernel, recurrent_kernel = values(cell.kernel), values(cell.recurrent_kernel)
    bias = values(cell.bias) if cell.use_bias else np.zeros(kernel.shape[1], kernel.dtype)
    # GRU with reset_after has a bias for the input and one for the state; others, for the input
    biases = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])

    def reorder(array: Array) -> Array:
        gates = np.split(array, len(kind.gates), axis=-1)
        return np.concatenate([gates[gate] for gate in kind.gates], axis=-1)

    return reorder(kernel).T, reorder(recurrent_kernel).T, reorder(biases).reshape(-1)


def _combined(value: Any, axis: int, merge_mode: str | None) -> list[Any]:
    """Bring the D directions of an array (..., D at ``axis``, ..., B, H) together, as Keras does.

    Returns one tensor (without the axis D), or one a direction where ``merge_mode`` is None.
    """
    import tensorflow as tf

    directions = value.shape[axis]
    if directions == 1:
        return [tf.squeeze(value, axis)]
    if merge_mode is None:
        return list(tf.unstack(value, axis=axis))
    if merge_mode == "concat":
        others = [i for i in range(len(value.shape)) if i != axis]
        side_by_side = tf.transpose(value, [*others[:-1], axis, others[-1]])
        shape = tf.concat([tf.shape(side_by_side)[:-2], [directions * value.shape[-1]]], 0)
        return [tf.reshape(side_by_side, shape)]
    reduce = {"sum": tf.reduce_sum, "ave": tf.reduce_mean, "mul": tf.reduce_prod}[merge_mode]
    return [reduce(value, axis=axis)]


def _batch_first(value: Any) -> Any:
    import tensorflow as tf

    return tf.transpose(value, (1, 0, 2))


def _reversed(sequences: Any) -> Any:
    """(B, T, H) with T from the end: a Slice of step -1."""
    return sequences[:, ::-1]


class _Padding:
    """A mask of any pattern around a node that knows lengths alone.

    Keras skips a masked step: the state stays as it was, and the output is
    the one before. So the steps that count are moved to the front, in order;
    the node runs over their number; and every step takes the output of the
    last step that counted. For a mask that is right-padded nothing moves.
    """

    def __init__(self, mask: Any, backwards: Sequence[bool]) -> None:
        import tensorflow as tf

        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        mask = tf.cast(mask, tf.bool)
        self.mask = tf.squeeze(mask, -1) if len(mask.shape) == 3 else mask
        self._valid = tf.cast(self.mask, tf.int32)
        self._backwards = backwards
        self.lengths = tf.reduce_sum(self._valid, axis=1)  # (B)

    def valid_first(self, x: Any) -> Any:
        """Move the unmasked steps of x (B, T, F) to the front.

        TopK gives equal values in the order of their indices, so the order is kept.
        """
        import tensorflow as tf

        shape = self.mask.shape
        count = tf.shape(self.mask, out_type=tf.int64)[1:]
        _, order = onnx_op(
            "TopK", [self._valid, count], [(tf.int32, shape), (tf.int64, shape)], axis=1
        )
        return _gather_steps(x, order, batch_dims=1)

    def all_steps(self, every: Any, *, zero: bool) -> Any:
        """Spread the outputs (T, D, B, H) of the valid steps over all steps.

        Forwards, step t takes the output of the last valid step up to t;
        backwards, that of the first one from t on. Where there is none, the
        index points behind the valid outputs (-1 is the last place), at zeros.
        """
        import tensorflow as tf

        seen = tf.cumsum(self._valid, axis=1)
        indices = [seen - self._valid if back else seen - 1 for back in self._backwards]
        index = tf.cast(tf.stack(indices, axis=1), tf.int64)  # (B, D, T)
        spread = _gather_steps(tf.transpose(every, (2, 1, 0, 3)), index, batch_dims=2)
        if zero:
            mask = tf.expand_dims(tf.expand_dims(self.mask, 1), 3)
            spread = tf.where(mask, spread, tf.zeros([], spread.dtype))
        return tf.transpose(spread, (2, 1, 0, 3))

    def last_step(self, last: Any, *, zero: bool) -> Any:
        """The output (D, B, H) of the last step: zeros where no step, or not that one, counts."""
        import tensorflow as tf

        if zero:
            ends = [self.mask[:, 0] if back else self.mask[:, -1] for back in self._backwards]
            counts = tf.expand_dims(tf.stack(ends), 2)  # (D, B, 1)
        else:
            counts = self._any_step()
        return tf.where(counts, last, tf.zeros([], last.dtype))

    def or_initial(self, final: Any, initial: Any) -> Any:
        """The final state (D, B, H): the initial one where no step counts."""
        import tensorflow as tf

        return tf.where(self._any_step(), final, initial)

    def _any_step(self) -> Any:
        """Whether any step counts, (1, B, 1)."""
        import tensorflow as tf

        return tf.expand_dims(tf.expand_dims(tf.cast(self.lengths, tf.bool), 0), 2)


def _gather_steps(value: Any, index: Any, batch_dims: int) -> Any:
    """Take steps of (B, ..., T, H) by an index (B, ..., T), with one GatherND."""
    import tensorflow as tf

    (result,) = onnx_op(
        "GatherND",
        [value, tf.expand_dims(index, -1)],
        [(value.dtype, value.shape)],
        batch_dims=batch_dims,
    )
    return result

"""A Keras model as the other side: layers are matched to nodes by name, values by layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scratch_onnx.interpreter import InferenceSession
from scratch_onnx.interpreter.errors import InputError


class KerasPeer:
    """Runs a Keras model, and keeps what the layers gave that are asked for.

    The export names a node ``layer/Op``, so a layer's output is the output of
    the last node of that layer. A layer that is called more than once, or gives
    several values, is left out.
    """

    def __init__(self, path: str, session: InferenceSession, feed: Mapping[str, Any]) -> None:
        from scratch_onnx.export.framework import load_frameworks
        from scratch_onnx.export.layers import walk
        from scratch_onnx.export.loading import load_keras
        from scratch_onnx.export.signature import input_specs

        self.name = f"keras:{path}"
        _, self.keras = load_frameworks()
        self.model = load_keras(path)
        names = [spec.name for spec in input_specs(self.model)]
        if set(names) != set(feed):
            if len(names) != len(feed):
                raise InputError(
                    f"{path} takes the inputs {', '.join(names)}, and the model {', '.join(feed)}"
                )
            names = list(feed)  # other names, in the same order
        self.arrays = [np.asarray(feed[name]) for name in names]
        layers = {layer for layer, _ in walk(self.model)}
        last: dict[str, str] = {}
        for node in session.model.graph.nodes:
            layer = node.name.rpartition("/")[0]
            if layer in layers:
                last[layer] = next((name for name in node.outputs if name), "")
        self.layer_of = {value: layer for layer, value in last.items()}
        if not self.layer_of:
            raise InputError(f"no node of the model is named after a layer of {path}")

    def has(self, name: str) -> bool:
        """Whether a layer's output is that value."""
        return name in self.layer_of

    def values(self, names: Sequence[str]) -> dict[str, Any]:
        """What the layers gave, from one run."""
        from scratch_onnx.export.framework import quiet, unchanged_variables
        from scratch_onnx.export.layers import marked_layers
        from scratch_onnx.export.signature import pack

        wanted = {self.layer_of[name]: name for name in names if self.has(name)}
        recorded: dict[str, list[Any]] = {layer: [] for layer in wanted}

        def record(layer: str, outputs: Any) -> None:
            if layer in recorded:
                values = [v for v in self.keras.tree.flatten(outputs) if v is not None]
                recorded[layer] += [np.asarray(value) for value in values]

        with (
            quiet(),
            marked_layers(self.model, lambda _: None, record),
            unchanged_variables(self.model),
        ):
            self.model(pack(self.model, self.arrays), training=False)
        return {wanted[layer]: values[0] for layer, values in recorded.items() if len(values) == 1}

    def align(self, value: Any, like: Any) -> Any:
        """The value in the layout of ours: channels before or behind the spatial axes, time before
        or behind the batch. Of several layouts that fit by shape, the one that is nearest."""
        fits = [layout for layout in _layouts(value) if layout.shape == like.shape]
        if not fits:
            return None
        if len(fits) == 1 or like.dtype.kind not in "fiu":
            return fits[0]
        return min(fits, key=lambda fit: float(np.abs(fit - like).max(initial=0.0)))


def _layouts(value: Any) -> Iterator[Any]:
    yield value
    if value.ndim > 2:
        yield np.moveaxis(value, -1, 1)
        yield np.moveaxis(value, 1, -1)
        yield np.swapaxes(value, 0, 1)

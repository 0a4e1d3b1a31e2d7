"""What goes into a Keras model: names, shapes, dtypes, and arrays to try it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import ExportError
from .framework import Array

__all__ = ["InputSpec", "flatten_sample", "functional", "input_specs", "pack", "random_sample"]

BATCH = 3  # the number of items in a random sample: not 1, which would hide a lost batch dimension
LENGTH = 12  # what stands for a variable dimension of a sequence,
SIDE = 64  # and of an image


@dataclass(frozen=True)
class InputSpec:
    """One input: its Keras name, its shape (None is variable) and its NumPy dtype's name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def functional(model: Any) -> Any:
    """The model's graph of layers (a Sequential keeps it inside), or None if it has none."""
    graph = getattr(model, "_functional", None) or model
    return graph if hasattr(graph, "_inputs_struct") else None


def input_specs(model: Any, sample: Any = None) -> list[InputSpec]:
    """Describe the inputs of ``model``, in the order of ``keras.tree.flatten``.

    A subclassed model knows no inputs of its own: they are read off ``sample``,
    or off the shape that it was built with.

    Raises:
        ExportError: the model has no inputs yet, and no sample shows them; or it takes text.
    """
    specs = _specs(model, sample)
    for spec in specs:
        if spec.dtype == "string":
            raise ExportError(
                f"the input {spec.name!r} is text, and a file takes token ids: export the model "
                "behind its TextVectorization, and give that layer as vocabulary="
            )
    return specs


def _specs(model: Any, sample: Any) -> list[InputSpec]:
    import keras

    graph = functional(model)
    if graph is not None:
        paths = keras.tree.flatten_with_path(graph._inputs_struct)
        return [InputSpec(_input_name(path, t), tuple(t.shape), t.dtype) for path, t in paths]
    if sample is not None:
        paths = keras.tree.flatten_with_path(sample)
        arrays = [(path, np.asarray(value)) for path, value in paths]
        return [
            InputSpec(_name(path, i, len(arrays)), (None, *a.shape[1:]), a.dtype.name)
            for i, (path, a) in enumerate(arrays)
        ]
    shape = (model.get_build_config() or {}).get("input_shape")
    if shape is not None and all(d is None or isinstance(d, int) for d in shape):
        return [InputSpec("input", (None, *shape[1:]), "float32")]
    raise ExportError(
        f"the model {model.name!r} does not say what goes in: give sample=, an input that it takes "
        "(--sample x.npy), or build it with keras.Input"
    )


def _input_name(path: tuple[Any, ...], tensor: Any) -> str:
    """The key for a dict of inputs, else the InputLayer's name, as the summary prints it."""
    if path and isinstance(path[-1], str):
        return path[-1]
    return str(tensor._keras_history.operation.name)


def _name(path: tuple[Any, ...], index: int, count: int) -> str:
    if path and isinstance(path[-1], str):
        return path[-1]
    return "input" if count == 1 else f"input_{index}"


def pack(model: Any, flat: Sequence[Any], sample: Any = None) -> Any:
    """Arrange a flat list of inputs as ``model`` takes them: one tensor, a list, a dict."""
    import keras

    graph = functional(model)
    struct = graph._inputs_struct if graph is not None else sample
    if struct is not None:
        return keras.tree.pack_sequence_as(struct, list(flat))
    return flat[0] if len(flat) == 1 else list(flat)


def flatten_sample(sample: Any, specs: Sequence[InputSpec]) -> list[Array]:
    """Check a given sample against the inputs: one array, a sequence of them, or a mapping by name.

    Floating and integer arrays are brought to the input's dtype.

    Raises:
        ExportError: a name, the number of arrays or a shape does not fit.
    """
    if isinstance(sample, Mapping):
        missing = [spec.name for spec in specs if spec.name not in sample]
        if missing or len(sample) != len(specs):
            raise ExportError(
                f"the sample has {sorted(map(str, sample))}, and the model takes "
                f"{[spec.name for spec in specs]}"
            )
        values = [sample[spec.name] for spec in specs]
    elif isinstance(sample, (list, tuple)) and len(specs) > 1:
        values = list(sample)
    else:
        values = [sample]
    if len(values) != len(specs):
        raise ExportError(f"the sample has {len(values)} arrays, and the model takes {len(specs)}")
    return [_fit(np.asarray(value), spec) for value, spec in zip(values, specs, strict=True)]


def _fit(array: Array, spec: InputSpec) -> Array:
    fits = array.ndim == len(spec.shape) and all(
        want is None or want == got for want, got in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        raise ExportError(
            f"the sample for {spec.name!r} has shape {array.shape}, and the model takes "
            f"{spec.shape} (None is any number)"
        )
    if array.dtype.kind not in "fiub":
        raise ExportError(f"the sample for {spec.name!r} has dtype {array.dtype}: numbers expected")
    return array.astype(spec.dtype)


def random_sample(model: Any, specs: Sequence[InputSpec], seed: int = 0) -> list[Array]:
    """Make an input to compare with: normal numbers, or ids that every Embedding knows."""
    vocabularies = _vocabularies(model)
    smallest = min(vocabularies.values(), default=2)
    rng = np.random.default_rng(seed)
    arrays: list[Array] = []
    for index, spec in enumerate(specs):
        default = LENGTH if len(spec.shape) < 4 else SIDE
        first, *rest = spec.shape
        shape = [first or BATCH, *(dim or default for dim in rest)]
        kind = np.dtype(spec.dtype).kind
        if kind == "b":
            arrays.append(rng.random(shape) < 0.5)
        elif kind in "iu" or index in vocabularies:
            arrays.append(
                rng.integers(0, vocabularies.get(index, smallest), shape).astype(spec.dtype)
            )
        else:
            arrays.append(rng.standard_normal(shape).astype(spec.dtype))
    return arrays


def _vocabularies(model: Any) -> dict[int, int]:
    """The size of each Embedding, by the index of the model's input that it reads.

    An Embedding deeper inside a model counts under an index that no input has.
    """
    import keras

    graph = functional(model)
    inputs = [id(t) for t in keras.tree.flatten(graph._inputs_struct)] if graph else []
    sizes: dict[int, int] = {}
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Embedding):
            read = {id(t) for node in layer._inbound_nodes for t in node.input_tensors}
            for index in [i for i, t in enumerate(inputs) if t in read] or [-1]:
                sizes[index] = min(sizes.get(index, layer.input_dim), layer.input_dim)
    return sizes

"""Walking a model's layers, and marking what each one adds to a traced graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from .signature import functional

__all__ = ["Recorder", "layer_of", "marked_layers", "walk"]

Recorder = Callable[[str, Any], None]
Lowering = Callable[..., Any]


def walk(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (path, layer) for every layer inside ``model``, outer ones first.

    A path joins the names of the layers on the way, without the model's own:
    ``block_1/conv2d``. A layer that is reached twice is listed where it is met first.
    """
    seen: set[int] = set()

    def visit(parent: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        graph = functional(parent)
        children = list(graph.operations) if graph is not None else []
        children += parent._flatten_layers(include_self=False, recursive=False)
        for child in children:
            if id(child) in seen or child is graph or type(child).__name__ == "InputLayer":
                continue
            seen.add(id(child))
            path = f"{prefix}{child.name}"
            yield path, child
            if hasattr(child, "_flatten_layers"):
                yield from visit(child, f"{path}/")

    yield from visit(model, "")


def _mark(index: int) -> str:
    return f"layer.{index}"


@contextmanager
def marked_layers(
    model: Any,
    lowering: Callable[[Any], Lowering | None],
    recorder: Recorder | None = None,
) -> Iterator[dict[str, str]]:
    """While active, each layer's operations carry its mark, and some layers are lowered.

    Yields the paths by mark; :func:`layer_of` finds the one of a node. A
    layer's operations are put in a name scope of our own, since Keras's
    scopes are made unique by TensorFlow and then name no layer.

    Args:
        model: the Keras model; its layers are as before afterwards.
        lowering: what stands for a layer's ``call`` in the export, or None.
        recorder: told the path and the outputs of every call of a layer.
    """
    paths: dict[str, str] = {}
    with ExitStack() as stack:
        for index, (path, layer) in enumerate(walk(model)):
            paths[_mark(index)] = path
            call = lowering(layer) or layer.call
            marked = _marked_call(call, _mark(index), path, recorder)
            stack.enter_context(_replaced_call(layer, marked))
        yield paths


def _marked_call(
    call: Callable[..., Any], mark: str, path: str, recorder: Recorder | None
) -> Callable[..., Any]:
    def marked(*args: Any, **kwargs: Any) -> Any:
        import tensorflow

        with tensorflow.name_scope(f"{mark}/"):  # the slash: this very scope, not a new one
            outputs = call(*args, **kwargs)
        if recorder is not None:
            recorder(path, outputs)
        return outputs

    return marked


@contextmanager
def _replaced_call(layer: Any, call: Callable[..., Any]) -> Iterator[None]:
    """Set ``layer.call`` on the instance, past Keras's own tracking of attributes."""
    attributes = vars(layer)
    had, before = "call" in attributes, attributes.get("call")
    attributes["call"] = call
    try:
        yield
    finally:
        if had:
            attributes["call"] = before
        else:
            del attributes["call"]


def layer_of(node_name: str, paths: dict[str, str]) -> str | None:
    """The path of the layer that a node came from, or None if it carries no mark."""
    return paths.get(node_name.split("/", 1)[0])

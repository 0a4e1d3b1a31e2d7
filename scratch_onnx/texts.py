"""``--text``: sentences as the input of a model that has a text pipeline beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scratch_onnx.files import Array
from scratch_onnx.interpreter import InferenceSession
from scratch_onnx.interpreter.errors import InputError
from scratch_onnx.interpreter.types import TensorType


def encode_texts(session: InferenceSession, model: str, texts: Sequence[str]) -> dict[str, Array]:
    """The token ids of sentences, for the model's one input.

    Raises ``InputError`` where the model takes no text, and ``LoadError``
    where its pipeline cannot be read.
    """
    from scratch_onnx.interpreter.text import tokenizer_of  # most models take no text

    tokenizer = tokenizer_of(session.model.metadata, Path(model).resolve().parent)
    values = [v for v in session.plan.inputs if v.name in {i.name for i in session.get_inputs()}]
    if len(values) != 1:
        raise InputError(f"--text feeds one input, and the model has {len(values)}")
    kind = values[0].type
    if not isinstance(kind, TensorType) or kind.dtype is None or kind.dtype.kind not in "iuf":
        raise InputError(f"--text feeds token ids, and '{values[0].name}' takes {kind}")
    return {values[0].name: tokenizer.encode(texts, kind.dtype)}

"""The text pipeline beside a model: its vocabulary in a file, its settings in the metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import ExportError

__all__ = ["TextPipeline", "text_pipeline"]

_SPECIAL = ["", "[UNK]"]  # padding and unknown words: ids 0 and 1, as in Keras
_STANDARDIZE = ("lower_and_strip_punctuation", "lower", "strip_punctuation", None)
_SPLIT = ("whitespace", "character", None)


class TextPipeline:
    """A vocabulary and how sentences are taken apart, ready to be written.

    Attributes:
        file: the vocabulary's bytes: UTF-8, line n is the token of id n.
        metadata: ``text_standardize``, ``text_split`` and, where sentences have one length,
            ``text_sequence_length``. ``text_vocabulary`` is the file's name, known on writing.
    """

    def __init__(self, tokens: Sequence[str], text: Mapping[str, Any]) -> None:
        unknown = set(text) - {"standardize", "split", "output_sequence_length"}
        if unknown:
            raise ExportError(
                f"text= takes standardize, split and output_sequence_length, not {sorted(unknown)}"
            )
        standardize = text.get("standardize", _STANDARDIZE[0])
        split = text.get("split", _SPLIT[0])
        if standardize not in _STANDARDIZE or split not in _SPLIT:
            raise ExportError(
                f"a text pipeline with standardize={standardize!r} and split={split!r} cannot be "
                f"exported: known are {_STANDARDIZE} and {_SPLIT}"
            )
        self.file = _vocabulary_file(list(tokens))
        self.metadata = {
            "text_standardize": standardize or "none",
            "text_split": split or "none",
        }
        length = text.get("output_sequence_length")
        if length is not None:
            self.metadata["text_sequence_length"] = str(int(length))


def text_pipeline(vocabulary: Any, text: Mapping[str, Any] | None) -> TextPipeline | None:
    """Read the pipeline from a list of tokens and settings, or from a TextVectorization layer.

    Raises:
        ExportError: the pipeline does what the interpreter's tokeniser cannot.
    """
    if vocabulary is None:
        if text is not None:
            raise ExportError("text= describes a vocabulary, and none is given")
        return None
    if not hasattr(vocabulary, "get_vocabulary"):
        return TextPipeline(vocabulary, text or {})
    layer = vocabulary.get_config()
    if layer.get("output_mode") != "int" or layer.get("ngrams") or layer.get("ragged"):
        raise ExportError(
            f"the TextVectorization {vocabulary.name!r} must give token ids (output_mode='int', "
            "no ngrams, not ragged)"
        )
    settings = {key: layer[key] for key in ("standardize", "split", "output_sequence_length")}
    return TextPipeline(vocabulary.get_vocabulary(), {**settings, **(text or {})})


def _vocabulary_file(tokens: list[str]) -> bytes:
    tokens = tokens if tokens[:2] == _SPECIAL else [*_SPECIAL, *tokens]
    if len(set(tokens)) != len(tokens):
        twice = next(token for token in tokens if tokens.count(token) > 1)
        raise ExportError(f"the vocabulary has {twice!r} twice")
    broken = next((token for token in tokens if "\n" in token), None)
    if broken is not None:
        raise ExportError(f"the vocabulary has a token with a line break, {broken!r}")
    return "".join(f"{token}\n" for token in tokens).encode()

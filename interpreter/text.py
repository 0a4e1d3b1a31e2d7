"""Sentences to token ids, exactly as Keras's ``TextVectorization`` makes them, without TensorFlow.

Keras works on the bytes of UTF-8: it lowers and strips ASCII only, and splits
on ASCII white space, so ``É`` and a no-break space stay as they are. Python's
``bytes`` methods have the same semantics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError, LoadError
from .types import Array

PADDING, UNKNOWN = 0, 1
"""The ids of padding and of a word that is not in the vocabulary."""

STANDARDIZE = ("lower_and_strip_punctuation", "lower", "strip_punctuation", "none")
SPLIT = ("whitespace", "character", "none")
# The characters of the regular expression in keras/src/layers/preprocessing/text_vectorization.py.
_PUNCTUATION = b"!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"


@dataclass(frozen=True)
class Tokenizer:
    """The text pipeline of a model.

    ``vocabulary`` maps a token's UTF-8 bytes to its id, ``length`` is the
    number of ids of a sentence (None: that of the longest).
    """

    vocabulary: Mapping[bytes, int]
    length: int | None = None
    standardize: str = STANDARDIZE[0]
    split: str = SPLIT[0]

    def tokens(self, text: str) -> list[bytes]:
        """The words of a sentence, standardised."""
        data = text.encode("utf-8", "surrogateescape")
        if self.standardize in ("lower", "lower_and_strip_punctuation"):
            data = data.lower()
        if self.standardize in ("strip_punctuation", "lower_and_strip_punctuation"):
            data = data.translate(None, _PUNCTUATION)
        if self.split == "whitespace":
            return data.split()
        if self.split == "character":
            return [c.encode() for c in data.decode("utf-8", "replace")]
        return [data]

    def encode(self, texts: Sequence[str], dtype: Any = np.int64) -> Array:
        """The ids of sentences, of shape [len(texts), length]: cut or padded with 0 behind."""
        rows = [
            [self.vocabulary.get(token, UNKNOWN) for token in self.tokens(text)] for text in texts
        ]
        length = self.length
        if length is None:
            length = max((len(row) for row in rows), default=0)
        ids = np.full((len(rows), length), PADDING, dtype)
        for row, found in zip(ids, rows, strict=True):
            found = found[:length]
            row[: len(found)] = found
        return ids


def tokenizer_of(metadata: Mapping[str, str], folder: Path) -> Tokenizer:
    """The tokeniser that a model's metadata describes.

    Parameters
    ----------
    metadata : the keys ``text_vocabulary`` (a file in the model's folder whose
        n-th line is the token with the id n, "" and "[UNK]" first),
        ``text_sequence_length``, ``text_standardize`` and ``text_split``.
    folder : the model's own; a vocabulary outside it is refused.

    Raises
    ------
    InputError : the model has no text pipeline.
    LoadError : it is incomplete, unsafe or unknown.
    """
    if "text_vocabulary" not in metadata:
        raise InputError(
            "the model takes no text: its metadata names no vocabulary (text_vocabulary)"
        )
    standardize = metadata.get("text_standardize", STANDARDIZE[0])
    split = metadata.get("text_split", SPLIT[0])
    for key, value, known in (
        ("text_standardize", standardize, STANDARDIZE),
        ("text_split", split, SPLIT),
    ):
        if value not in known:
            raise LoadError(
                f"the model's metadata {key} is '{value}'; known are {', '.join(known)}"
            )
    length_text = metadata.get("text_sequence_length", "")
    if length_text and not (length_text.isascii() and length_text.isdigit()):
        raise LoadError(f"the model's metadata text_sequence_length is '{length_text}', no number")
    return Tokenizer(
        vocabulary=_vocabulary(metadata["text_vocabulary"], folder),
        length=int(length_text) if length_text else None,
        standardize=standardize,
        split=split,
    )


def _vocabulary(name: str, folder: Path) -> dict[bytes, int]:
    folder = folder.resolve()
    path = (folder / name).resolve()
    if not name or Path(name).is_absolute() or not path.is_relative_to(folder):
        raise LoadError(
            f"the vocabulary '{name}' is outside the model's own folder, which is refused"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LoadError(f"the vocabulary {path} cannot be read: {error.strerror}") from error
    lines = data.removesuffix(b"\n").split(b"\n")
    if lines[:2] != [b"", b"[UNK]"]:
        raise LoadError(f"the vocabulary {path} must begin with an empty line (padding) and [UNK]")
    vocabulary = {token: index for index, token in enumerate(lines)}
    if len(vocabulary) != len(lines):
        raise LoadError(f"the vocabulary {path} names a token twice")
    return vocabulary

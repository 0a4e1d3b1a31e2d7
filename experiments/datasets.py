"""What the loaders return, and where they look when the user names a place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

PLACE_VARIABLE = "SCRATCH_ONNX_DATA"
"""Environment variable: the folder with ``cifar10.zip`` (or another form) and ``nusax/``."""


@dataclass(frozen=True)
class Images:
    """CIFAR-10: ``uint8`` images of shape (n, 32, 32, 3) and ``int64`` labels of shape (n,)."""

    x_train: npt.NDArray[np.uint8]
    y_train: npt.NDArray[np.int64]
    x_test: npt.NDArray[np.uint8]
    y_test: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    source: str

    @property
    def digest(self) -> str:
        """SHA-256 of every pixel and label: tells the JPEG copies from the originals."""
        parts = (self.x_train, self.y_train, self.x_test, self.y_test)
        return _digest_of(np.ascontiguousarray(part).data for part in parts)


@dataclass(frozen=True)
class Sentences:
    """One split: the texts and their ``int64`` labels of shape (n,)."""

    texts: tuple[str, ...]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Texts:
    """NusaX-Senti: three splits, and the class names in alphabetical order."""

    train: Sentences
    valid: Sentences
    test: Sentences
    classes: tuple[str, ...]
    source: str

    @property
    def digest(self) -> str:
        """SHA-256 of every sentence and label."""
        parts: list[bytes | memoryview] = []
        for split in (self.train, self.valid, self.test):
            parts += ["\0".join(split.texts).encode(), np.ascontiguousarray(split.labels).data]
        return _digest_of(parts)


def places(named: Sequence[Path]) -> list[Path]:
    """The places to look in: those named, else the environment's, else none (a download)."""
    if named:
        return list(named)
    value = os.environ.get(PLACE_VARIABLE)
    return [Path(value)] if value else []


def _digest_of(parts: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()

"""CIFAR-10's official Python form: pickled batches, read without running what a pickle may ask.

A pickle can name any function to be called while it is read. The official files need four names,
all of them NumPy's own way to rebuild an array, so an unpickler that knows no others is enough.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scratch_onnx.experiments.errors import DataError

TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = ("test_batch",)
_PIXELS = 3 * 32 * 32
_LARGEST_BATCH = 64 << 20  # bytes; an official batch has 31 million

Split = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def read_archive(path: Path) -> dict[str, Split]:
    """Read ``cifar-10-python.tar.gz``; see :func:`read_folder`."""
    wanted = (*TRAIN, *TEST)
    batches: dict[str, Split] = {}
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = member.name.rsplit("/", 1)[-1]
                if not member.isfile() or name not in wanted:
                    continue
                _check_size(f"{path}: {name}", member.size)
                file = archive.extractfile(member)
                assert file is not None  # a regular file, by the check above
                batches[name] = _parse(f"{path}: {name}", file.read())
            while stream.read(1 << 20):
                pass  # to the end, where gzip keeps its checksum
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is not a whole .tar.gz archive ({error}); it may be half a download"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return _join(str(path), batches.get)


def read_folder(path: Path) -> dict[str, Split]:
    """Read ``data_batch_1`` to ``data_batch_5`` and ``test_batch`` of a folder.

    Returns:
        For "train" and "test": images (n, 32, 32, 3) uint8 and labels (n,) int64.

    Raises:
        DataError: a batch that is missing, cut short, or not a batch of images.
    """

    def batch(name: str) -> Split | None:
        file = path / name
        if not file.is_file():
            return None
        _check_size(str(file), file.stat().st_size)
        try:
            return _parse(str(file), file.read_bytes())
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error}") from error

    return _join(str(path), batch)


def _join(source: str, batch: Callable[[str], Split | None]) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for split, names in (("train", TRAIN), ("test", TEST)):
        parts: list[Split] = []
        for name in names:
            part = batch(name)
            if part is None:
                raise DataError(f"{source} has no {name}; it is not the whole of CIFAR-10")
            parts.append(part)
        images, labels = zip(*parts, strict=True)
        splits[split] = (np.concatenate(images), np.concatenate(labels))
    return splits


def _check_size(name: str, size: int) -> None:
    if size > _LARGEST_BATCH:
        raise DataError(f"{name} holds {size} bytes, too many for a batch of CIFAR-10")


def _parse(name: str, content: bytes) -> Split:
    """One batch: rows of 1,024 red, 1,024 green and 1,024 blue pixels, and their labels."""
    try:
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{name} {error}") from error
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise DataError(f"{name} is damaged or cut short: {error}") from error
    try:
        rows = np.asarray(batch[b"data"])
        labels = np.asarray(batch[b"labels"], np.int64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{name} has no usable data and labels: {error}") from error
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != _PIXELS:
        raise DataError(f"{name}: data is {rows.dtype} {rows.shape}, not uint8 (n, {_PIXELS})")
    if labels.shape != (len(rows),):
        raise DataError(f"{name}: {len(rows)} images but labels of shape {labels.shape}")
    unknown = labels[(labels < 0) | (labels > 9)]
    if unknown.size:
        raise DataError(f"{name}: unknown label {unknown[0]}; labels are 0 to 9")
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds NumPy arrays, and refuses every other name that a pickle asks for."""

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("numpy.core.multiarray", "_reconstruct"): _empty_array,
            ("numpy._core.multiarray", "_reconstruct"): _empty_array,
            ("_codecs", "encode"): _encode_latin1,
        }
        if (module, name) not in allowed:
            raise DataError(f"asks for {module}.{name}, which no array needs; it is refused")
        return allowed[module, name]


def _empty_array(subtype: type, shape: tuple[int, ...], typecode: bytes) -> npt.NDArray[Any]:
    """What NumPy's own ``_reconstruct`` does: an empty array, filled by the pickle's state."""
    if subtype is not np.ndarray or shape != (0,) or typecode not in (b"b", "b"):
        raise DataError("holds something other than plain arrays; it is refused")
    return np.ndarray((0,), np.int8)


def _encode_latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes under protocol 2; no other codec is looked up."""
    if encoding != "latin1":
        raise DataError(f"asks for the codec {encoding}, which no array needs; it is refused")
    return text.encode("latin1")

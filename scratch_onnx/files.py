"""Arrays in files: .npy and .npz read without ever unpickling, and written whole or not at all."""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from scratch_onnx.interpreter.errors import InputError, ScratchOnnxError

Array = np.ndarray[Any, np.dtype[Any]]


class OutputError(ScratchOnnxError):
    """A file that cannot be written."""


def read_npy(path: str) -> Array:
    """The array of a .npy, memory-mapped; ``-`` is a .npy on standard input. Pipes are read whole.

    Raises ``InputError`` where it cannot be read, or holds pickled objects.
    """
    if path == "-":
        with _readable("standard input"):
            if sys.stdin is None:
                raise InputError("is closed")
            data = sys.stdin.buffer.read()
            return _read_stream(io.BytesIO(data), len(data))
    if not path:
        raise InputError("an input is given as an empty path")
    with _readable(path):
        file = Path(path)
        if file.is_fifo():
            data = file.read_bytes()
            return _read_stream(io.BytesIO(data), len(data))
        with file.open("rb") as stream:
            shape, dtype = _header(stream, file.stat().st_size)
            if not math.prod(shape):  # there is nothing to map
                return np.empty(shape, dtype)
        return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))


def read_npz(path: str) -> dict[str, Array]:
    """The arrays of an .npz by name; ``InputError`` as for ``read_npy``."""
    import zipfile  # which a .npy does not need

    arrays = {}
    with _readable(path), zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as stream:
                name = entry.filename.removesuffix(".npy")
                arrays[name] = _read_stream(stream, entry.file_size)
    return arrays


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Turn whatever a hostile file raises into one sentence."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path} {error}") from error
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path} cannot be read: {reason}") from error
    except Exception as error:  # zipfile, zlib and NumPy's header parser raise many kinds
        kind = "an .npz" if path.endswith(".npz") else "a .npy"
        raise InputError(f"{path} is not {kind} file, or it is damaged: {error}") from error


def _header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of a .npy of that many bytes, which must be enough for them."""
    if stream.read(6) != np.lib.format.MAGIC_PREFIX:
        raise InputError("is not a .npy file")
    version = tuple(stream.read(2))
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise InputError(f"is a .npy of version {version}, which is not 1.0 or 2.0")
    if dtype.hasobject:
        raise InputError("holds pickled Python objects, which are never loaded: save plain arrays")
    expected = stream.tell() + math.prod(shape) * dtype.itemsize
    if expected > size:
        raise InputError(f"is truncated: its header promises {expected} bytes and it has {size}")
    return shape, dtype


def _read_stream(stream: IO[bytes], size: int) -> Array:
    _header(stream, size)
    stream.seek(0)
    array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    return array


class Writer:
    """Writes arrays to a .npy or .npz, all at once or rows as they come.

    Everything goes to files beside the target, which is replaced by one
    ``rename`` in ``finish``; without it nothing is left behind.

    Parameters
    ----------
    path : the target; ``.npz`` for any number of arrays, ``.npy`` for one.
    names : of the arrays.
    rows : how many rows all calls of ``add`` together bring, None where there
        is one call with whole arrays.
    """

    def __init__(self, path: str, names: Sequence[str], rows: int | None = None) -> None:
        self.target = Path(path).resolve()
        self.names, self.rows = names, rows
        if self.target.suffix not in (".npy", ".npz"):
            raise OutputError(f"{path}: the output's name must end in .npy or .npz")
        if self.target.suffix == ".npy" and len(names) != 1:
            raise OutputError(
                f"{path}: a .npy holds one array and the model has {len(names)} outputs "
                f"({', '.join(names)}): write an .npz"
            )
        if self.target.exists() and not self.target.is_file():
            raise OutputError(f"{path} cannot be written: it is no regular file")
        self._parts: list[Path] = []
        self._streams: list[IO[bytes]] = []
        self._kinds: list[tuple[tuple[int, ...], np.dtype[Any]]] = []
        try:
            for index in range(len(names)):
                self._open(f"{index}")
        except OSError as error:
            self.abandon()
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def _open(self, suffix: str) -> IO[bytes]:
        part = self.target.with_name(f".{self.target.name}.{os.getpid()}.{suffix}.part")
        stream = part.open("xb")
        self._parts.append(part)
        self._streams.append(stream)
        return stream

    def add(self, arrays: Sequence[Any]) -> None:
        """Write whole arrays, or the next rows of each."""
        plain = [storable(name, array) for name, array in zip(self.names, arrays, strict=True)]
        if not self._kinds:
            for array, stream in zip(plain, self._streams, strict=False):
                shape = array.shape if self.rows is None else (self.rows, *array.shape[1:])
                header = {
                    "descr": np.lib.format.dtype_to_descr(array.dtype),
                    "fortran_order": False,
                    "shape": shape,
                }
                with _writable(self.target):
                    np.lib.format.write_array_header_1_0(stream, header)
                self._kinds.append((array.shape[1:], array.dtype))
        for name, array, stream, kind in zip(
            self.names, plain, self._streams, self._kinds, strict=False
        ):
            if (array.shape[1:], array.dtype) != kind:
                raise OutputError(
                    f"output '{name}' changes its form between batches, from {kind[1]} rows of "
                    f"{list(kind[0])} to {array.dtype} rows of {list(array.shape[1:])}, and "
                    f"cannot be one array: run without --batch-size"
                )
            with _writable(self.target):
                stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def finish(self) -> None:
        """Put the file in its place."""
        with _writable(self.target):
            for stream in self._streams:
                stream.close()
            whole = self._parts[0] if self.target.suffix == ".npy" else self._zip()
            whole.replace(self.target)
        self.abandon()

    def _zip(self) -> Path:
        parts = list(self._parts)
        stream = self._open("zip")
        import shutil
        import zipfile

        with zipfile.ZipFile(stream, "w", allowZip64=True) as archive:
            for name, part in zip(self.names, parts, strict=True):
                with (
                    part.open("rb") as source,
                    archive.open(f"{name}.npy", "w", force_zip64=True) as entry,
                ):
                    shutil.copyfileobj(source, entry, 1 << 20)
        stream.close()
        return self._parts[-1]

    def abandon(self) -> None:
        """Remove what is unfinished."""
        for stream in self._streams:
            with suppress(OSError):  # on a full disk what is buffered cannot be written here either
                stream.close()
        for part in self._parts:
            part.unlink(missing_ok=True)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def storable(name: str, value: Any) -> Array:
    """The array as .npy can hold it: strings of a fixed width instead of objects."""
    if not isinstance(value, np.ndarray):
        raise OutputError(
            f"output '{name}' is a {type(value).__name__} and no tensor, which .npy cannot hold"
        )
    return value.astype(str) if value.dtype.hasobject else value


def write_text(path: str, text: str) -> None:
    """Write a text file beside its place, then rename it."""
    target = Path(path).resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with _writable(Path(path)):
        if target.exists() and not target.is_file():
            raise OutputError(f"{path} cannot be written: it is no regular file")
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

"""Fetching a data set's original from where its authors publish it, checked by its digest."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from scratch_onnx.experiments.errors import DataError

TIMEOUT_SECONDS = 30
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Original:
    """One published file: where it is, its SHA-256, its size in bytes."""

    url: str
    sha256: str
    size: int


def cache_folder() -> Path:
    """Where downloads and decoded images are kept: ``$XDG_CACHE_HOME/scratch-onnx``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "scratch-onnx"


def fetch(original: Original, target: Path) -> Path:
    """Return ``target``, downloaded first unless it is there already with the right digest.

    The file appears under its name only when it is whole and its digest is right.

    Raises:
        DataError: no connection, half a download, a wrong digest, a folder not writable.
    """
    if target.is_file() and _digest(target) == original.sha256:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise DataError(f"cannot write into the cache folder {target.parent}: {error}") from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            _copy(original, file.fileno())
        _check(original, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _copy(original: Original, descriptor: int) -> None:
    try:
        with urllib.request.urlopen(original.url, timeout=TIMEOUT_SECONDS) as answer:
            received = 0
            while chunk := answer.read(_CHUNK):
                received += len(chunk)
                if received > original.size:
                    raise DataError(
                        f"{original.url} sends more than the expected {original.size} bytes; "
                        "it is not the file that these experiments were written for"
                    )
                os.write(descriptor, chunk)
    except (urllib.error.URLError, HTTPException, OSError) as error:
        raise DataError(
            f"cannot download {original.url}: {error}; name a local copy with --data or in "
            "the environment variable SCRATCH_ONNX_DATA"
        ) from error


def _check(original: Original, part: Path) -> None:
    size = part.stat().st_size
    if size < original.size:
        raise DataError(
            f"the download of {original.url} broke off: {size} of {original.size} bytes came; "
            "run the command again"
        )
    digest = _digest(part)
    if digest != original.sha256:
        raise DataError(
            f"{original.url} has the wrong checksum: SHA-256 {digest}, expected "
            f"{original.sha256}; the file was altered on its way or at its source"
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

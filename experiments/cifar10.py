"""CIFAR-10 in the forms in which people have it.

* an image folder, or a zip of one: ``train/CLASS/*`` and ``test/CLASS/*``;
* the official ``cifar-10-python.tar.gz``, or its folder ``cifar-10-batches-py``;
* with no place named, Keras's own download of the official archive, checked by its SHA-256.

The data set is by A. Krizhevsky, V. Nair and G. Hinton. Classes are numbered in alphabetical
order, which is the official order too: airplane 0 to truck 9.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratch_onnx.experiments import cifar10_archive, cifar10_images
from scratch_onnx.experiments.cifar10_images import Split
from scratch_onnx.experiments.datasets import PLACE_VARIABLE, Images, places
from scratch_onnx.experiments.download import cache_folder
from scratch_onnx.experiments.errors import DataError

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def load(named: Sequence[Path] = ()) -> Images:
    """Load CIFAR-10 from the first place that has it, or through Keras where none is named.

    A place is one of the forms above, or a folder that holds one under its usual name
    (``cifar10.zip``, ``cifar10``, ``cifar-10-python.tar.gz``, ``cifar-10-batches-py``).
    Decoded images are kept in the user's cache folder, keyed by the source's size and time.

    Raises:
        DataError: no such place, an archive that is damaged or cut short, a class without
            images, an image of another size, a failed download.
    """
    looked = places(named)
    if not looked:
        return _download()
    for place in looked:
        found = _form(place)
        if found is not None:
            path, source, read = found
            splits = _cached(path, read) if source.startswith("image") else read(path)
            return Images(*splits["train"], *splits["test"], CLASSES, source)
    raise DataError(
        f"no CIFAR-10 in {', '.join(map(str, looked))}: expected train/CLASS/* and test/CLASS/*, "
        "a zip of them (cifar10.zip), cifar-10-python.tar.gz or cifar-10-batches-py (named by "
        f"--data or {PLACE_VARIABLE}; with neither Keras downloads it)"
    )


Reader = Callable[[Path], dict[str, Split]]


def _form(place: Path) -> tuple[Path, str, Reader] | None:
    """The path, the form and the reader of the CIFAR-10 that stands at a place."""
    if place.is_file():
        if zipfile.is_zipfile(place) or place.suffix == ".zip":
            return place, "image zip", _read_zip
        if place.name.endswith((".tar.gz", ".tgz")):
            return place, "official archive", cifar10_archive.read_archive
        return None
    if (place / "train").is_dir() or (place / "test").is_dir():
        return place, "image folder", _read_folder
    if (place / "data_batch_1").is_file():
        return place, "official folder", cifar10_archive.read_folder
    for name in ("cifar10.zip", "cifar10", "cifar-10-batches-py", "cifar-10-python.tar.gz"):
        if (place / name).exists() and (found := _form(place / name)) is not None:
            return found
    return None


def _read_zip(path: Path) -> dict[str, Split]:
    return cifar10_images.read_zip(path, CLASSES)


def _read_folder(path: Path) -> dict[str, Split]:
    return cifar10_images.read_folder(path, CLASSES)


def _download() -> Images:
    from scratch_onnx.experiments.framework import load_keras

    keras = load_keras()
    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
    except Exception as error:  # Keras raises a bare Exception for a failed download
        raise DataError(
            f"Keras cannot download CIFAR-10: {error}; name a local copy with --data or in the "
            f"environment variable {PLACE_VARIABLE}"
        ) from error
    labels = (y.reshape(-1).astype(np.int64) for y in (y_train, y_test))
    return Images(x_train, next(labels), x_test, next(labels), CLASSES, "download")


def _cached(path: Path, read: Reader) -> dict[str, Split]:
    """Decode once: 60,000 JPEGs take a quarter of a minute, the arrays a tenth of a second."""
    store = cache_folder() / "cifar10" / f"{_fingerprint(path)}.npz"
    try:
        with np.load(store, allow_pickle=False) as kept:
            return {split: (kept[f"x_{split}"], kept[f"y_{split}"]) for split in ("train", "test")}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # not there yet, or damaged: decode again
    splits = read(path)
    arrays: dict[str, Any] = {
        f"{axis}_{split}": array
        for split, pair in splits.items()
        for axis, array in zip("xy", pair, strict=True)
    }
    part = store.with_suffix(f".{os.getpid()}.part.npz")
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        np.savez(part, allow_pickle=False, **arrays)
        part.replace(store)
    except OSError:  # a cache that cannot be written only costs time
        part.unlink(missing_ok=True)
    return splits


def _fingerprint(path: Path) -> str:
    digest = hashlib.sha256(str(path.resolve()).encode())
    for file in _files(path):
        status = file.stat()
        digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:24]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    else:
        for folder, folders, names in os.walk(path):
            folders.sort()
            yield from (Path(folder, name) for name in sorted(names))

"""CIFAR-10 as images: a folder ``train/CLASS/*`` and ``test/CLASS/*``, or a zip of one."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from scratch_onnx.experiments.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
SIDE = 32
_LARGEST_FILE = 1 << 20  # bytes; an image of 32x32 pixels needs a few thousand

Split = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
Content = Callable[[str], bytes]


def read_folder(root: Path, classes: Sequence[str]) -> dict[str, Split]:
    """Read ``root/train/CLASS/*`` and ``root/test/CLASS/*``; see :func:`read_zip`."""
    names: dict[tuple[str, str], list[str]] = {}
    for split in ("train", "test"):
        if not (root / split).is_dir():
            raise DataError(f"{root} has no folder {split}")
        for folder in sorted(path for path in (root / split).iterdir() if path.is_dir()):
            names[split, folder.name] = [
                str(path.relative_to(root))
                for path in sorted(folder.iterdir())
                if path.suffix.lower() in SUFFIXES
            ]
    return _read(str(root), names, classes, lambda name: (root / name).read_bytes())


def read_zip(path: Path, classes: Sequence[str]) -> dict[str, Split]:
    """Read ``train/CLASS/*`` and ``test/CLASS/*`` out of a zip, below one outer folder or none.

    Returns:
        For "train" and "test": images (n, 32, 32, 3) uint8 and labels (n,) int64, ordered by
        class and then by file name.

    Raises:
        DataError: not a zip, one cut short, a split or class that is missing, unknown or
            without images, a file that is no image of 32x32 pixels.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names: dict[tuple[str, str], list[str]] = {}
            for info in sorted(archive.infolist(), key=lambda info: info.filename):
                parts = PurePosixPath(info.filename).parts
                places = [i for i in (0, 1) if parts[i : i + 1] and parts[i] in ("train", "test")]
                if not places or len(parts) < places[0] + 2:
                    continue
                split, name = parts[places[0]], parts[places[0] + 1]
                if info.is_dir():
                    names.setdefault((split, name), [])
                elif len(parts) == places[0] + 3 and info.filename.lower().endswith(SUFFIXES):
                    if info.file_size > _LARGEST_FILE:
                        raise DataError(
                            f"{path}: {info.filename} holds {info.file_size} bytes, too many for "
                            f"an image of {SIDE}x{SIDE} pixels"
                        )
                    names.setdefault((split, name), []).append(info.filename)
            return _read(str(path), names, classes, archive.read)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{path} is not a whole zip file ({error}); it may be half a download"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _read(
    source: str,
    names: dict[tuple[str, str], list[str]],
    classes: Sequence[str],
    content: Content,
) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for split in ("train", "test"):
        found = [name for part, name in names if part == split]
        _check_classes(source, split, found, classes)
        images: list[npt.NDArray[np.uint8]] = []
        labels: list[int] = []
        for label, name in enumerate(classes):
            members = names[split, name]
            if not members:
                raise DataError(f"{source}: the class folder {split}/{name} has no images")
            images += [_decode(f"{source}: {member}", content(member)) for member in members]
            labels += [label] * len(members)
        splits[split] = (np.stack(images), np.asarray(labels, np.int64))
    return splits


def _check_classes(source: str, split: str, found: Iterable[str], classes: Sequence[str]) -> None:
    known = set(found)
    if not known:
        raise DataError(f"{source} has no class folders below {split}/")
    for what, names in (("no", set(classes) - known), ("an unknown", known - set(classes))):
        if names:
            raise DataError(
                f"{source}: {split}/ has {what} class folder {', '.join(sorted(names))}; "
                f"the classes of CIFAR-10 are {', '.join(classes)}"
            )


def _decode(name: str, content: bytes) -> npt.NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.size != (SIDE, SIDE):
                width, height = image.size
                raise DataError(f"{name} is {width}x{height} pixels; {SIDE}x{SIDE} are expected")
            return np.asarray(image.convert("RGB"), np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is not a readable image: {error}") from error

"""NusaX-Senti (Indonesian): three csv files with the columns ``id``, ``text`` and ``label``.

The data set is by IndoNLP (https://github.com/IndoNLP/nusax), licence CC BY-SA 4.0. Labels are
numbered in alphabetical order: negative 0, neutral 1, positive 2.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scratch_onnx.experiments.datasets import PLACE_VARIABLE, Sentences, Texts, places
from scratch_onnx.experiments.download import Original, cache_folder, fetch
from scratch_onnx.experiments.errors import DataError

CLASSES = ("negative", "neutral", "positive")
SPLITS = ("train", "valid", "test")

_COMMIT = "159e7b2b8f27ddc37ab0e40db3c1480d779f7712"
_FOLDER = f"https://raw.githubusercontent.com/IndoNLP/nusax/{_COMMIT}/datasets/sentiment/indonesian"
ORIGINALS = {
    "train": Original(
        f"{_FOLDER}/train.csv",
        "698c4802111085c14fbe35122957e1145338d307bcc295764026a23095a32984",
        84_054,
    ),
    "valid": Original(
        f"{_FOLDER}/valid.csv",
        "4049c4a53017e08db72c72e1907345bfdfc19385481c58f54fe4637073d813f9",
        16_598,
    ),
    "test": Original(
        f"{_FOLDER}/test.csv",
        "43b612ed6fde972c752ab9fa8b2ce290d9ffa06b176b732fcef2a947cb94a161",
        67_622,
    ),
}


def load(named: Sequence[Path] = ()) -> Texts:
    """Load NusaX-Senti from the first place that has it, or download it where none is named.

    A place is a folder with ``train.csv``, ``valid.csv`` and ``test.csv``, or one that holds
    such a folder under the name ``nusax``.

    Raises:
        DataError: no such place, a split, column or label that is missing or wrong, a failed
            download.
    """
    looked = places(named)
    if looked:
        folder = _find(looked)
        files = {split: folder / f"{split}.csv" for split in SPLITS}
        source = "csv files"
    else:
        cache = cache_folder() / "nusax"
        files = {split: fetch(ORIGINALS[split], cache / f"{split}.csv") for split in SPLITS}
        source = "download"
    splits = {split: _read(path) for split, path in files.items()}
    return Texts(splits["train"], splits["valid"], splits["test"], CLASSES, source)


def _find(looked: Sequence[Path]) -> Path:
    for place in looked:
        for folder in (place, place / "nusax"):
            if (folder / "train.csv").is_file():
                return folder
    raise DataError(
        f"no NusaX data in {', '.join(map(str, looked))}: expected train.csv, valid.csv and "
        f"test.csv there or in a folder nusax (named by --data or {PLACE_VARIABLE}; with neither "
        "they are downloaded)"
    )


def _read(path: Path) -> Sentences:
    texts: list[str] = []
    labels: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in ("text", "label") if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path} has no column {' and no column '.join(missing)}: its first line "
                    f"names {', '.join(reader.fieldnames or ['nothing'])}"
                )
            for row in reader:
                text, label = row["text"], row["label"]
                if text is None or label is None or None in row:
                    raise DataError(
                        f"{path} line {reader.line_num}: {len(reader.fieldnames or ())} fields "
                        "were expected; the file is damaged or cut short"
                    )
                if label not in CLASSES:
                    raise DataError(
                        f"{path} line {reader.line_num}: unknown label {label!r}; "
                        f"known are {', '.join(CLASSES)}"
                    )
                texts.append(text)
                labels.append(CLASSES.index(label))
    except FileNotFoundError as error:
        raise DataError(f"there is no {path.name} beside the other splits: {path}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as csv in UTF-8: {error}") from error
    if not texts:
        raise DataError(f"{path} has no sentences")
    return Sentences(tuple(texts), np.asarray(labels, np.int64))

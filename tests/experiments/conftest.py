"""Shared pieces: the real data where it is there, tiny data sets, and records made by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with cifar10.zip and nusax/ that stands beside the checkout, where it does."""
    place = ROOT / ".." / "shared" / "data"
    if not (place / "cifar10.zip").is_file():
        pytest.skip("no data sets in ../shared/data")
    return place


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's cache, or depends on the user's environment."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.delenv("SCRATCH_ONNX_DATA", raising=False)
    return cache


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """train/CLASS/*.png with 4 and test/CLASS/*.png with 2 images of one colour a class.

    Image k of class c is filled with the pixel (20 * c, k, 7).
    """
    from PIL import Image

    root = tmp_path / "images"
    for split, count in (("train", 4), ("test", 2)):
        for number, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for k in range(count):
                Image.new("RGB", (32, 32), (20 * number, k, 7)).save(folder / f"{k:04}.png")
    return root


@pytest.fixture
def nusax_folder(tmp_path: Path) -> Path:
    """Three splits of a few sentences, with commas, quotes and capitals in them."""
    folder = tmp_path / "nusax"
    folder.mkdir()
    rows = [
        '1,"Enak, murah, dan ramah!",positive',
        '2,"Pelayanan ""buruk"" sekali.",negative',
        "3,Kereta berangkat pukul tujuh,neutral",
    ]
    for split, repeats in (("train", 8), ("valid", 2), ("test", 4)):
        text = "\n".join(["id,text,label", *(rows * repeats)]) + "\n"
        (folder / f"{split}.csv").write_text(text, encoding="utf-8")
    return folder


MakeRecord = Callable[..., dict[str, Any]]


def _side(matrix: list[list[int]]) -> dict[str, Any]:
    """Scores of a confusion matrix, by the definitions and without scikit-learn."""
    table = np.asarray(matrix, float)
    hits, true, given = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    f1 = 2 * hits / (true + given)
    return {
        "macro_f1": float(f1.mean()),
        "weighted_f1": float((f1 * true).sum() / true.sum()),
        "accuracy": float(hits.sum() / true.sum()),
        "f1_by_class": f1.tolist(),
        "confusion_matrix": matrix,
        "seconds": 0.5,
    }


@pytest.fixture(scope="session")
def make_record() -> MakeRecord:
    """Builds a valid record by hand: a variant's name, a seed, a confusion matrix, losses."""

    def make(
        name: str,
        matrix: list[list[int]],
        *,
        seed: int = 42,
        reported: float | None = None,
        average: str = "macro",
        faithful: bool = True,
        model: str | None = None,
        parameters: int = 1000,
        loss: tuple[float, ...] = (1.0, 0.5),
        val_loss: tuple[float, ...] = (1.1, 0.9),
        limit: int | None = None,
        padding: float | None = None,
        masked: bool = False,
    ) -> dict[str, Any]:
        kind, family, label = name.split("/")
        side = _side(matrix)
        classes = ["negative", "neutral", "positive", "other"][: len(matrix)]
        return {
            "format": 1,
            "variant": {
                "name": name,
                "family": f"{kind}/{family}",
                "label": label,
                "faithful": faithful,
                "reported": None if reported is None else {"f1": reported, "average": average},
            },
            "seed": seed,
            "quick": limit is not None,
            "limit": limit,
            "model": {
                "id": model or name.replace("/", "_"),
                "config": {
                    "model": "recurrent",
                    "training": {"epochs": 2},
                    "mask_padding": masked,
                },
                "parameters": parameters,
            },
            "data": {
                "source": "csv files",
                "sha256": "0" * 64,
                "train": 500,
                "validation": 100,
                "test": int(np.sum(matrix)),
                "classes": classes,
                "vocabulary": 2836,
                "padding": padding,
            },
            "history": {"loss": list(loss), "val_loss": list(val_loss)},
            "training_seconds": 12.5,
            "keras": side,
            "interpreter": {**copy.deepcopy(side), "seconds": 0.25},
            "comparison": {
                "equal_scores": True,
                "classes_that_differ": 0,
                "max_absolute_difference": 2.5e-7,
                "max_relative_difference": 1.5e-6,
            },
            "files": {
                "model.onnx": {"path": "models/x/model.onnx", "bytes": 9, "sha256": "1" * 64}
            },
            "versions": {"python": "3.11.0", "keras": "3.15.1"},
            "machine": {"system": "Linux x86_64", "processor": "a processor", "cores": 2},
            "finished": "2026-01-02T03:04:05Z",
        }

    return make

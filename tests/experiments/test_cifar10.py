"""CIFAR-10 in every accepted form, and every bad one."""

from __future__ import annotations

import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scratch_onnx.experiments import cifar10
from scratch_onnx.experiments.datasets import Images
from scratch_onnx.experiments.errors import DataError

BATCHES = [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]


def zipped(folder: Path, path: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, prefix + str(file.relative_to(folder)))
    return path


def check_small(data: Images) -> None:
    """The images that the fixture made: (20 * class, number, 7) in each pixel."""
    assert data.x_train.shape == (40, 32, 32, 3)
    assert data.x_test.shape == (20, 32, 32, 3)
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int64
    assert data.y_train.tolist() == [c for c in range(10) for _ in range(4)]
    assert data.y_test.tolist() == [c for c in range(10) for _ in range(2)]
    for images, labels, count in ((data.x_train, data.y_train, 4), (data.x_test, data.y_test, 2)):
        assert (images[..., 0] == 20 * labels[:, None, None]).all()
        assert (images[..., 1] == (np.arange(len(labels)) % count)[:, None, None]).all()
        assert (images[..., 2] == 7).all()
    assert data.classes[0] == "airplane"
    assert data.classes[9] == "truck"


def official_folder(root: Path, *, per_batch: int = 3) -> Path:
    """Batches as the official archive has them: bytes keys, rows of red, green, blue planes."""
    root.mkdir()
    for number, name in enumerate(BATCHES):
        planes = np.zeros((per_batch, 3, 32, 32), np.uint8)
        planes[:, 0], planes[:, 1], planes[:, 2] = number, np.arange(32)[:, None], np.arange(32)
        batch = {
            b"batch_label": name.encode(),
            b"labels": [(number + k) % 10 for k in range(per_batch)],
            b"data": planes.reshape(per_batch, -1),
            b"filenames": [b"a.png"] * per_batch,
        }
        (root / name).write_bytes(pickle.dumps(batch, protocol=2))
    return root


def check_official(data: Images, per_batch: int = 3) -> None:
    assert data.x_train.shape == (5 * per_batch, 32, 32, 3)
    assert data.x_test.shape == (per_batch, 32, 32, 3)
    assert data.y_train[:4].tolist() == [0, 1, 2, 1]
    assert data.y_test.tolist() == [5, 6, 7]
    assert (data.x_test[..., 0] == 5).all()
    assert (data.x_test[..., 1] == np.arange(32)[:, None]).all()  # green counts the rows
    assert (data.x_test[..., 2] == np.arange(32)).all()  # blue counts the columns


def test_an_image_folder(image_folder: Path) -> None:
    check_small(cifar10.load([image_folder]))


def test_a_zip_of_images(image_folder: Path, tmp_path: Path) -> None:
    check_small(cifar10.load([zipped(image_folder, tmp_path / "any.zip")]))


def test_a_zip_with_an_outer_folder(image_folder: Path, tmp_path: Path) -> None:
    path = zipped(image_folder, tmp_path / "any.zip", prefix="CIFAR-10-images-master/")
    check_small(cifar10.load([path]))


@pytest.mark.parametrize("name", ["cifar10.zip", "cifar10"])
def test_a_place_that_holds_it(image_folder: Path, tmp_path: Path, name: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    if name == "cifar10":
        shutil.copytree(image_folder, place / name)
    else:
        zipped(image_folder, place / name)
    check_small(cifar10.load([tmp_path / "nusax", place]))


def test_the_environment_names_the_place(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH_ONNX_DATA", str(image_folder))
    check_small(cifar10.load())


def test_the_official_folder(tmp_path: Path) -> None:
    check_official(cifar10.load([official_folder(tmp_path / "batches")]))


def test_the_official_archive(tmp_path: Path) -> None:
    folder = official_folder(tmp_path / "cifar-10-batches-py")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-py")
    check_official(cifar10.load([tmp_path / "cifar-10-python.tar.gz"]))
    shutil.rmtree(folder)
    check_official(cifar10.load([tmp_path]))  # found by its usual name


def test_decoded_images_are_kept(image_folder: Path, own_cache: Path) -> None:
    first = cifar10.load([image_folder])
    (kept,) = (own_cache / "scratch-onnx" / "cifar10").iterdir()
    for file in (image_folder / "train").rglob("*.png"):
        status = file.stat()
        file.write_bytes(b"x" * status.st_size)  # unreadable, of the same size and time
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    check_small(cifar10.load([image_folder]))
    assert cifar10.load([image_folder]).digest == first.digest
    kept.write_bytes(b"damaged")
    with pytest.raises(DataError, match="not a readable image"):
        cifar10.load([image_folder])


def test_a_changed_folder_is_decoded_again(image_folder: Path) -> None:
    cifar10.load([image_folder])
    (image_folder / "train" / "cat" / "0003.png").unlink()
    assert len(cifar10.load([image_folder]).y_train) == 39


def keras_that(load_data: Callable[[], Any]) -> Callable[[], Any]:
    """Stands in for the import of Keras, whose download needs a network."""
    dataset = SimpleNamespace(load_data=load_data)
    return lambda: SimpleNamespace(datasets=SimpleNamespace(cifar10=dataset))


def test_without_a_place_keras_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = np.full((2, 32, 32, 3), 9, np.uint8), np.array([[3], [9]], np.uint8)
    keras = keras_that(lambda: ((images, labels), (images[:1], labels[:1])))
    monkeypatch.setattr("scratch_onnx.experiments.framework.load_keras", keras)
    data = cifar10.load()
    assert data.source == "download"
    assert data.y_train.tolist() == [3, 9]
    assert data.y_test.tolist() == [3]
    assert data.x_test.shape == (1, 32, 32, 3)


def test_a_failed_download_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_data() -> Any:
        raise Exception("URL fetch failure on https://example.org: no route")

    monkeypatch.setattr("scratch_onnx.experiments.framework.load_keras", keras_that(load_data))
    with pytest.raises(DataError, match=r"cannot download CIFAR-10.*no route.*--data"):
        cifar10.load()


def test_a_place_without_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no CIFAR-10 in .*cifar10\.zip.*SCRATCH_ONNX_DATA"):
        cifar10.load([tmp_path])


def test_a_class_folder_without_images(image_folder: Path) -> None:
    for file in (image_folder / "test" / "frog").iterdir():
        file.unlink()
    (image_folder / "test" / "frog" / "notes.txt").write_text("none")
    with pytest.raises(DataError, match="class folder test/frog has no images"):
        cifar10.load([image_folder])


def test_an_empty_class_folder_in_a_zip(image_folder: Path, tmp_path: Path) -> None:
    for file in (image_folder / "train" / "ship").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="class folder train/ship has no images"):
        cifar10.load([zipped(image_folder, tmp_path / "c.zip")])


def test_a_missing_class(image_folder: Path) -> None:
    shutil.rmtree(image_folder / "train" / "dog")
    with pytest.raises(DataError, match="train/ has no class folder dog"):
        cifar10.load([image_folder])


def test_an_unknown_class(image_folder: Path) -> None:
    (image_folder / "train" / "unicorn").mkdir()
    with pytest.raises(DataError, match="train/ has an unknown class folder unicorn"):
        cifar10.load([image_folder])


def test_a_missing_split(image_folder: Path) -> None:
    shutil.rmtree(image_folder / "test")
    with pytest.raises(DataError, match="has no folder test"):
        cifar10.load([image_folder])


def test_a_file_that_is_no_image(image_folder: Path) -> None:
    (image_folder / "train" / "cat" / "0001.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"cat/0001\.png is not a readable image"):
        cifar10.load([image_folder])


def test_half_an_image(image_folder: Path) -> None:
    file = image_folder / "train" / "cat" / "0001.png"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(DataError, match=r"cat/0001\.png is not a readable image"):
        cifar10.load([image_folder])


def test_an_image_of_another_size(image_folder: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 48)).save(image_folder / "train" / "cat" / "0001.png")
    with pytest.raises(DataError, match=r"0001\.png is 64x48 pixels; 32x32"):
        cifar10.load([image_folder])


@pytest.mark.parametrize("keep", [0.3, 0.97])
def test_half_a_zip(image_folder: Path, tmp_path: Path, keep: float) -> None:
    path = zipped(image_folder, tmp_path / "cifar10.zip")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(DataError, match=r"not a whole zip file.*half a download"):
        cifar10.load([path])


def test_a_zip_with_a_flipped_byte(image_folder: Path, tmp_path: Path) -> None:
    path = zipped(image_folder, tmp_path / "cifar10.zip")
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="Bad CRC-32"):
        cifar10.load([path])


def test_a_zip_member_far_too_large(image_folder: Path, tmp_path: Path) -> None:
    path = zipped(image_folder, tmp_path / "cifar10.zip")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/cat/9999.png", bytes(2 << 20))
    with pytest.raises(DataError, match=r"9999\.png holds 2097152 bytes"):
        cifar10.load([path])


@pytest.mark.parametrize("keep", [0.05, 0.6, 0.99])
def test_half_an_archive(tmp_path: Path, keep: float) -> None:
    folder = official_folder(tmp_path / "cifar-10-batches-py")
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-py")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(DataError, match=r"half a download|not the whole of CIFAR-10"):
        cifar10.load([path])


def test_a_missing_batch(tmp_path: Path) -> None:
    folder = official_folder(tmp_path / "batches")
    (folder / "data_batch_3").unlink()
    with pytest.raises(DataError, match="no data_batch_3"):
        cifar10.load([folder])


def test_half_a_batch(tmp_path: Path) -> None:
    folder = official_folder(tmp_path / "batches")
    file = folder / "data_batch_2"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(DataError, match="data_batch_2 is damaged or cut short"):
        cifar10.load([folder])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({b"labels": [0, 1, 10]}, "unknown label 10"),
        ({b"labels": [0, -1, 2]}, "unknown label -1"),
        ({b"labels": [0, 1]}, "3 images but labels of shape"),
        ({b"data": np.zeros((3, 100), np.uint8)}, r"not uint8 \(n, 3072\)"),
        ({b"data": np.zeros((3, 3072), np.float32)}, "float32"),
        ({b"data": None}, "object"),
    ],
)
def test_a_batch_that_is_wrong(tmp_path: Path, change: dict[bytes, Any], message: str) -> None:
    folder = official_folder(tmp_path / "batches")
    batch = pickle.loads((folder / "test_batch").read_bytes(), encoding="bytes")
    (folder / "test_batch").write_bytes(pickle.dumps({**batch, **change}, protocol=2))
    with pytest.raises(DataError, match=f"test_batch.*{message}"):
        cifar10.load([folder])


class Attack:
    """Asks the unpickler to call a function."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_batch_that_runs_code_is_refused(tmp_path: Path, protocol: int) -> None:
    folder = official_folder(tmp_path / "batches")
    mark = tmp_path / "ran"
    attack = pickle.dumps({b"data": Attack(os.mkdir, str(mark))}, protocol=protocol)
    (folder / "data_batch_1").write_bytes(attack)
    with pytest.raises(DataError, match=r"asks for (posix|nt)\.mkdir.*refused"):
        cifar10.load([folder])
    assert not mark.exists()


def test_a_batch_of_objects_is_refused(tmp_path: Path) -> None:
    folder = official_folder(tmp_path / "batches")
    attack = pickle.dumps({b"data": Attack(eval, "1 + 1")}, protocol=2)
    (folder / "data_batch_1").write_bytes(attack)
    with pytest.raises(DataError, match=r"asks for .*eval.*refused"):
        cifar10.load([folder])


@pytest.mark.slow
def test_the_real_images(shared_data: Path) -> None:
    data = cifar10.load([shared_data])
    assert data.x_train.shape == (50_000, 32, 32, 3)
    assert data.x_test.shape == (10_000, 32, 32, 3)
    assert np.bincount(data.y_train).tolist() == [5_000] * 10
    assert np.bincount(data.y_test).tolist() == [1_000] * 10
    # CIFAR-10's mean colour, as it is widely published
    mean = data.x_train.mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=0.002)

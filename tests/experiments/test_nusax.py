"""NusaX-Senti: the csv files, the download with its checksum, and every bad input."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scratch_onnx.experiments import download, nusax
from scratch_onnx.experiments.download import Original, fetch
from scratch_onnx.experiments.errors import DataError


@pytest.mark.parametrize("inner", [False, True])
def test_a_folder_of_csv_files(nusax_folder: Path, inner: bool) -> None:
    data = nusax.load([nusax_folder.parent if inner else nusax_folder])
    assert data.classes == ("negative", "neutral", "positive")
    assert len(data.train.texts) == 24
    assert data.train.texts[0] == "Enak, murah, dan ramah!"
    assert data.train.texts[1] == 'Pelayanan "buruk" sekali.'
    assert data.test.labels.tolist() == [2, 0, 1] * 4
    assert data.test.labels.dtype == np.int64


def test_a_byte_order_mark_is_no_part_of_the_header(nusax_folder: Path) -> None:
    file = nusax_folder / "valid.csv"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"id,text", b"text,id"))
    assert nusax.load([nusax_folder]).valid.texts[0] == "1"


def rewrite(folder: Path, split: str, old: str, new: str) -> None:
    file = folder / f"{split}.csv"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def test_a_missing_column(nusax_folder: Path) -> None:
    rewrite(nusax_folder, "valid", "id,text,label", "id,text,sentiment")
    with pytest.raises(DataError, match=r"valid\.csv has no column label.*id, text, sentiment"):
        nusax.load([nusax_folder])


def test_an_unknown_label(nusax_folder: Path) -> None:
    rewrite(nusax_folder, "test", "tujuh,neutral", "tujuh,mixed")
    with pytest.raises(DataError, match=r"test\.csv line 4: unknown label 'mixed'.*negative"):
        nusax.load([nusax_folder])


def test_a_missing_split(nusax_folder: Path) -> None:
    (nusax_folder / "test.csv").unlink()
    with pytest.raises(DataError, match=r"no test\.csv beside the other splits"):
        nusax.load([nusax_folder])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column text and no column label"),
        (b"id,text,label\n", "has no sentences"),
        (b"id,text,label\n1,only two\n", "line 2: 3 fields were expected"),
        (b"id,text,label\n1,a,positive,more\n", "line 2: 3 fields were expected"),
        (b"id,text,label\n1,\xff\xfe,positive\n", "cannot be read as csv in UTF-8"),
        (b'id,text,label\n1,"cut off', "cannot be read as csv"),
    ],
)
def test_a_damaged_file(nusax_folder: Path, content: bytes, message: str) -> None:
    (nusax_folder / "train.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        nusax.load([nusax_folder])


def test_a_place_without_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no NusaX data in .*train\.csv.*SCRATCH_ONNX_DATA"):
        nusax.load([tmp_path])


def test_the_real_sentences(shared_data: Path) -> None:
    data = nusax.load([shared_data])
    sizes = [len(split.texts) for split in (data.train, data.valid, data.test)]
    assert sizes == [500, 100, 400]
    assert np.bincount(data.test.labels).tolist() == [153, 96, 151]


def test_the_checksums_are_those_of_the_published_files(shared_data: Path) -> None:
    for split, original in nusax.ORIGINALS.items():
        content = (shared_data / "nusax" / f"{split}.csv").read_bytes()
        assert hashlib.sha256(content).hexdigest() == original.sha256
        assert len(content) == original.size


CONTENT = b"id,text,label\n1,Baik,positive\n"


@pytest.fixture
def server() -> Iterator[str]:
    """Serves CONTENT at /whole, half of it at /half, something else at /altered, more at /more."""
    bodies = {
        "/whole": CONTENT,
        "/half": CONTENT[:12],
        "/altered": CONTENT[::-1],
        "/more": CONTENT * 2,
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in bodies:
                self.send_error(404)
                return
            self.send_response(200)
            if self.path == "/half":  # the server promises the whole and hangs up
                self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(bodies[self.path])

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


def original(url: str) -> Original:
    return Original(url, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


def test_a_download(server: str, tmp_path: Path) -> None:
    target = tmp_path / "new" / "train.csv"
    assert fetch(original(f"{server}/whole"), target).read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    # It is there now: nothing is asked of the server again.
    assert fetch(original("http://127.0.0.1:9/gone"), target) == target


def test_a_damaged_copy_in_the_cache_is_downloaded_again(server: str, tmp_path: Path) -> None:
    target = tmp_path / "train.csv"
    target.write_bytes(b"damaged")
    assert fetch(original(f"{server}/whole"), target).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("half", "broke off: 12 of 30 bytes|IncompleteRead"),
        ("altered", "wrong checksum: SHA-256 .*, expected"),
        ("more", "more than the expected 30 bytes"),
        ("missing", "cannot download .*404"),
    ],
)
def test_a_failed_download(server: str, tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fetch(original(f"{server}/{path}"), tmp_path / "train.csv")
    assert list(tmp_path.iterdir()) == [], "nothing half-written is left behind"


def test_no_connection(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot download .*name a local copy with --data"):
        fetch(original("http://127.0.0.1:9/nobody"), tmp_path / "train.csv")


def test_without_a_place_it_is_downloaded(
    server: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in nusax.SPLITS:
        monkeypatch.setitem(nusax.ORIGINALS, split, original(f"{server}/whole"))
    data = nusax.load()
    assert data.source == "download"
    assert data.test.texts == ("Baik",)
    assert (own_cache / "scratch-onnx" / "nusax" / "valid.csv").read_bytes() == CONTENT


def test_the_cache_folder_follows_the_environment(own_cache: Path) -> None:
    assert download.cache_folder() == own_cache / "scratch-onnx"

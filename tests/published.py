"""Models that other people trained and published: where they come from, and what to feed them.

Each lies in a wheel on PyPI, which is fetched by name and version with pip; only
the ``.onnx`` files are kept, in the folder that the environment variable
SCRATCH_ONNX_MODELS names, or in the user's cache. ``python tests/published.py``
measures them all and prints the table of ``docs/models.md``.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.random import Generator
from onnx import GraphProto, ModelProto

import scratch_onnx.interpreter as so

Feed = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Published:
    """A model in a package.

    ``feeds`` makes its inputs from a random generator and each of ``cases``
    (batch and sizes); ``member`` is its path in the wheel.
    """

    name: str
    what: str
    package: str
    member: str
    sha256: str
    feeds: Callable[..., Feed]
    cases: Sequence[tuple[int, ...]]
    classes: tuple[str, ...] = ()
    """Outputs whose largest element along the last axis is the predicted class."""

    def __str__(self) -> str:
        return self.name


class NotAvailableError(Exception):
    """The package could not be had: no network, no pip, no wheel for this machine."""


def _picture(rng: Generator, batch: int, height: int, width: int) -> np.ndarray[Any, Any]:
    """Pictures of coloured blocks with a little noise, in -1 … 1, [batch, 3, height, width]."""
    blocks = rng.uniform(-1, 1, (batch, 3, -(-height // 8), -(-width // 8)))
    smooth = blocks.repeat(8, 2).repeat(8, 3)[:, :, :height, :width]
    return np.clip(smooth + rng.normal(0, 0.05, smooth.shape), -1, 1).astype(np.float32)


def _page(rng: Generator, batch: int, height: int, width: int) -> np.ndarray[Any, Any]:
    """White pages with lines of dark strokes that pass for letters, in -1 … 1."""
    pages = np.full((batch, 1, height, width), 0.9)
    for top in range(12, height - 24, 32):
        for left in range(8, width - 16, 12):
            pages[:, :, top : top + 16, left : left + 8] -= np.kron(
                rng.random((batch, 1, 4, 2)) < 0.5, np.full((4, 4), 1.7)
            )
    noisy = pages + rng.normal(0, 0.02, (batch, 3, height, width))
    return noisy.clip(-1, 1).astype(np.float32)


def _sound(rng: Generator, *shape: int) -> np.ndarray[Any, Any]:
    """Tones that swell, with noise, in -1 … 1; the last axis is time."""
    time = np.arange(shape[-1]) / 16000
    pitch = rng.uniform(80, 400, (*shape[:-1], 1))
    tones = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 9))
    swell = 0.2 + 0.2 * np.sin(2 * np.pi * 3 * time)
    return (tones * swell + rng.normal(0, 0.02, shape)).clip(-1, 1).astype(np.float32)


def _state(rng: Generator, *shape: int) -> np.ndarray[Any, Any]:
    return rng.normal(0, 0.3, shape).astype(np.float32)


def _silero(rng: Generator, batch: int, samples: int, rate: int) -> Feed:
    return {
        "input": _sound(rng, batch, samples),
        "state": _state(rng, 2, batch, 128),
        "sr": np.array(rate, np.int64),
    }


def _silero_sequence(rng: Generator, steps: int) -> Feed:
    sound = _sound(rng, steps, 576)
    return {"input": sound, "h": _state(rng, 1, 1, 128), "c": _state(rng, 1, 1, 128)}


def _text(rng: Generator, batch: int, height: int, width: int) -> Feed:
    return {"x": _page(rng, batch, height, width)}


def _photo(rng: Generator, batch: int, height: int, width: int) -> Feed:
    return {"images": (_picture(rng, batch, height, width) + 1) / 2}


def _grey_line(rng: Generator, width: int) -> Feed:
    return {"input1": _page(rng, 1, 64, width)[:, :1]}


def _bytes(rng: Generator, batch: int, length: int) -> Feed:
    """Bytes of text in ASCII at both ends, as of a file of ``length`` bytes; 256 is padding."""
    tokens = np.full((batch, 2048), 256, np.int32)
    tokens[:, :length] = rng.choice(np.frombuffer(b"etaoin (){};=\n#<>/", np.uint8), (1, length))
    tokens[:, 1024 : 1024 + length] = rng.integers(32, 127, (batch, length))
    return {"bytes": tokens}


def _mel(rng: Generator, batch: int) -> Feed:
    """The log-mel spectrogram of 8 s of sound, in the scale that Whisper's encoder takes."""
    sound = _sound(rng, batch, 128240)
    windows = np.lib.stride_tricks.sliding_window_view(sound, 400, axis=1)[:, ::160]
    power = np.abs(np.fft.rfft(windows * np.hanning(401)[:-1])) ** 2
    edges = 700 * (10 ** np.linspace(0, np.log10(1 + 8000 / 700), 82) - 1)
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    frequencies = np.linspace(0, 8000, 201)
    rising, falling = (frequencies - low) / (peak - low), (high - frequencies) / (high - peak)
    filters = np.minimum(rising, falling).clip(0) * 2 / (high - low)
    log = np.log10(np.maximum(power @ filters.T, 1e-10)).transpose(0, 2, 1)
    log = np.maximum(log, log.max((1, 2), keepdims=True) - 8)
    return {"input_features": ((log + 4) / 4).astype(np.float32)}


def _reaction(rng: Generator, atoms: int) -> Feed:
    """Molecules as a graph transformer takes them: element, degree and role of each atom, and
    the distance between each two of them."""
    distances = rng.integers(1, 12, (1, atoms, atoms))
    return {
        "atoms": rng.integers(1, 100, (1, atoms)),
        "neighbors": rng.integers(0, 8, (1, atoms)),
        "distances": np.maximum(distances, distances.transpose(0, 2, 1)),
        "roles": rng.integers(1, 4, (1, atoms)),
    }


def _call(rng: Generator, batch: int, frames: int) -> Feed:
    spectrum = np.log1p(np.abs(rng.normal(0, 1, (batch, 1, frames, 257)).cumsum(2)))
    return {"degraded_audio": spectrum.astype(np.float32), "rater_embed": _state(rng, batch, 64)}


def _echo(rng: Generator, frames: int) -> Feed:
    spectrum = rng.normal(0, 1, (1, 3, frames, 160)).cumsum(2) / 8
    return {"input": spectrum.astype(np.float32), "h0": np.zeros((4, 1, 64), np.float32)}


_PADDLE = "rapidocr_onnxruntime/models/ch_"

FLOAT_MODELS = [
    Published(
        "silero-vad",
        "voice activity: convolutions, LSTM; If for the sampling rate",
        "pipecat-ai==1.14.0",
        "pipecat/audio/vad/data/silero_vad.onnx",
        "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
        _silero,
        [(1, 576, 16000), (3, 576, 16000), (1, 288, 8000), (3, 288, 8000)],
    ),
    Published(
        "silero-vad v6",
        "voice activity of a whole recording at once: LSTM over a sequence",
        "faster-whisper==1.2.1",
        "faster_whisper/assets/silero_vad_v6.onnx",
        "4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2",
        _silero_sequence,
        [(1,), (3,), (50,)],
    ),
    Published(
        "PP-OCRv4 det",
        "text detection: convolutions up and down",
        "rapidocr-onnxruntime==1.4.4",
        _PADDLE + "PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        _text,
        [(1, 320, 256), (3, 96, 160)],
    ),
    Published(
        "PP-OCRv4 rec",
        "text recognition: convolutions and two transformer blocks",
        "rapidocr-onnxruntime==1.4.4",
        _PADDLE + "PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        _text,
        [(1, 48, 320), (3, 48, 128)],
        classes=("softmax_11.tmp_0",),
    ),
    Published(
        "PP-OCR cls",
        "which way up a line of text is: MobileNetV3",
        "rapidocr-onnxruntime==1.4.4",
        _PADDLE + "ppocr_mobile_v2.0_cls_infer.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
        _text,
        [(1, 48, 192), (3, 48, 96)],
        classes=("save_infer_model/scale_0.tmp_1",),
    ),
    Published(
        "NudeNet 320n",
        "object detection: YOLOv8",
        "nudenet==3.4.2",
        "nudenet/320n.onnx",
        "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f",
        _photo,
        [(1, 320, 320), (3, 96, 160)],
    ),
    Published(
        "magika v3.3",
        "the type of a file from its first and last bytes",
        "magika==1.0.3",
        "magika/models/standard_v3_3/model.onnx",
        "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        _bytes,
        [(1, 1024), (3, 600)],
        classes=("target_label",),
    ),
    Published(
        "chython rxnmap",
        "which atom of a reaction becomes which: a transformer encoder over graphs",
        "chython-rxnmap==2.0",
        "chython_rxnmap/rxnmap.onnx",
        "a4c60aba5c3524dda96ea3af9e1487d3fb09a4e376604e506b1f0064cfcef2e0",
        _reaction,
        [(1,), (2,), (40,)],
    ),
    Published(
        "PLCMOS v2",
        "how good a telephone call sounds: convolutions, bidirectional GRU",
        "speechmos==0.0.1.1",
        "speechmos/plcmos_models/plcmos_v2.onnx",
        "c0ad3fc64ef9682b4749c0e96636b41c73b4b30bd123b9348feea06a96895286",
        _call,
        [(1, 100), (3, 64)],
    ),
    Published(
        "AECMOS",
        "how well an echo is removed: convolutions, GRU, opset 9",
        "speechmos==0.0.1.1",
        "speechmos/aecmos_models/Run_1663829550_Stage_0.onnx",
        "b517d8d9ca2f91ea55d15f605a15917c19be5d832868fe115c7c5bc48986dae1",
        _echo,
        [(100,), (33,)],
    ),
    Published(
        "DNSMOS P.835",
        "how clear speech is: a Keras model with its own Fourier transform",
        "speechmos==0.0.1.1",
        "speechmos/dnsmos_models/sig_bak_ovr.onnx",
        "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
        lambda rng, batch: {"input_1": _sound(rng, batch, 144160)},
        [(1,)],
    ),
]

SMART_TURN = Published(
    "smart-turn v3.2",
    "has the speaker finished: Whisper's encoder, int8 in QDQ form",
    "pipecat-ai==1.14.0",
    "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
    "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
    _mel,
    [(1,), (3,)],
)
CAPTCHA = Published(
    "ddddocr",
    "reads captchas: convolutions and LSTM, int8 quantised while it runs",
    "ddddocr==1.0.6",
    "ddddocr/common.onnx",
    "bf750a744e545a8be066a611fee5d752f43d455524232554f5e352b20321e57a",
    _grey_line,
    [(128,), (90,)],
)
INT8_MODELS = [SMART_TURN, CAPTCHA]


def path_of(model: Published) -> Path:
    """The model's file, fetched where it is not there yet.

    Raises ``NotAvailableError`` where its package cannot be had, and
    ``AssertionError`` for a file that is not the one known.
    """
    path = _folder() / f"{model.package}-{Path(model.member).name}"
    if not path.exists():
        _fetch(model.package)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == model.sha256, f"{path} is not the file that is known: its SHA-256 is {digest}"
    return path


def _folder() -> Path:
    named = os.environ.get("SCRATCH_ONNX_MODELS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else cache / "scratch-onnx" / "models"


def _fetch(package: str) -> None:
    """Download a package's wheel and keep those of its files that are listed here."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--quiet", "--disable-pip-version-check", "--retries=1", "--dest", made]
        try:
            done = subprocess.run(
                [*command, package], capture_output=True, text=True, timeout=300, check=False
            )
        except subprocess.TimeoutExpired:
            raise NotAvailableError(f"{package} could not be fetched within 300 s") from None
        if done.returncode:
            reason = (done.stderr.strip() or f"pip ended with {done.returncode}").splitlines()[-1]
            raise NotAvailableError(f"{package} could not be fetched: {reason}")
        with zipfile.ZipFile(next(Path(made).glob("*.whl"))) as wheel:
            for model in FLOAT_MODELS + INT8_MODELS:
                if model.package == package:
                    name = f"{package}-{Path(model.member).name}"
                    (Path(made) / name).write_bytes(wheel.read(model.member))
                    (Path(made) / name).replace(folder / name)


def feeds_of(model: Published) -> list[Feed]:
    """The inputs of each case, the same every time."""
    return [
        model.feeds(np.random.default_rng(index), *case) for index, case in enumerate(model.cases)
    ]


def onnxruntime_session(source: Path | ModelProto, *, optimize: bool) -> Any:
    """onnxruntime on one thread."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    data = source.SerializeToString() if isinstance(source, ModelProto) else str(source)
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def sessions(source: Path | ModelProto) -> list[so.InferenceSession]:
    """Ours: as the file has it, optimised on one thread, and on two."""
    plain = so.InferenceSession(source, optimize=False, threads=1)
    return [plain, *(so.InferenceSession(source, threads=threads) for threads in (1, 2))]


def difference(actual: Sequence[Any], expected: Sequence[Any]) -> float:
    """The largest difference of two runs, relative to the largest element of each output."""
    largest = 0.0
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert np.isfinite(other).all()
        gap = np.abs(one.astype(np.float64) - other).max()
        largest = max(largest, float(gap / np.abs(other.astype(np.float64)).max()))
    return largest


def operators_of(graph: GraphProto) -> Mapping[str, int]:
    """How often each operator is there, subgraphs included."""
    found: Counter[str] = Counter()
    for node in graph.node:
        found[node.op_type] += 1
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found.update(operators_of(attribute.g))
    return found


def table() -> str:
    """What ``docs/models.md`` says, measured now."""
    rows: list[str] = []
    together: set[str] = set()
    for model in FLOAT_MODELS + INT8_MODELS:
        path = path_of(model)
        proto = onnx.load(path)
        oracle = onnxruntime_session(path, optimize=model in FLOAT_MODELS)
        largest = 0.0
        for feed in feeds_of(model):
            expected = oracle.run(None, feed)
            for session in sessions(path):
                largest = max(largest, difference(session.run(None, feed), expected))
        counts = operators_of(proto.graph)
        together.update(counts)
        opset = next(entry.version for entry in proto.opset_import if not entry.domain)
        found = f"{sum(counts.values())} of {len(counts)} kinds"
        package, version = model.package.split("==")
        cells = (model.name, model.what, package, version, str(opset), found, f"{largest:.0e}")
        rows.append(f"| {' | '.join(cells)} |")
    rows += ["", f"{len(together)} operators: {', '.join(sorted(together))}."]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())

"""Fourier transforms, windows and the mel matrix, against onnxruntime and the formulas.

Where onnxruntime 1.32 and the specification part ways: with ``onesided`` and ``inverse`` it takes
the values of a spectrum for other places where dft_length is not one that the spectrum has by
itself (``test_inverse_of_a_onesided_transform``); the STFT of the whole signal, without window and
frame_length, ends in an error, and so does one of a signal that is shorter than a frame; a
MelWeightMatrix whose upper edge lies above the spectrum is refused (its triangles are cut off
here).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import check_node, run_ours

import scratch_onnx.interpreter as so


def normal(seed: int, *shape: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@given(
    st.data(),
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.sampled_from([17, 20]),
    st.sampled_from(["float32", "float64"]),
)
def test_dft(data: Any, shape: list[int], opset: int, dtype: str) -> None:
    onesided = data.draw(st.integers(0, 1))
    inverse = 0 if onesided else data.draw(st.integers(0, 1))
    parts = 1 if onesided else data.draw(st.integers(1, 2))
    x = normal(sum(shape), *shape, parts, dtype=dtype)
    axis = data.draw(st.integers(-x.ndim, x.ndim - 2).filter(lambda a: a != -1))
    length = data.draw(st.none() | st.integers(1, 12).map(np.array))
    options: dict[str, Any] = {"opset": opset, "inverse": inverse, "onesided": onesided}
    inputs = [x, length]
    if opset == 17:
        options["axis"] = axis
    else:
        inputs.append(np.array(axis))
    # onnxruntime sums the terms of odd lengths one by one in float32.
    check_node("DFT", inputs, rtol=1e-4, atol=5e-5, **options)


def test_dft_by_hand() -> None:
    """x = cos(2πn/4): half in k = 1, half in k = 3, times N = 4."""
    x = np.array([1, 0, -1, 0], np.float32).reshape(1, 4, 1)
    (y,) = run_ours("DFT", [x], opset=20)
    np.testing.assert_allclose(y[0], [[0, 0], [2, 0], [0, 0], [2, 0]], atol=1e-6)
    (back,) = run_ours("DFT", [y], opset=20, inverse=1)
    np.testing.assert_allclose(back[0, :, 0], [1, 0, -1, 0], atol=1e-6)


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize("length", [6, 7, 8])
def test_inverse_of_a_onesided_transform(opset: int, length: int) -> None:
    """The signal comes back; its length must be told where it is odd."""
    x = normal(1, 2, length, 1)
    options: dict[str, Any] = {"opset": opset} | ({"axis": 1} if opset == 17 else {})
    (spectrum,) = run_ours("DFT", [x], onesided=1, **options)
    (back,) = run_ours("DFT", [spectrum, np.array(length)], onesided=1, inverse=1, **options)
    np.testing.assert_allclose(back, x, atol=1e-6)
    (default,) = run_ours("DFT", [spectrum], onesided=1, inverse=1, **options)
    assert default.shape[1] == 2 * (spectrum.shape[1] - 1)
    check_node("DFT", [spectrum], onesided=1, inverse=1, atol=1e-5, rtol=1e-4, **options)


def test_bad_dft_axis() -> None:
    with pytest.raises(so.ScratchOnnxError):
        run_ours("DFT", [normal(1, 2, 3, 1), None, np.array(2)], opset=20)


@pytest.mark.parametrize("window", ["Hann", "Hamming", "Blackman"])
@pytest.mark.parametrize("size", [0, 1, 2, 5, 16])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows(window: str, size: int, periodic: int) -> None:
    options = {"opset": 17, "periodic": periodic}
    for dtype in (np.int32, np.int64):
        check_node(f"{window}Window", [np.array(size, dtype)], **options)
    if (size, periodic) != (1, 0):  # NaN as an integer is anything
        check_node(f"{window}Window", [np.array(size)], output_datatype=6, **options)
    # onnxruntime rounds the coefficients to float32.
    check_node(
        f"{window}Window", [np.array(size)], output_datatype=11, rtol=0.0, atol=3e-8, **options
    )


@pytest.mark.parametrize("window", ["hanning", "hamming", "blackman"])
def test_symmetric_windows_are_numpys(window: str) -> None:
    """NumPy's Hamming window has the rounded coefficients 0.54 and 0.46."""
    name = {"hanning": "Hann"}.get(window, window.capitalize())
    (actual,) = run_ours(f"{name}Window", [np.array(9)], opset=17, periodic=0, output_datatype=11)
    limit = 7e-3 if window == "hamming" else 1e-15
    np.testing.assert_allclose(actual, getattr(np, window)(9), rtol=0, atol=limit)


@given(st.data(), st.integers(1, 2), st.integers(4, 24), st.integers(1, 5))
def test_stft(data: Any, batch: int, length: int, step: int) -> None:
    onesided = data.draw(st.integers(0, 1))
    parts = 1 if onesided else data.draw(st.integers(1, 2))
    frame = data.draw(st.integers(1, length))
    given_by = data.draw(st.sampled_from(["window", "length", "both"]))
    inputs = [
        normal(length, batch, length, parts),
        np.array(step),
        None if given_by == "length" else normal(step, frame),
        None if given_by == "window" else np.array(frame),
    ]
    # onnxruntime sums the terms of odd lengths one by one in float32.
    check_node("STFT", inputs, opset=17, onesided=onesided, rtol=1e-4, atol=5e-5)


def test_stft_of_everything_and_of_nothing() -> None:
    x = normal(2, 1, 8, 1)
    (y,) = run_ours("STFT", [x, np.array(3)], opset=17)
    np.testing.assert_allclose(y[0, 0, :, 0], np.fft.rfft(x[0, :, 0]).real, atol=1e-5)
    (y,) = run_ours("STFT", [x, np.array(3), normal(3, 9)], opset=17)
    assert y.shape == (1, 0, 5, 2)


def test_stft_of_complex_values_is_not_onesided() -> None:
    with pytest.raises(so.ScratchOnnxError):
        run_ours("STFT", [normal(2, 1, 8, 2), np.array(3), normal(3, 4)], opset=17)


@given(
    st.integers(1, 40),
    st.integers(16, 512),
    st.sampled_from([8000, 16000, 44100]),
    st.floats(0, 0.4),
    st.floats(0.5, 1),
)
def test_mel(bands: int, length: int, rate: int, low: float, high: float) -> None:
    inputs = [
        np.array(bands),
        np.array(length),
        np.array(rate),
        np.array(low * rate / 2, np.float32),
        np.array(high * rate / 2 * length / (length + 2), np.float32),
    ]
    check_node("MelWeightMatrix", inputs, opset=17)


def test_mel_by_hand() -> None:
    """One band over 0 to 2595·log10(2) mel, which is 700 Hz: points at 0, 1/3 and 2/3 of it."""
    inputs = [np.array(1), np.array(15), np.array(16)]
    edges = [np.array(0, np.float32), np.array(700, np.float32)]
    peak, end = (math.floor(700 * (2 ** (k / 3) - 1)) for k in (1, 2))
    assert (peak, end) == (181, 411)
    (weights,) = run_ours(
        "MelWeightMatrix", [np.array(1), np.array(999), np.array(1000), *edges], opset=17
    )
    assert weights.shape == (500, 1)
    np.testing.assert_allclose(weights[[0, 90, 181, 296, 411], 0], [0, 90 / 181, 1, 0.5, 0])
    assert run_ours("MelWeightMatrix", [*inputs, *edges], opset=17)[0].shape == (8, 1)

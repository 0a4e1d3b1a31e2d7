"""Fourier transforms, the windows that go before them, and the mel scale that goes after.

A complex tensor has a last dimension of 2, real and imaginary part; a real one of 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..registry import op
from ..types import Array, dtype_of_enum
from ._shared import in_float32, normalise_axis


@op("DFT", since=20)
@in_float32
def dft(
    input: Array,
    dft_length: Array | None = None,
    axis: Array | None = None,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> Array:
    """y[k] = Σₙ x[n]·e^(-2πikn/N) along ``axis`` (by default the last but the complex one).

    The inverse has the other sign and a factor 1/N. The signal is cut or padded with zeros to
    N = ``dft_length``. ``onesided``: the first N/2 + 1 values of a real signal's spectrum, and with
    ``inverse`` the real signal of such a spectrum, N being 2·(size - 1) by default.
    """
    return _dft(input, dft_length, -2 if axis is None else _scalar(axis, "axis"), inverse, onesided)


@op("DFT", since=17)
@in_float32
def dft_17(
    input: Array,
    dft_length: Array | None = None,
    *,
    axis: int = 1,
    inverse: int = 0,
    onesided: int = 0,
) -> Array:
    """Before opset 20 the axis was an attribute, 1 by default."""
    return _dft(input, dft_length, axis, inverse, onesided)


def _dft(input: Array, length: Array | None, axis: int, inverse: int, onesided: int) -> Array:
    axis = normalise_axis(axis, input.ndim)
    if axis == input.ndim - 1:
        raise ValueError(f"axis {axis} holds the complex parts, and cannot be transformed")
    x = _to_complex(input)
    size = x.shape[axis]
    N = size if length is None else _scalar(length, "dft_length")
    if onesided and inverse:
        if input.shape[-1] != 2:
            raise ValueError("the inverse of a one-sided transform takes complex input")
        N = 2 * (size - 1) if length is None else N
        if N <= 0:
            return np.zeros((*x.shape[:axis], 0, *x.shape[axis + 1 :], 1), input.dtype)
        return np.fft.irfft(x, N, axis)[..., None].astype(input.dtype, copy=False)
    if onesided and input.shape[-1] != 1:
        raise ValueError("a one-sided transform takes real input")
    if N <= 0:
        return np.zeros((*x.shape[:axis], 0, *x.shape[axis + 1 :], 2), input.dtype)
    transform = np.fft.ifft if inverse else np.fft.rfft if onesided else np.fft.fft
    return _to_parts(transform(x, N, axis), input.dtype)


def _to_complex(x: Array) -> Array:
    """[..., 1] as real [...], [..., 2] as complex [...]."""
    if x.ndim < 2 or x.shape[-1] not in (1, 2):
        raise ValueError(
            f"the signal's last dimension must be 1 (real) or 2 (complex), its shape is "
            f"{list(x.shape)}"
        )
    return x[..., 0] if x.shape[-1] == 1 else x[..., 0] + 1j * x[..., 1]


def _to_parts(x: Array, dtype: Any) -> Array:
    return np.stack([x.real, x.imag], axis=-1).astype(dtype, copy=False)


def _scalar(x: Array, name: str) -> int:
    if x.size != 1:
        raise ValueError(f"{name} must be a scalar, and has the shape {list(x.shape)}")
    return int(x.reshape(-1)[0])


@op("STFT", since=17)
@in_float32
def stft(
    signal: Array,
    frame_step: Array,
    window: Array | None = None,
    frame_length: Array | None = None,
    *,
    onesided: int = 1,
) -> Array:
    """The Fourier transform of each frame of the signal, weighed by the window.

    signal (B, L, 1 or 2) → (B, frames, bins, 2), frames = (L - frame_length) // frame_step + 1,
    bins = frame_length, or frame_length // 2 + 1 where ``onesided``.
    """
    if signal.ndim != 3:
        raise ValueError(f"the signal must have rank 3, and has the shape {list(signal.shape)}")
    x = _to_complex(signal)
    if onesided and signal.shape[-1] == 2:
        raise ValueError("a one-sided transform takes a real signal: set onesided to 0")
    length = x.shape[1] if window is None else len(window)
    if frame_length is not None:
        length = _scalar(frame_length, "frame_length")
    step = _scalar(frame_step, "frame_step")
    if length < 1 or step < 1:
        raise ValueError(
            f"frame_length and frame_step must be positive, and are {length} and {step}"
        )
    if window is not None and window.shape != (length,):
        raise ValueError(
            f"the window must have the frame_length {length}, and has the shape "
            f"{list(window.shape)}"
        )
    if x.shape[1] < length:
        bins = length // 2 + 1 if onesided else length
        return np.zeros((len(x), 0, bins, 2), signal.dtype)
    frames = np.lib.stride_tricks.sliding_window_view(x, length, axis=1)[:, ::step]
    if window is not None:
        frames = frames * window
    spectrum = np.fft.rfft(frames) if onesided else np.fft.fft(frames)
    return _to_parts(spectrum, signal.dtype)


def _cosine_window(
    size: Array, coefficients: tuple[float, ...], periodic: int, output_datatype: int
) -> Array:
    """Σₖ (-1)ᵏ·aₖ·cos(2πkn/N), n from 0 to size - 1; N is the size, or one less where the window
    is symmetric (so that a symmetric window of one value is 0/0, NaN)."""
    count = _scalar(size, "size")
    angles = np.arange(count) * (2 * math.pi / np.float64(count if periodic else count - 1))
    window = sum(
        (-1) ** k * coefficient * np.cos(k * angles) for k, coefficient in enumerate(coefficients)
    )
    dtype = dtype_of_enum(output_datatype)
    # By way of float32, as in the standard's function: a peak of 1 - 1e-16 is the integer 1.
    return (
        np.asarray(window).astype(np.float64 if dtype == np.float64 else np.float32).astype(dtype)
    )


@op("HannWindow", since=17)
def hann_window(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Array:
    """½ - ½·cos(2πn/N)."""
    return _cosine_window(size, (0.5, 0.5), periodic, output_datatype)


@op("HammingWindow", since=17)
def hamming_window(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Array:
    """25/46 - 21/46·cos(2πn/N)."""
    return _cosine_window(size, (25 / 46, 21 / 46), periodic, output_datatype)


@op("BlackmanWindow", since=17)
def blackman_window(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Array:
    """0.42 - ½·cos(2πn/N) + 0.08·cos(4πn/N)."""
    return _cosine_window(size, (0.42, 0.5, 0.08), periodic, output_datatype)


@op("MelWeightMatrix", since=17)
def mel_weight_matrix(
    num_mel_bins: Array,
    dft_length: Array,
    sample_rate: Array,
    lower_edge_hertz: Array,
    upper_edge_hertz: Array,
    *,
    output_datatype: int = 1,
) -> Array:
    """Triangles on the mel scale, mel(f) = 2595·log10(1 + f/700): (dft_length // 2 + 1, bands).

    The bands' edges and peaks are num_mel_bins + 2 points from the lower edge on, a step of
    (upper - lower) / (num_mel_bins + 2) mel apart, each at the spectrum's bin
    ⌊(dft_length + 1)·f / sample_rate⌋ (the standard's cases and onnxruntime fix this; its text
    does not).
    """
    bands = _scalar(num_mel_bins, "num_mel_bins")
    length = _scalar(dft_length, "dft_length")
    rate = _scalar(sample_rate, "sample_rate")
    edges = np.array([float(lower_edge_hertz.item()), float(upper_edge_hertz.item())])
    low, high = 2595 * np.log10(1 + edges / 700)
    mel = low + np.arange(bands + 2) * ((high - low) / (bands + 2))
    points = np.floor((length + 1) * 700 * (10 ** (mel / 2595) - 1) / rate)
    left, peak, right = points[:-2], points[1:-1], points[2:]
    bins = np.arange(length // 2 + 1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = np.where(bins == peak, 1, (bins - left) / (peak - left))
        falling = (right - bins) / (right - peak)
    weights = np.where((left <= bins) & (bins <= peak), rising, 0)
    weights = np.where((peak < bins) & (bins < right), falling, weights)
    return weights.astype(dtype_of_enum(output_datatype))

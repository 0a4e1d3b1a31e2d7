"""Fast convolutions against onnxruntime, and their error against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import check, model, node, steps
from hypothesis import given
from hypothesis import strategies as st

import scratch_onnx.interpreter as so

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


def block(
    weight: np.ndarray[Any, Any],
    size: tuple[int, int],
    tail: list[tuple[str, dict[str, Any]]],
    bias: bool = True,
    **attributes: Any,
) -> Any:
    """A convolution and what follows it, on images of one size."""
    channels = weight.shape[1] * attributes.get("group", 1)
    constants = {"w": weight, "b": normal(weight.shape[0])}
    nodes = [node("Conv", "x w b" if bias else "x w", "y0", **attributes)]
    for place, (op_type, options) in enumerate(tail):
        nodes.append(node(op_type, f"y{place}", f"y{place + 1}", **options))
    return model(nodes, {"x": ["N", channels, *size]}, [f"y{len(tail)}"], constants)


RELU = ("Relu", {})
MAX = ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]})
AVERAGE = ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]})


@given(
    batch=st.sampled_from([0, 1, 3, 9]),
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    channels=st.sampled_from([1, 3, 16, 20]),
    filters=st.sampled_from([1, 5, 16, 24]),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    bias=st.booleans(),
    tail=st.sampled_from([[], [RELU]]),
)
def test_general(
    batch: int,
    height: int,
    width: int,
    channels: int,
    filters: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    bias: bool,
    tail: list[Any],
) -> None:
    height += (kernel[0] - 1) * dilations[0]
    width += (kernel[1] - 1) * dilations[1]
    proto = block(
        normal(filters, channels, *kernel),
        (height, width),
        tail,
        bias,
        strides=strides,
        pads=pads,
        dilations=dilations,
    )
    ops = check(proto, {"x": normal(batch, channels, height, width)})
    assert "Conv*" in ops
    assert "Relu" not in ops


@given(
    batch=st.sampled_from([1, 2, 17]),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    filters=st.sampled_from([16, 33]),
    tail=st.sampled_from([[], [RELU], [RELU, MAX], [RELU, AVERAGE], [MAX], [AVERAGE], [MAX, RELU]]),
    precision=st.sampled_from(["default", "fast"]),
)
def test_winograd(
    batch: int, height: int, width: int, filters: int, tail: list[Any], precision: str
) -> None:
    if len(tail) > 1 or tail in ([MAX], [AVERAGE]):
        height, width = height + 1, width + 1
    proto = block(normal(filters, 16, 3, 3), (height, width), tail, pads=(1, 1, 1, 1))
    feed = {"x": normal(batch, 16, height, width)}
    assert check(proto, feed, atol=3e-5).count("Conv*") == 1
    session = so.InferenceSession(proto, precision=precision)
    strict = so.InferenceSession(proto, precision="strict")
    (y,), (direct,) = session.run(None, feed), strict.run(None, feed)
    largest = np.abs(direct).max(initial=1)
    assert np.abs(y - direct).max(initial=0) <= {"default": 2e-6, "fast": 1e-5}[precision] * largest


@given(
    batch=st.sampled_from([1, 9]),
    size=st.tuples(st.integers(3, 12), st.integers(3, 12)),
    channels=st.sampled_from([2, 5, 32]),
    kernel=st.tuples(st.sampled_from([1, 3, 5]), st.integers(1, 5)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    dilation=st.integers(1, 3),
)
def test_depthwise(
    batch: int,
    size: tuple[int, int],
    channels: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: int,
) -> None:
    height, width = (s + (k - 1) * dilation for s, k in zip(size, kernel, strict=True))
    proto = block(
        normal(channels, 1, *kernel),
        (height, width),
        [("Clip", {})],
        group=channels,
        strides=strides,
        pads=pads,
        dilations=(dilation, dilation),
    )
    check(proto, {"x": normal(batch, channels, height, width)})


@given(group=st.sampled_from([2, 4]), tail=st.sampled_from([[], [RELU], [MAX]]))
def test_groups(group: int, tail: list[Any]) -> None:
    proto = block(normal(8, 8 // group, 3, 3), (6, 8), tail, group=group, pads=(1, 1, 1, 1))
    check(proto, {"x": normal(3, 8, 6, 8)})


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad(auto_pad: str) -> None:
    proto = block(normal(4, 3, 3, 2), (7, 6), [RELU], auto_pad=auto_pad, strides=(2, 1))
    assert "Conv*" in check(proto, {"x": normal(2, 3, 7, 6)})


@pytest.mark.parametrize(
    ("kernel", "strides", "pads"), [((3, 3), (2, 2), (1, 1, 1, 1)), ((2, 3), (1, 2), (0, 1, 1, 1))]
)
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("include", [0, 1])
def test_pools(op_type: str, include: int, kernel: Any, strides: Any, pads: Any) -> None:
    options = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    if op_type == "AveragePool":
        options["count_include_pad"] = include
    proto = block(normal(5, 3, 1, 1), (9, 8), [(op_type, options)])
    assert f"{op_type}*" in check(proto, {"x": normal(2, 3, 9, 8)})


def test_residual_and_activation_go_into_the_convolution() -> None:
    proto = model(
        [
            node("Conv", "x w", "a", pads=[1, 1, 1, 1]),
            node("Relu", "a", "b"),
            node("Conv", "b v", "c", pads=[1, 1, 1, 1]),
            node("Add", "c b", "d"),
            node("Relu", "d", "y"),
        ],
        {"x": ["N", 3, 6, 6]},
        ["y"],
        {"w": normal(16, 3, 3, 3), "v": normal(16, 16, 3, 3)},
    )
    ops = check(proto, {"x": normal(11, 3, 6, 6)}, atol=5e-5)
    assert ops == ["Transpose", "Conv*", "Conv*", "Transpose"]


def test_a_value_with_two_readers_stays() -> None:
    proto = model(
        [node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Sub", "b a", "y")],
        {"x": ["N", 3, 6, 6]},
        ["y"],
        {"w": normal(4, 3, 3, 3)},
    )
    assert "Relu" in check(proto, {"x": normal(2, 3, 6, 6)})


def test_an_output_in_the_middle_stays() -> None:
    proto = model(
        [node("Conv", "x w", "a"), node("Relu", "a", "y")],
        {"x": ["N", 3, 6, 6]},
        ["a", "y"],
        {"w": normal(4, 3, 3, 3)},
    )
    assert "Relu" in check(proto, {"x": normal(2, 3, 6, 6)})


def test_float64_stays_plain() -> None:
    proto = model(
        [node("Conv", "x w", "a"), node("Relu", "a", "y")],
        {"x": ["N", 3, 6, 6]},
        ["y"],
        {"w": normal(4, 3, 3, 3).astype(np.float64)},
        dtypes={"x": np.float64},
    )
    assert steps(so.InferenceSession(proto)) == ["Conv", "Relu"]


@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("channels", [16, 64, 256])
def test_error_against_float64(channels: int, magnitude: float) -> None:
    """F(2×2) errs about as the direct form does, F(4×4) a few times more."""
    weight = normal(32, channels, 3, 3) / np.float32(np.sqrt(9 * channels))
    x = normal(2, channels, 16, 16) * np.float32(magnitude)
    proto = block(weight, (16, 16), [], bias=False, pads=(1, 1, 1, 1))
    exact = model(
        [node("Conv", "x w", "y", pads=[1, 1, 1, 1])],
        {"x": ["N", channels, 16, 16]},
        ["y"],
        {"w": weight.astype(np.float64)},
        dtypes={"x": np.float64},
    )
    (expected,) = so.InferenceSession(exact).run(None, {"x": x.astype(np.float64)})
    largest = np.abs(expected).max()
    for precision, bound in (("strict", 2e-6), ("default", 2e-6), ("fast", 5e-6)):
        (y,) = so.InferenceSession(proto, precision=precision).run(None, {"x": x})
        assert np.abs(y - expected).max() <= bound * largest, precision


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 1e-42])
@pytest.mark.parametrize("precision", ["default", "fast"])
@pytest.mark.parametrize("tail", [[], [RELU, MAX]])
def test_special_values_pass_as_in_the_direct_form(
    tail: list[Any], precision: str, value: float
) -> None:
    weight = normal(16, 16, 3, 3)
    proto = block(weight, (8, 8), tail, pads=(1, 1, 1, 1))
    x = normal(3, 16, 8, 8)
    x[1, 3, 4, 4] = value
    (direct,) = so.InferenceSession(proto, precision="strict").run(None, {"x": x})
    (y,) = so.InferenceSession(proto, precision=precision).run(None, {"x": x})
    assert (np.isnan(y) == np.isnan(direct)).all()
    assert (np.isposinf(y) == np.isposinf(direct)).all()
    assert (np.isneginf(y) == np.isneginf(direct)).all()
    finite = np.isfinite(direct)
    np.testing.assert_allclose(y[finite], direct[finite], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [3e38, -3e38, 1e20])
@pytest.mark.parametrize("precision", ["default", "fast"])
@pytest.mark.parametrize("activation", ["Sigmoid", "Tanh", "HardSigmoid"])
@pytest.mark.parametrize("pool", [[], [MAX], [AVERAGE]])
def test_huge_values_do_not_hide_behind_an_activation(
    pool: list[Any], activation: str, precision: str, value: float
) -> None:
    """Winograd's sums of a tile overflow, or drown its other values, where the direct form's do
    not; an activation makes ordinary numbers of both."""
    proto = block(normal(16, 16, 3, 3), (8, 8), [(activation, {}), *pool], pads=(1, 1, 1, 1))
    x = normal(3, 16, 8, 8)
    x[1, 3, 4, 4] = x[2, 0, 0, 0] = x[2, 0, 2, 2] = value
    (plain,) = so.InferenceSession(proto, optimize=False).run(None, {"x": x})
    (y,) = so.InferenceSession(proto, precision=precision).run(None, {"x": x})
    np.testing.assert_allclose(y, plain, rtol=1e-4, atol=1e-4)

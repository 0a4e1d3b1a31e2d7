from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import arrays, fill, shapes
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_onnxruntime, run_ours
from rounded import check_rounded
from typed import dtypes, versions

from scratch_onnx.interpreter.ops import pool as kernels

AUTO_PADS = ["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]
CEIL_MODE = {"MaxPool": 10, "AveragePool": 10, "LpPool": 18}
DILATIONS = {"MaxPool": 10, "AveragePool": 19, "LpPool": 18}


@st.composite
def poolings(draw: Any, op_type: str) -> tuple[Any, dict[str, Any]]:
    """An input and the attributes of a pooling, as its opset has them."""
    rank = draw(st.integers(1, 3))

    def per_axis(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))

    opset = draw(st.sampled_from(versions(op_type, 7 if op_type == "AveragePool" else 2)))
    kernel = per_axis(1, 3)
    # Beside SAME_UPPER and SAME_LOWER onnxruntime forgets dilations, and AveragePool fails where
    # a stride is larger than the kernel: these are worked by hand below.
    auto_pad = draw(st.sampled_from(AUTO_PADS))
    same = auto_pad.startswith("SAME")
    strides = [draw(st.integers(1, k if same else 3)) for k in kernel]
    attributes: dict[str, Any] = {"opset": opset, "kernel_shape": kernel, "strides": strides}
    if opset >= CEIL_MODE[op_type]:
        attributes["ceil_mode"] = draw(st.integers(0, 1))
    dilations = per_axis(1, 2) if opset >= DILATIONS[op_type] and not same else [1] * rank
    if opset >= DILATIONS[op_type]:
        attributes["dilations"] = dilations
    if op_type == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    if op_type == "LpPool":
        attributes["p"] = draw(st.integers(1, 3))
    attributes["auto_pad"] = auto_pad
    pads = [0] * 2 * rank
    if auto_pad == "NOTSET":  # onnxruntime takes pads below the kernel only
        pads = [draw(st.integers(0, k - 1)) for k in kernel * 2]
        attributes["pads"] = pads
    spatial = [
        max(1, (k - 1) * d + 1 - begin - end) + more
        for k, d, begin, end, more in zip(
            kernel, dilations, pads[:rank], pads[rank:], per_axis(0, 4), strict=True
        )
    ]
    lead = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    x = draw(arrays((*lead, *spatial), dtypes(op_type, opset)))
    return x, attributes


@given(poolings("MaxPool"))
def test_max_pool(case: tuple[Any, dict[str, Any]]) -> None:
    x, attributes = case
    check_rounded("MaxPool", [x], **attributes)


@given(poolings("MaxPool"), st.integers(0, 1))
def test_max_pool_indices(case: tuple[Any, dict[str, Any]], storage_order: int) -> None:
    x, attributes = case
    attributes["opset"] = max(8, attributes["opset"])
    check_rounded("MaxPool", [x], outputs=2, storage_order=storage_order, **attributes)


@given(poolings("AveragePool"))
def test_average_pool(case: tuple[Any, dict[str, Any]]) -> None:
    x, attributes = case
    check_rounded("AveragePool", [x], **attributes)


@given(poolings("LpPool"))
def test_lp_pool(case: tuple[Any, dict[str, Any]]) -> None:
    x, attributes = case
    check_rounded("LpPool", [x], **attributes)


@given(st.data())
@pytest.mark.parametrize("op_type", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
def test_global_pools(op_type: str, data: Any) -> None:
    opset = data.draw(st.sampled_from([2] if op_type == "GlobalLpPool" else [1, 22]))
    shape = (data.draw(st.integers(0, 2)), *data.draw(shapes(2, 4, st.integers(1, 4))))
    x = data.draw(arrays(shape, dtypes(op_type, opset)))
    more = {"p": data.draw(st.integers(1, 3))} if op_type == "GlobalLpPool" else {}
    check_rounded(op_type, [x], opset=opset, **more)


def row(*values: Any) -> Any:
    return np.array(values, np.float32).reshape(1, 1, -1)


@pytest.mark.parametrize(
    ("op_type", "attributes", "expected"),
    [
        ("MaxPool", {"kernel_shape": [2]}, [3, 3, 5, 5]),
        ("MaxPool", {"kernel_shape": [2], "strides": [2]}, [3, 5]),
        ("MaxPool", {"kernel_shape": [2], "strides": [2], "ceil_mode": 1}, [3, 5, 4]),
        ("MaxPool", {"kernel_shape": [2], "dilations": [3]}, [5, 4]),
        ("AveragePool", {"kernel_shape": [2], "pads": [1, 0]}, [1, 2, 2.5, 3.5, 4.5]),
        (
            "AveragePool",
            {"kernel_shape": [2], "pads": [1, 0], "count_include_pad": 1},
            [0.5, 2, 2.5, 3.5, 4.5],
        ),
        # The last window hangs over the pad: its divisor counts the 4 and nothing else.
        (
            "AveragePool",
            {"kernel_shape": [2], "strides": [2], "ceil_mode": 1, "count_include_pad": 1},
            [2, 3.5, 4],
        ),
        # The window spans 3, so there is 1 pad at each end.
        (
            "AveragePool",
            {"kernel_shape": [2], "dilations": [2], "auto_pad": "SAME_UPPER"},
            [3, 1.5, 4, 3, 5],
        ),
        # Nothing to pad where the stride is larger than the kernel.
        ("AveragePool", {"kernel_shape": [1], "strides": [3], "auto_pad": "SAME_LOWER"}, [1, 5]),
        ("LpPool", {"kernel_shape": [2], "p": 1}, [4, 5, 7, 9]),
        ("LpPool", {"kernel_shape": [5], "p": 2}, [(1 + 9 + 4 + 25 + 16) ** 0.5]),
    ],
)
def test_by_hand(op_type: str, attributes: dict[str, Any], expected: list[float]) -> None:
    (y,) = run_ours(op_type, [row(1, 3, 2, 5, 4)], opset=22, **attributes)
    np.testing.assert_allclose(y.ravel(), expected, rtol=1e-6)


def test_first_versions() -> None:
    x = row(1, 3, 2)
    (y,) = run_ours("AveragePool", [x], opset=1, kernel_shape=[2], pads=[1, 0])
    assert y.ravel().tolist() == [1, 2, 2.5]
    (y,) = run_ours("LpPool", [x], opset=1, kernel_shape=[2], p=1.0)
    assert y.ravel().tolist() == [4, 5]
    (y,) = run_ours("LpPool", [x], opset=1, kernel_shape=[3], p=1.5)
    np.testing.assert_allclose(y.item(), (1 + 3**1.5 + 2**1.5) ** (1 / 1.5), rtol=1e-6)
    with pytest.raises(ValueError, match="needs kernel_shape"):
        kernels.lp_pool_1(x)
    (y,) = run_ours("GlobalLpPool", [x], opset=1)
    np.testing.assert_allclose(y.item(), 14**0.5, rtol=1e-6)
    (y,) = run_ours("GlobalLpPool", [x], opset=22, p=3)
    np.testing.assert_allclose(y.item(), 36 ** (1 / 3), rtol=1e-6)


def test_windows_in_the_end_padding_are_left_out() -> None:
    # ceil((2 + 1 - 1) / 2) + 1 = 2 windows fit, the second of them into the pad alone.
    x = row(1, 2)
    for opset in (10, 12, 22):
        check_node(
            "MaxPool", [x], opset=opset, kernel_shape=[2], strides=[3], pads=[0, 1], ceil_mode=1
        )


def test_padding_never_wins() -> None:
    lowest = np.array([[[-np.inf, -np.inf]]], np.float32)
    y, indices = run_ours("MaxPool", [lowest], opset=12, outputs=2, kernel_shape=[2], pads=[1, 1])
    assert y.ravel().tolist() == [-np.inf] * 3
    assert indices.ravel().tolist() == [0, 0, 1]
    integers = np.array([[[-128, -128]]], np.int8)
    y, indices = run_ours("MaxPool", [integers], opset=12, outputs=2, kernel_shape=[2], pads=[1, 1])
    assert y.ravel().tolist() == [-128] * 3
    assert indices.ravel().tolist() == [0, 0, 1]


def test_nan_is_the_largest() -> None:
    # The specification does not say; onnxruntime gives one or the other by position and kernel.
    x = row(np.nan, 1, 2, np.nan)
    for outputs in (1, 2):
        y, *indices = run_ours("MaxPool", [x], opset=12, outputs=outputs, kernel_shape=[2])
        np.testing.assert_array_equal(y.ravel(), [np.nan, 2, np.nan])
        assert not indices or indices[0].ravel().tolist() == [0, 2, 3]


def test_valid_with_ceil_mode() -> None:
    # The specification's text gives 2 windows, its shape inference and onnxruntime 3.
    x = row(1, 2, 3, 4, 5)
    options = {"opset": 12, "kernel_shape": [2], "strides": [2], "ceil_mode": 1}
    expected = run_onnxruntime("MaxPool", [x], auto_pad="VALID", **options)
    assert expected[0].shape == (1, 1, 3)
    assert_same(run_ours("MaxPool", [x], auto_pad="VALID", **options), expected)


def test_global_pool_of_any_rank() -> None:
    # Including 3-D images, which onnx's reference reduces over two axes only.
    for shape in [(2, 3), (2, 3, 4), (1, 2, 3, 4, 5)]:
        x = fill(shape)
        (y,) = run_ours("GlobalMaxPool", [x], opset=1)
        assert y.shape == shape[:2] + (1,) * (len(shape) - 2)
        assert y.ravel().tolist() == x.reshape(*shape[:2], -1).max(axis=2).ravel().tolist()
    with pytest.raises(ValueError, match="a global pooling takes"):
        kernels.global_max_pool(fill((3,)))

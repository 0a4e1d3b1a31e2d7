from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours

from scratch_onnx.interpreter.ops import pad as kernels

DTYPES = [np.float32, np.int64, np.bool_, np.float64, np.uint8]


def int64(*values: int) -> Any:
    return np.array(values, np.int64)


@st.composite
def cases(draw: Any, mode: str) -> tuple[Any, list[int]]:
    """Data and pads that its mode allows: a reflection that fits inside, if there is any data."""
    least = 0 if mode == "constant" else 1
    shape = draw(st.lists(st.integers(least, 4), min_size=1, max_size=4))
    data = draw(arrays(shape=tuple(shape), dtypes=DTYPES))
    pads = []
    for size in shape * 2:
        most = size - 1 if mode == "reflect" else 3
        pads.append(draw(st.integers(0, max(most, 0))))
    return data, pads


MODES = ["constant", "reflect", "edge"]


@pytest.mark.parametrize("mode", MODES)
@given(st.data())
def test_pad(mode: str, draw: Any) -> None:
    data, pads = draw.draw(cases(mode))
    opset = draw.draw(st.sampled_from([13, 18, 19, 21, 23]))
    inputs = [data, int64(*pads)]
    if mode == "constant" and draw.draw(st.booleans()):
        inputs.append(np.array(1).astype(data.dtype))
    check_node("Pad", inputs, opset=opset, constants=[1], mode=mode)


@pytest.mark.parametrize("mode", MODES)
@given(st.data())
def test_pad_by_attributes(mode: str, draw: Any) -> None:
    data, pads = draw.draw(cases(mode))
    data = data.astype(draw.draw(st.sampled_from([np.float32, np.float64])))
    given_ = {"mode": mode, "value": 1.5}
    check_node("Pad", [data], opset=draw.draw(st.sampled_from([7, 10])), pads=pads, **given_)
    assert_same(
        run_ours("Pad", [data], opset=1, paddings=pads, **given_),
        run_ours("Pad", [data], opset=2, pads=pads, **given_),
    )


@pytest.mark.parametrize("mode", [*MODES, "wrap"])
@given(st.data())
def test_pad_is_numpys_pad(mode: str, draw: Any) -> None:
    """The specification refers to numpy.pad, which knows reflections longer than the data."""
    data = draw.draw(arrays(shape=(3, 1, 4), dtypes=[*DTYPES, object]))
    pads = draw.draw(st.lists(st.integers(0, 9), min_size=6, max_size=6))
    wanted = {"constant_values": "" if data.dtype.kind == "O" else 0} if mode == "constant" else {}
    expected = np.pad(data, list(zip(pads[:3], pads[3:], strict=True)), mode, **wanted)
    opset = 19 if mode == "wrap" else 13
    assert_same(run_ours("Pad", [data, int64(*pads)], opset=opset, mode=mode), [expected])


@given(st.permutations([0, 1, 2]), st.integers(1, 3), st.data())
def test_pad_of_some_axes(order: list[int], count: int, draw: Any) -> None:
    data = draw.draw(arrays(shape=(2, 3, 4), dtypes=[np.float32]))
    axes = [axis - 3 if draw.draw(st.booleans()) else axis for axis in order[:count]]
    pads = draw.draw(st.lists(st.integers(0, 2), min_size=2 * count, max_size=2 * count))
    inputs = [data, int64(*pads), np.array(5, np.float32), int64(*axes)]
    opset = draw.draw(st.sampled_from([18, 19, 21]))
    check_node("Pad", inputs, opset=opset, constants=[1, 3])
    # onnx's shape inference, and so onnxruntime, refuses int32 axes that are constant.
    inputs[3] = inputs[3].astype(np.int32)
    check_node("Pad", inputs, opset=opset, constants=[1])
    assert_same(
        run_ours("Pad", inputs, opset=opset, constants=[1, 3]),
        run_ours("Pad", inputs, opset=opset, constants=[1]),
    )


@pytest.mark.parametrize("mode", [*MODES, "wrap"])
@given(st.lists(st.integers(-1, 2), min_size=4, max_size=4))
def test_negative_pads_crop_first(mode: str, pads: list[int]) -> None:
    data = np.arange(20, dtype=np.float32).reshape(4, 5)
    kept = data[
        tuple(
            slice(max(-b, 0), s - max(-e, 0))
            for s, b, e in zip(data.shape, pads[:2], pads[2:], strict=True)
        )
    ]
    wide = [(max(b, 0), max(e, 0)) for b, e in zip(pads[:2], pads[2:], strict=True)]
    result = run_ours("Pad", [data, int64(*pads)], opset=19, constants=[1], mode=mode)
    assert_same(result, [np.pad(kept, wide, mode)])


def test_pad_by_hand() -> None:
    data = np.float32([1, 2, 3])
    assert kernels.pad(data, int64(2, 1)).tolist() == [0, 0, 1, 2, 3, 0]
    assert kernels.pad(data, int64(-1, 2), np.float32([9])).tolist() == [2, 3, 9, 9]
    assert kernels.pad(data, int64(2, 1), mode="reflect").tolist() == [3, 2, 1, 2, 3, 2]
    assert kernels.pad(data, int64(2, 1), mode="edge").tolist() == [1, 1, 1, 2, 3, 3]
    assert kernels.pad(data, int64(2, 1), mode="wrap").tolist() == [2, 3, 1, 2, 3, 1]
    assert kernels.pad(data, int64(1, -3)).tolist() == [0]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.complex64])
def test_pad_of_other_dtypes(dtype: Any) -> None:
    data = np.array([1, 2]).astype(dtype)
    (result,) = run_ours("Pad", [data, int64(1, 1)], opset=13, constants=[1])
    assert result.dtype == dtype
    assert result.astype(np.complex64).tolist() == [0, 1, 2, 0]


def test_pad_refuses() -> None:
    data = np.zeros((2, 3))
    with pytest.raises(ValueError, match="take more than there is of a dimension of 2"):
        kernels.pad(data, int64(-2, 0, -1, 0))
    with pytest.raises(ValueError, match="a begin and an end for each of 2 axes"):
        kernels.pad(data, int64(1, 1))
    with pytest.raises(ValueError, match="nothing to repeat"):
        kernels.pad(np.zeros((0, 3)), int64(1, 0, 0, 0), mode="edge")
    with pytest.raises(ValueError, match="'mirror' is none of"):
        kernels.pad(data, int64(0, 0, 0, 0), mode="mirror")
    with pytest.raises(ValueError, match="twice"):
        kernels.pad(data, int64(0, 0, 0, 0), axes=int64(1, -1))

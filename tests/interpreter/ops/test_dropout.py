from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays, fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours
from rounded import check_rounded
from typed import dtypes

from scratch_onnx.interpreter.ops import dropout as kernels

TRUE, FALSE = np.array(True), np.array(False)


def scalar(value: float, dtype: Any = np.float32) -> Any:
    return np.array(value, dtype)


@given(st.data())
def test_inference(data: Any) -> None:
    opset = data.draw(st.sampled_from([12, 13]))
    x = data.draw(arrays(dtypes=dtypes("Dropout", opset)))
    ratio = data.draw(st.sampled_from([None, scalar(0.3)]))
    training = data.draw(st.sampled_from([None, FALSE]))
    check_rounded("Dropout", [x, ratio, training], opset=opset, outputs=2)


@given(st.data())
def test_inference_by_attribute(data: Any) -> None:
    x = data.draw(arrays(dtypes=dtypes("Dropout", 10)))
    check_node("Dropout", [x], opset=data.draw(st.sampled_from([7, 10])), ratio=0.7)


@pytest.mark.parametrize(("opset", "dtype"), [(7, np.float32), (10, np.bool_)])
def test_the_mask_of_inference_keeps_all(opset: int, dtype: Any) -> None:
    # As opset 12 spells out; onnxruntime gives zeros in the older ones.
    x = fill((2, 3))
    y, mask = run_ours("Dropout", [x], opset=opset, outputs=2)
    assert_same([y, mask], [x, np.ones((2, 3), dtype)])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_training(dtype: Any) -> None:
    x = np.ones((100, 100), dtype)
    y, mask = run_ours("Dropout", [x, scalar(0.25), TRUE], opset=22, outputs=2, seed=3)
    assert y.dtype == dtype
    assert mask.dtype == np.bool_
    assert abs(mask.mean() - 0.75) < 0.02  # 4.6 standard deviations
    np.testing.assert_array_equal(
        y.astype(np.float32), np.where(mask, np.asarray(4 / 3).astype(dtype), 0).astype(np.float32)
    )


def test_the_seed_repeats_and_its_absence_does_not() -> None:
    x = np.ones((20, 20), np.float32)
    first, second = (kernels.dropout(x, None, TRUE, seed=7)[1] for _ in range(2))
    assert (first == second).all()
    first, second = (kernels.dropout(x, None, TRUE)[1] for _ in range(2))
    assert (first != second).any()
    kernels.dropout(x, None, TRUE, seed=-1)


def test_nothing_dropped_at_ratio_0() -> None:
    x = fill((3, 3))
    assert_same(
        run_ours("Dropout", [x, scalar(0), TRUE], opset=13, outputs=2), [x, np.ones((3, 3), bool)]
    )


@pytest.mark.parametrize("opset", [1, 6])
def test_is_test(opset: int) -> None:
    x = np.ones((50, 50), np.float32)
    assert_same(run_ours("Dropout", [x], opset=opset, is_test=1), [x])
    y, mask = kernels.dropout_1(x, ratio=0.5)
    assert mask is not None
    assert mask.dtype == np.float32
    assert set(np.unique(y)) == {0, 2}
    np.testing.assert_array_equal(y, 2 * mask)


def test_ratio_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"ratio must be in \[0, 1\), and is 1.0"):
        kernels.dropout(fill((1,)), scalar(1), TRUE)

"""A worked number is what onnxruntime has at that place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracles import feeds, node_model, run_onnxruntime

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter.errors import InputError
from scratch_onnx.interpreter.inspection.worked import work_out


class Seen:
    def before(self, node, inputs):
        pass

    def after(self, node, inputs, outputs):
        self.all = (node, inputs, outputs)


def watched(op, inputs, **options):
    seen = Seen()
    model = node_model(op, inputs, **options)
    so.InferenceSession(model, optimize=False).run(None, feeds(inputs), observer=seen)
    return seen.all


def array(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


CASES = [
    ("Conv", [array(2, 4, 7, 6), array(6, 2, 3, 2), array(6)], {
        "group": 2, "pads": [1, 0, 2, 1], "strides": [2, 1], "dilations": [1, 2]}),
    ("Conv", [array(1, 2, 9), array(3, 2, 4)], {"auto_pad": "SAME_UPPER", "strides": [2]}),
    ("Conv", [array(1, 2, 9), array(3, 2, 4)], {"auto_pad": "SAME_LOWER"}),
    ("Conv", [array(1, 1, 4, 4, 4), array(2, 1, 2, 2, 2)], {"auto_pad": "VALID"}),
    ("Gemm", [array(4, 3), array(4, 5), array(5)], {"transA": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", [array(3, 4), array(5, 4), array(3, 1)], {"transB": 1}),
    ("Gemm", [array(3, 4), array(4, 5)], {}),
    ("MatMul", [array(2, 1, 3, 4), array(5, 4, 2)], {}),
    ("MatMul", [array(4), array(4, 2)], {}),
    ("MatMul", [array(2, 3, 4), array(4)], {}),
    ("MaxPool", [array(1, 2, 7, 7)], {
        "kernel_shape": [3, 2], "pads": [1, 1, 0, 0], "strides": [2, 2], "dilations": [1, 2]}),
    ("AveragePool", [array(1, 2, 7, 7)], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("AveragePool", [array(1, 2, 7, 7)], {
        "kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("op", "inputs", "attributes"), CASES)
def test_every_element_is_onnxruntimes(op, inputs, attributes):
    (expected,) = run_onnxruntime(op, inputs, opset=18, **attributes)
    node, given, outputs = watched(op, inputs, opset=18, **attributes)
    for index in itertools.product(*map(range, expected.shape)):
        worked = work_out(node, given, outputs, index)
        assert worked is not None
        assert worked.index == index
        assert worked.value == pytest.approx(expected[index], rel=1e-5, abs=1e-5)
        assert worked.computed == outputs[0][index]


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("output", [0, 1, 2])
def test_one_step_of_a_recurrent_node(op, output):
    if output == 2 and op != "LSTM":
        pytest.skip("has no cell state")
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    inputs = [
        array(4, 2, 3), array(2, gates * 5, 3), array(2, gates * 5, 5), array(2, 2 * gates * 5),
        np.array([4, 2], np.int32), array(2, 2, 5),
    ]  # fmt: skip
    if op == "LSTM":
        inputs.append(array(2, 2, 5))
    names = ["y" if position == output else "" for position in range(output + 1)]
    options = {"opset": 18, "outputs": names, "hidden_size": 5, "direction": "bidirectional"}
    (expected,) = run_onnxruntime(op, inputs, **options)
    node, given, outputs = watched(op, inputs, **options)
    for index in itertools.product(*map(range, expected.shape)):
        worked = work_out(node, given, outputs, index)
        assert worked is not None
        assert worked.value == pytest.approx(expected[index], rel=1e-5, abs=1e-5)


def test_the_lines_of_a_small_convolution():
    x, w, b = np.array([[[1, 2, 3]]]), np.array([[[10, 20]]]), np.array([0.5])
    inputs = [a.astype(np.float32) for a in (x, w, b)]
    worked = work_out(*watched("Conv", inputs, opset=18, pads=[1, 0]), (0, 0, 0))
    assert worked is not None
    assert worked.value == 20.5
    text = "\n".join(worked.lines)
    assert "X[0, 0, 0] · W[0, 0, 1] = 1 · 20 = 20" in text
    assert "1 of 2 kernel positions lie in the padding" in text
    assert "B[0] = 0.5" in text


def test_the_largest_element_is_the_default():
    inputs = [np.array([[1, 2]], np.float32), np.array([[1, -9], [1, 1]], np.float32)]
    worked = work_out(*watched("MatMul", inputs, opset=18))
    assert worked is not None
    assert worked.index == (0, 1)
    assert worked.value == -7


def test_an_element_that_is_not_there():
    with pytest.raises(InputError, match=r"of shape \[1, 1\] has no element \[0, 1\]"):
        work_out(*watched("MatMul", [array(1, 2), array(2, 1)], opset=18), (0, 1))


def test_other_operators_are_not_worked_out():
    assert work_out(*watched("Relu", [array(3)], opset=18)) is None

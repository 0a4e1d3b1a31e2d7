"""RNN, GRU and LSTM against onnxruntime, and one step of each cell by hand.

onnx's ReferenceEvaluator is no oracle here: it ignores activations, clip,
input_forget and sequence_lens.

Where onnxruntime 1.32 and the specification part ways:

- A sequence of length 0: onnxruntime gives Y_h = Y_c = 0. No step is made, so the last state is
  the initial one (``test_empty_sequence_keeps_the_initial_state``).
- ``clip`` of an LSTM: onnxruntime does not clip the input of the activation h; the specification
  clips "the input of activations", all of them (``test_clip_bounds_the_input_of_h``).
- The default of ThresholdedRelu's alpha is that of the operator, 1.0; onnxruntime takes 0
  (``test_default_alpha_of_thresholded_relu``). Affine and ScaledTanh have no default: onnxruntime
  takes 0 and gives zeros, we refuse (``test_affine_without_alpha_is_refused``).
- ThresholdedRelu of just alpha is alpha ("x if x >= alpha"), and 0 in onnxruntime
  (``test_default_alpha_of_thresholded_relu``; a ``clip`` that equals alpha makes it common).
- ``layout`` 1: onnxruntime refuses it. It is compared with layout 0.
- No steps (seq_length 0): onnxruntime ends the process for GRU and LSTM.
- float16 and bfloat16: onnxruntime has no kernels. They are compared with float32.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours

import scratch_onnx.interpreter as so

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FUNCTIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}
OPSETS = {"RNN": (7, 14, 22), "GRU": (7, 14, 22), "LSTM": (7, 14, 22)}
ALPHA = {"Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu"}
BETA = {"Affine", "ScaledTanh", "HardSigmoid"}
ACTIVATIONS = ["Relu", "Tanh", "Sigmoid", "Softsign", "Softplus", *sorted(ALPHA)]


def make_inputs(
    op_type: str, seed: int, T: int, N: int, inputs: int, H: int, D: int, dtype: Any = np.float32
) -> list[Any]:
    """X, W, R, B, sequence_lens (None), initial_h and for the LSTM initial_c and P."""
    rng = np.random.default_rng(seed)
    G = GATES[op_type]

    def draw(*shape: int) -> Any:
        return (rng.normal(size=shape) * 0.5).astype(dtype)

    arrays = [draw(T, N, inputs), draw(D, G * H, inputs), draw(D, G * H, H), draw(D, 2 * G * H)]
    arrays += [None, draw(D, N, H)]
    if op_type == "LSTM":
        arrays += [draw(D, N, H), draw(D, 3 * H)]
    return arrays


@st.composite
def cases(draw: Any, op_type: str) -> tuple[list[Any], dict[str, Any]]:
    """Inputs and attributes of a node that onnxruntime computes as the specification says."""
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    D = 2 if direction == "bidirectional" else 1
    T, N = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    inputs, H = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    arrays = make_inputs(op_type, draw(st.integers(0, 2**32 - 1)), T, N, inputs, H, D)
    options: dict[str, Any] = {"direction": direction, "hidden_size": H}
    if draw(st.booleans()):
        arrays[4] = np.array(draw(st.lists(st.integers(1, T), min_size=N, max_size=N)), np.int32)
    for optional in (3, 5, 6, 7):
        if optional < len(arrays) and draw(st.booleans()):
            arrays[optional] = None
    if draw(st.booleans()):
        names = draw(
            st.lists(
                st.sampled_from(ACTIVATIONS),
                min_size=FUNCTIONS[op_type] * D,
                max_size=FUNCTIONS[op_type] * D,
            )
        )
        options["activations"] = names
        number = st.floats(0.125, 1, width=32)
        alphas = [draw(number) for name in names if name in ALPHA]
        betas = [draw(number) for name in names if name in BETA]
        if alphas:
            options["activation_alpha"] = alphas
        if betas:
            options["activation_beta"] = betas
    if op_type != "LSTM" and draw(st.booleans()):
        options["clip"] = draw(st.sampled_from([0.3, 0.7, 1.7]))  # no alpha: see above
    if op_type == "GRU":
        options["linear_before_reset"] = draw(st.integers(0, 1))
    if op_type == "LSTM":
        options["input_forget"] = draw(st.integers(0, 1))
    options["opset"] = draw(st.sampled_from(OPSETS[op_type]))
    count = 3 if op_type == "LSTM" else 2
    kept = draw(st.lists(st.booleans(), min_size=count, max_size=count).filter(any))
    if draw(st.booleans()):  # the weights as initialisers, as in a file
        weights = [1, 2, 3, *([7] if op_type == "LSTM" else [])]
        options["constants"] = tuple(i for i in weights if arrays[i] is not None)
    options["outputs"] = [f"y{i}" if keep else "" for i, keep in enumerate(kept)]
    return arrays, options


def check(op_type: str, case: tuple[list[Any], dict[str, Any]]) -> None:
    arrays, options = case
    # Unbounded activations make large states: then a few units in the last place of those.
    check_node(op_type, arrays, rtol=1e-4, atol=2e-5, **options)


@given(cases("RNN"))
def test_rnn(case: tuple[list[Any], dict[str, Any]]) -> None:
    check("RNN", case)


@given(cases("GRU"))
def test_gru(case: tuple[list[Any], dict[str, Any]]) -> None:
    check("GRU", case)


@given(cases("LSTM"))
def test_lstm(case: tuple[list[Any], dict[str, Any]]) -> None:
    check("LSTM", case)


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_double(op_type: str, direction: str) -> None:
    D = 2 if direction == "bidirectional" else 1
    arrays = make_inputs(op_type, 1, 3, 2, 4, 3, D)[:4]
    (single, *_) = run_ours(op_type, arrays, opset=14, direction=direction, hidden_size=3)
    (double, *_) = run_ours(
        op_type,
        [array.astype(np.float64) for array in arrays],
        opset=14,
        direction=direction,
        hidden_size=3,
    )
    assert double.dtype == np.float64
    np.testing.assert_allclose(double, single, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize(("dtype", "limit"), [(np.float16, 2e-3), (ml_dtypes.bfloat16, 1.6e-2)])
def test_half(op_type: str, dtype: Any, limit: float) -> None:
    """Computed in float32 and rounded once."""
    arrays = make_inputs(op_type, 2, 4, 3, 4, 3, 1, dtype)[:4]
    widened = [array.astype(np.float32) for array in arrays]
    (half, *_) = run_ours(op_type, arrays, opset=22, hidden_size=3)
    (full, *_) = run_ours(op_type, widened, opset=22, hidden_size=3)
    assert half.dtype == dtype
    np.testing.assert_allclose(half.astype(np.float32), full, rtol=limit, atol=limit)


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("lens", [None, [4, 1, 0]])
def test_layout(op_type: str, direction: str, lens: list[int] | None) -> None:
    """Batch first is the same, transposed."""
    D = 2 if direction == "bidirectional" else 1
    arrays = make_inputs(op_type, 3, 4, 3, 2, 5, D)
    arrays[4] = None if lens is None else np.array(lens, np.int32)
    outputs = 3 if op_type == "LSTM" else 2
    options = {"opset": 14, "outputs": outputs, "direction": direction, "hidden_size": 5}
    expected = run_ours(op_type, arrays, **options)
    expected[0] = expected[0].transpose(2, 0, 1, 3)
    expected[1:] = [state.swapaxes(0, 1) for state in expected[1:]]
    for position in (0, 5, 6):
        if position < len(arrays):
            arrays[position] = np.ascontiguousarray(arrays[position].swapaxes(0, 1))
    assert_same(run_ours(op_type, arrays, layout=1, **options), expected)


@pytest.mark.parametrize("op_type", GATES)
def test_oldest_opset(op_type: str) -> None:
    """Opset 1 has the same equations, and an ``output_sequence``."""
    arrays = make_inputs(op_type, 4, 4, 3, 2, 5, 1)
    expected = run_ours(op_type, arrays, opset=7, outputs=2, hidden_size=5)
    for output_sequence in (0, 1):
        actual = run_ours(
            op_type, arrays, opset=1, outputs=2, hidden_size=5, output_sequence=output_sequence
        )
        assert_same(actual, expected)


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_empty_sequence_keeps_the_initial_state(op_type: str, direction: str) -> None:
    D = 2 if direction == "bidirectional" else 1
    arrays = make_inputs(op_type, 5, 4, 3, 2, 5, D)
    arrays[4] = np.array([3, 0, 4], np.int32)
    outputs = 3 if op_type == "LSTM" else 2
    options = {"opset": 14, "outputs": outputs, "direction": direction, "hidden_size": 5}
    Y, *finals = run_ours(op_type, arrays, **options)
    assert (Y[:, :, 1] == 0).all()
    for final, initial in zip(finals, arrays[5:7], strict=False):
        np.testing.assert_array_equal(final[:, 1], initial[:, 1])
    # The other rows do not notice.
    arrays[4] = np.array([3, 1, 4], np.int32)
    others = run_ours(op_type, arrays, **options)
    assert_same([Y[:, :, [0, 2]]], [others[0][:, :, [0, 2]]])


@pytest.mark.parametrize("op_type", GATES)
def test_no_steps(op_type: str) -> None:
    arrays = make_inputs(op_type, 6, 0, 3, 2, 5, 1)
    outputs = 3 if op_type == "LSTM" else 2
    Y, *finals = run_ours(op_type, arrays, opset=14, outputs=outputs, hidden_size=5)
    assert Y.shape == (0, 1, 3, 5)
    assert_same(finals, arrays[5:7])


@pytest.mark.parametrize("op_type", GATES)
def test_no_batch(op_type: str) -> None:
    arrays = make_inputs(op_type, 6, 4, 0, 2, 5, 1)
    arrays[4] = np.zeros(0, np.int32)
    outputs = 3 if op_type == "LSTM" else 2
    Y, *finals = run_ours(op_type, arrays, opset=14, outputs=outputs, hidden_size=5)
    assert Y.shape == (4, 1, 0, 5)
    assert all(final.shape == (1, 0, 5) for final in finals)


def test_padding_may_hold_anything() -> None:
    """What stands behind the end of a sequence has no influence, NaN included."""
    arrays = make_inputs("LSTM", 7, 4, 2, 3, 2, 2)
    arrays[4] = np.array([2, 4], np.int32)
    options = {"opset": 14, "outputs": 3, "direction": "bidirectional", "hidden_size": 2}
    expected = run_ours("LSTM", arrays, **options)
    arrays[0] = arrays[0].copy()
    arrays[0][2:, 0] = np.nan
    assert_same(run_ours("LSTM", arrays, **options), expected)


# One step by hand, weights of 1 and -1 so that the sums are seen. σ is the logistic function.


def sigmoid(x: float) -> float:
    import math

    return 1 / (1 + math.exp(-x))


def tanh(x: float) -> float:
    import math

    return math.tanh(x)


def column(*values: float) -> Any:
    return np.array(values, np.float32).reshape(1, -1, 1)


def row(*values: float) -> Any:
    return np.array(values, np.float32).reshape(1, -1)


X = np.full((1, 1, 1), 0.5, np.float32)
H0 = np.full((1, 1, 1), 0.25, np.float32)
C0 = np.full((1, 1, 1), -0.75, np.float32)


def test_rnn_step() -> None:
    # 0.5·2 + 0.25·(-1) + 0.1 + 0.2 = 1.05
    inputs = [X, column(2), column(-1), row(0.1, 0.2), None, H0]
    (Y,) = run_ours("RNN", inputs, opset=14, hidden_size=1)
    assert Y.item() == pytest.approx(tanh(1.05), rel=1e-6)


@pytest.mark.parametrize("linear_before_reset", [0, 1])
def test_gru_step(linear_before_reset: int) -> None:
    inputs = [X, column(1, 2, 3), column(-1, 1, 2), row(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), None, H0]
    (Y,) = run_ours("GRU", inputs, opset=14, hidden_size=1, linear_before_reset=linear_before_reset)
    z = sigmoid(0.5 - 0.25 + 0.1 + 0.4)
    r = sigmoid(1.0 + 0.25 + 0.2 + 0.5)
    if linear_before_reset:
        candidate = tanh(1.5 + r * (0.25 * 2 + 0.6) + 0.3)
    else:
        candidate = tanh(1.5 + (r * 0.25) * 2 + 0.6 + 0.3)
    assert Y.item() == pytest.approx((1 - z) * candidate + z * 0.25, rel=1e-6)


@pytest.mark.parametrize("input_forget", [0, 1])
@pytest.mark.parametrize("clip", [None, 0.25])
def test_lstm_step(input_forget: int, clip: float | None) -> None:
    bias = row(0.1, 0.2, 0.3, 0.4, 0.01, 0.02, 0.03, 0.04)
    peepholes = row(0.5, -0.5, 0.25)  # i, o, f
    inputs = [X, column(1, 2, 3, 4), column(-1, 1, 2, -2), bias, None, H0, C0, peepholes]
    options = {} if clip is None else {"clip": clip}
    (Y, Y_h, Y_c) = run_ours(
        "LSTM", inputs, opset=14, hidden_size=1, outputs=3, input_forget=input_forget, **options
    )

    def bounded(x: float) -> float:
        return x if clip is None else min(max(x, -clip), clip)

    i = sigmoid(bounded(0.5 - 0.25 + 0.11 + 0.5 * -0.75))
    f = 1 - i if input_forget else sigmoid(bounded(1.5 + 0.5 + 0.33 + 0.25 * -0.75))
    c = f * -0.75 + i * tanh(bounded(2.0 - 0.5 + 0.44))
    o = sigmoid(bounded(1.0 + 0.25 + 0.22 - 0.5 * c))
    assert Y_c.item() == pytest.approx(c, rel=1e-5)
    assert Y.item() == Y_h.item() == pytest.approx(o * tanh(bounded(c)), rel=1e-5)


def test_clip_bounds_the_input_of_h() -> None:
    """C may grow beyond clip, what goes into h may not: f = σ(0) = ½, C = ½·100 + 0."""
    zeros = np.zeros((1, 4, 1), np.float32)
    start = np.full((1, 1, 1), 100, np.float32)
    Y, _, Y_c = run_ours(
        "LSTM",
        [X, zeros, zeros, None, None, None, start],
        opset=14,
        outputs=3,
        hidden_size=1,
        clip=2.0,
        activations=["Sigmoid", "Tanh", "Relu"],
    )
    assert Y_c.item() == 50
    assert Y.item() == 0.5 * 2


def test_default_alpha_of_thresholded_relu() -> None:
    x = np.array([0.5, 1.0, 2.0], np.float32).reshape(1, 3, 1)
    (Y,) = run_ours(
        "RNN",
        [x, column(1), column(0)],
        opset=14,
        hidden_size=1,
        activations=["ThresholdedRelu"],
    )
    assert Y.ravel().tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["Affine", "ScaledTanh"])
def test_affine_without_alpha_is_refused(name: str) -> None:
    with pytest.raises(so.RunError, match=f"{name} has no defaults"):
        run_ours("RNN", [X, column(1), column(0)], opset=14, hidden_size=1, activations=[name])


def test_alphas_go_to_the_activations_that_take_one() -> None:
    """As onnxruntime consumes the lists: Tanh takes none, so HardSigmoid takes the first."""
    arrays = make_inputs("LSTM", 8, 3, 2, 2, 2, 1)
    check_node(
        "LSTM",
        arrays,
        opset=14,
        outputs=3,
        hidden_size=2,
        activations=["Tanh", "HardSigmoid", "LeakyRelu"],
        activation_alpha=[0.3, 0.05],
        activation_beta=[0.4],
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 4}, "hidden_size is 4, but R"),
        ({"direction": "backward"}, "direction must be"),
        ({"direction": "bidirectional"}, r"W must have the shape \[2, 8, 3\]"),
        ({"layout": 2}, "layout must be 0 or 1"),
        ({"activations": ["Tanh"]}, "activations must name 3"),
        ({"activations": ["Sigmoid", "Tanh", "Gelu"]}, "'Gelu' is none of"),
    ],
)
def test_bad_attributes(change: dict[str, Any], message: str) -> None:
    arrays = make_inputs("LSTM", 9, 3, 2, 3, 2, 1)
    with pytest.raises(so.RunError, match=message):
        run_ours("LSTM", arrays, opset=14, **({"hidden_size": 2} | change))


@pytest.mark.parametrize("lens", [[4, 1], [-1, 2], [1, 2, 3]])
def test_bad_sequence_lens(lens: list[int]) -> None:
    arrays = make_inputs("GRU", 9, 3, 2, 3, 2, 1)
    arrays[4] = np.array(lens, np.int32)
    with pytest.raises(so.RunError, match="sequence_lens must"):
        run_ours("GRU", arrays, opset=14, hidden_size=2)

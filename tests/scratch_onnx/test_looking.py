"""``inspect``, ``trace``, ``compare``, ``profile``, ``explain`` and ``ops`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from recurrent_models import IDS, text_model
from small_models import BIAS, ROWS, WEIGHTS, linear, model_of, saved, saved_array

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture
def model(tmp_path):
    return saved(tmp_path, linear(metadata={"author": "me"}))


@pytest.fixture
def rows(tmp_path):
    return saved_array(tmp_path, ROWS)


@pytest.fixture
def text(tmp_path):
    """The path of the text model, and of its input."""
    return saved(tmp_path, text_model(), "text.onnx"), saved_array(tmp_path, IDS, "ids.npy")


def test_inspect(call, model):
    output = call("inspect", model, "--shape", "N=32").output
    assert "every operator is supported" in output
    for fact in ("author", "x", "float 32×4", "Gemm", "dense"):
        assert fact in output


def test_inspect_json(call, model):
    document = json.loads(call("inspect", model, "--shape", "x=32,4", "--json").stdout)
    assert document["macs"] == 32 * 12
    assert document["nodes"][0]["name"] == "dense"
    assert document["inputs"][0]["shape"] == [32, 4]
    assert document["unsupported"] == {}


def test_inspect_text_is_a_record_a_line(call, model):
    lines = [line.split("\t") for line in call("inspect", model, "--text").stdout.splitlines()]
    records = {line[0]: line[1:] for line in lines}
    assert records["input"] == ["x", "float N×4"]
    assert records["node"][:3] == ["0", "dense", "Gemm"]
    assert records["parameters"] == ["15"]


def test_inspect_of_what_is_not_supported(call, tmp_path):
    proto = model_of(
        [helper.make_node("Frobnicate", ["x"], ["y"], name="f", domain="com.example")],
        {"x": (1, [2])},
        {"y": (1, [2])},
    )
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    result = call("inspect", saved(tmp_path, proto))
    assert result.exit_code == 0
    assert "not supported: com.example.Frobnicate of opset 1 (node f)" in result.output


def test_inspect_of_wrong_shapes(call, fails, model):
    assert call("inspect", model, "--shape", "x=a,b").exit_code == 2
    assert call("inspect", model, "--json", "--text").exit_code == 2
    assert "is 4 and not 5" in fails("inspect", model, "--shape", "x=1,5")
    assert "no such file" in fails("inspect", "no.onnx")


def test_trace(call, text):
    lines = call("trace", *text).output.splitlines()
    assert lines[0].split()[:4] == ["#", "node", "op", "output"]
    assert [line.split()[0] for line in lines[1:]] == [str(index) for index in range(9)]
    document = json.loads(call("trace", *text, "--op", "LSTM", "--json").stdout)
    (node,) = document["nodes"]
    assert node["outputs"][0]["summary"]["shape"] == [7, 2, 2, 6]


def test_trace_that_stops_on_nan(call, tmp_path):
    proto = model_of(
        [
            helper.make_node("Sqrt", ["x"], ["r"], name="root"),
            helper.make_node("Neg", ["r"], ["y"], name="neg"),
        ],
        {"x": (1, [2])},
        {"y": (1, [2])},
    )
    x = saved_array(tmp_path, np.array([1, -1], np.float32))
    result = call("trace", saved(tmp_path, proto), x, "--stop-on", "nan")
    assert result.exit_code == 1
    assert "node 'root' (Sqrt) gave the first NaN or infinity" in result.stderr
    assert "it was given x: float32 [2] from -1 to 1" in result.stderr
    assert "neg" not in result.stdout


def test_trace_of_a_run_that_fails_shows_how_far_it_came(call, tmp_path):
    proto = model_of(
        [
            helper.make_node("Relu", ["x"], ["r"], name="relu"),
            helper.make_node("Reshape", ["r", "s"], ["y"], name="fold"),
        ],
        {"x": (1, ["N"]), "s": (7, [1])},
        {"y": (1, None)},
    )
    x = saved_array(tmp_path, np.ones(4, np.float32))
    s = saved_array(tmp_path, np.array([3]), "s.npy")
    result = call("trace", saved(tmp_path, proto), x, s)
    assert result.exit_code == 1
    assert "relu" in result.stdout
    assert "'fold' (Reshape, opset 18) failed on r: float32 [4]" in result.stderr


def test_trace_into_a_place_that_cannot_be_written(fails, model, rows):
    assert "x.npy" in fails("trace", model, rows, "--save", f"{rows}/folder")


@pytest.mark.parametrize("against", ["onnxruntime", "reference", "model", "dir"])
def test_compare_without_a_difference(call, text, tmp_path, against):
    side = against
    if against == "model":
        side = text[0]
    if against == "dir":
        assert call("trace", *text, "--save", tmp_path / "values").exit_code == 0
        side = f"dir:{tmp_path / 'values'}"
    result = call("compare", *text, "--against", side)
    assert result.exit_code == 0, result.output
    assert "no difference from" in result.output
    assert call("compare", *text, "--against", side, "--bisect").exit_code == 0


@pytest.mark.parametrize("extra", [[], ["--bisect"]])
@pytest.mark.parametrize("side", ["model", "dir"])
def test_compare_with_an_altered_weight(call, text, tmp_path, extra, side):
    proto = onnx.load(text[0])
    (tensor,) = [t for t in proto.graph.initializer if t.name == "R2"]
    array = numpy_helper.to_array(tensor).copy()
    array[0, 0, 0] += 1
    tensor.CopyFrom(numpy_helper.from_array(array, "R2"))
    other = saved(tmp_path, proto, "other.onnx")
    if side == "dir":
        assert call("trace", other, text[1], "--save", tmp_path / "values").exit_code == 0
        other = f"dir:{tmp_path / 'values'}"
    repro = tmp_path / "repro"
    arguments = ["compare", *text, "--against", other, "--repro", repro, *extra]
    result = call(*arguments)
    assert result.exit_code == 1
    assert "first difference, cumulative: node 5 gru/GRU (GRU)" in result.output
    assert "first difference, isolated: node 5 gru/GRU (GRU)" in result.output
    document = json.loads(call(*arguments, "--json").stdout)
    assert document["first_isolated"] == document["first_cumulative"] == "gru/GRU"
    assert document["equal"] is False
    # The command that it prints shows the same difference again, in one node.
    command = result.output.splitlines()[-1].removeprefix("to see it again: scratch-onnx ")
    again = call(*command.split())
    assert again.exit_code == 1
    assert "differs in" in again.stderr
    assert len(onnx.load(repro / "node.onnx").graph.node) == 1


def test_compare_with_what_is_not_there(call, fails, text, model, rows, tmp_path):
    assert call("compare", *text).exit_code == 2  # no --against
    assert "no such file" in fails("compare", *text, "--against", "no.onnx")
    assert "is no trace that" in fails("compare", *text, "--against", f"dir:{tmp_path}")
    assert "takes the inputs ids, and the model x" in fails(
        "compare", model, rows, "--against", text[0]
    )
    other = linear()
    other.graph.node[0].output[0] = other.graph.output[0].name = "z"
    path = saved(tmp_path, other, "renamed.onnx")
    assert "no value of the model is on the other side" in fails(
        "compare", model, rows, "--against", path
    )


def test_compare_without_onnxruntime(fails, text, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    line = fails("compare", *text, "--against", "onnxruntime")
    assert "needs onnxruntime, which is not installed: pip install 'scratch-onnx[dev]'" in line


def test_profile(call, text, tmp_path):
    chrome = tmp_path / "chrome.json"
    result = call("profile", *text, "--repeats", 2, "--no-optimize", "--trace", chrome)
    assert result.exit_code == 0
    assert "lstm/LSTM" in result.output
    assert "peak memory" in result.output
    events = json.loads(chrome.read_text(encoding="utf-8"))["traceEvents"]
    assert [event["name"] for event in events][-1] == "dense/Softmax"
    document = json.loads(call("profile", *text, "--repeats", 1, "--json").stdout)
    assert document["nodes"]
    assert document["operators"]
    assert (
        "cannot be written"
        in call("profile", *text, "--repeats", 1, "--trace", tmp_path / "no" / "x.json").stderr
    )


def test_explain_an_operator(call):
    output = call("explain", "Conv").output
    assert "Conv, opset 22" in output
    assert "def conv(" in output
    assert "Versions: 1, 11, 22; with a kernel: 1, 11, 22" in output
    assert "def conv(" not in call("explain", "Conv", "--no-source").output
    assert json.loads(call("explain", "Softmax", "--opset", 12, "--json").stdout)["version"] == 11


def test_explain_a_node_with_its_numbers(call, model, rows):
    output = call("explain", model, rows, "--node", "dense", "--at", "0,1").output
    assert "float32 [7, 4]" in output
    assert "y[0, 1]" in output
    # -0.875 - 3 · 0.75 - 0.625 - 0.5
    assert "= -4.25; the kernel gave -4.25" in output
    document = json.loads(call("explain", model, rows, "--node", "y", "--json").stdout)
    worked = document["node"]["worked"]
    expected = ROWS.astype(np.float64) @ WEIGHTS + BIAS
    assert worked["value"] == expected[tuple(worked["index"])] == np.abs(expected).max()


def test_explain_a_node_without_input(call, model):
    assert "give INPUT to see its shapes" in call("explain", model, "--node", "dense").output


def test_explain_what_is_not_there(call, fails, model, rows):
    assert "no node is called 'x'; there are dense" in fails("explain", model, "--node", "x")
    assert "has no element [9, 9]" in fails(
        "explain", model, rows, "--node", "dense", "--at", "9,9"
    )
    assert "did you mean Conv" in fails("explain", "conv")
    assert call("explain", "Conv", rows).exit_code == 2
    assert call("explain", model, rows, "--node", "dense", "--at", "a").exit_code == 2


def test_ops(call):
    lines = call("ops", "Conv*").output.splitlines()
    assert lines[1].split() == ["Conv", "ai.onnx", "1,", "11,", "22", "conv"]
    names = [entry["name"] for entry in json.loads(call("ops", "--json").stdout)]
    assert {"LSTM", "Softmax", "Loop"} <= set(names)
    microsoft = json.loads(call("ops", "--domain", "com.microsoft", "--json").stdout)
    assert {entry["domain"] for entry in microsoft} == {"com.microsoft"}


def test_the_example_against_onnxruntime(call):
    result = call(
        "compare", DIGITS / "digits.onnx", DIGITS / "input.npy", "--against", "onnxruntime"
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(call, shell):
    output = call("completion", shell).output
    assert "_SCRATCH_ONNX_COMPLETE" in output
    assert "scratch-onnx" in output


@pytest.mark.parametrize(
    ("words", "expected"),
    [("scratch-onnx in", ["inspect"]), ("scratch-onnx run --bat", ["--batch-size"])],
)
def test_completion(call, words, expected):
    count = len(words.split()) - 1
    result = call(
        env={
            "_SCRATCH_ONNX_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(count),
        },
        prog_name="scratch-onnx",
    )
    assert [line.partition(",")[2] for line in result.output.split()] == expected

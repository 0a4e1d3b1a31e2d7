"""``scratch-onnx run``: what it reads, prints, writes and compares."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from onnx import helper
from small_models import (
    BIAS,
    ROWS,
    WEIGHTS,
    linear,
    model_of,
    saved,
    saved_array,
    sparse_array,
    two_inputs,
)

# Small halves and eighths: exact in float32, whatever the order of the sum.
EXPECTED = ROWS.astype(np.float64) @ WEIGHTS + BIAS


@pytest.fixture
def model(tmp_path):
    return saved(tmp_path, linear())


@pytest.fixture
def rows(tmp_path):
    return saved_array(tmp_path, ROWS)


def outputs_of(result):
    assert result.exit_code == 0, result.output
    return {
        entry["name"]: np.array(entry["values"]) for entry in json.loads(result.stdout)["outputs"]
    }


def test_a_table_and_the_values(call, model, rows):
    lines = call("run", model, rows).stdout.splitlines()
    assert lines[0].split() == ["output", "dtype", "shape"]
    assert lines[1].split() == ["y", "float32", "[7,", "3]"]
    # -1 - 2 · 0.875 - 0.625 + 0.5 = -2.875, and so on
    assert lines[4] == "[[-2.875 -4.25  -0.375]"


def test_as_a_process(process, model, rows):
    done = process("run", model, rows, "--json")
    assert done.returncode == 0
    (output,) = json.loads(done.stdout)["outputs"]
    assert output["dtype"] == "float32"
    assert output["shape"] == [7, 3]
    assert output["values"] == EXPECTED.tolist()


def _npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_standard_input(process, model):
    done = process("run", model, "-", "--json", input=_npy(ROWS))
    assert json.loads(done.stdout)["outputs"][0]["values"] == EXPECTED.tolist()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_pipe_as_a_file(call, model, tmp_path):
    """As a shell makes one of ``<(command)``."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(_npy(ROWS)))
    writer.start()
    outputs = outputs_of(call("run", model, pipe, "--json"))
    writer.join()
    assert (outputs["y"] == EXPECTED).all()


@pytest.mark.parametrize("form", ["named", "ordered", "mixed", "npz"])
def test_several_inputs(call, tmp_path, form):
    model = saved(tmp_path, two_inputs())
    left, right = np.ones((3, 2), np.float32), np.full((3, 2), 4, np.float32)
    a, b = saved_array(tmp_path, left, "a.npy"), saved_array(tmp_path, right, "b.npy")
    np.savez(tmp_path / "ab.npz", left=left, right=right)
    arguments = {
        "named": [f"right={b}", f"left={a}"],
        "ordered": [a, b],
        "mixed": [b, f"left={a}"],
        "npz": [str(tmp_path / "ab.npz")],
    }[form]
    outputs = outputs_of(call("run", model, *arguments, "--json"))
    assert (outputs["total"] == 5).all()
    assert (outputs["difference"] == -3).all()


def test_a_file_whose_name_holds_an_equals_sign(call, model, tmp_path):
    path = saved_array(tmp_path, ROWS, "lr=0.1.npy")
    assert (outputs_of(call("run", model, path, "--json"))["y"] == EXPECTED).all()


def test_top_names_classes_from_the_metadata(call, tmp_path, rows):
    model = saved(tmp_path, linear(metadata={"class_names": '["ant", "bee", "çat"]'}))
    lines = [line.split() for line in call("run", model, rows, "--top", "2").stdout.splitlines()]
    assert lines[0] == ["row", "rank", "class", "name", "score"]
    assert lines[1] == ["0", "1", "2", "çat", "-0.375"]
    assert lines[2] == ["0", "2", "0", "ant", "-2.875"]
    assert len(lines) == 1 + 2 * len(ROWS)


def test_top_names_classes_from_a_file(call, tmp_path, model, rows):
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\nthree\n", encoding="utf-8")
    document = json.loads(call("run", model, rows, "--labels", labels, "--json").stdout)
    first = document["top"][0]
    assert first["classes"] == [{"class": 2, "name": "three", "score": -0.375}]


def test_top_puts_equal_scores_in_order_and_nan_last(call, tmp_path):
    model = saved(
        tmp_path,
        model_of([helper.make_node("Identity", ["x"], ["y"])], {"x": (1, [4])}, {"y": (1, [4])}),
    )
    path = saved_array(tmp_path, np.array([1, np.nan, 2, 1], np.float32))
    document = json.loads(call("run", model, path, "--top", "9", "--json").stdout)
    assert [best["class"] for best in document["top"][0]["classes"]] == [2, 0, 3, 1]
    assert document["outputs"][0]["values"] == [1.0, "NaN", 2.0, 1.0]


def test_output_npy(call, model, rows, tmp_path):
    result = call("run", model, rows, "-o", tmp_path / "out.npy")
    assert result.stdout == f"wrote {tmp_path / 'out.npy'}\n"
    written = np.load(tmp_path / "out.npy")
    assert written.dtype == np.float32
    assert (written == EXPECTED).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx", "out.npy", "x.npy"]


@pytest.mark.parametrize("batch", [[], ["--batch-size", "2"]])
def test_output_npz(call, tmp_path, batch):
    model = saved(tmp_path, two_inputs())
    rows = saved_array(tmp_path, np.arange(10, dtype=np.float32).reshape(5, 2))
    out = tmp_path / "out.npz"
    assert call("run", model, rows, f"right={rows}", "-o", out, *batch).exit_code == 0
    with np.load(out) as archive:
        assert sorted(archive) == ["difference", "total"]
        assert (archive["total"] == np.arange(0, 20, 2).reshape(5, 2)).all()
        assert (archive["difference"] == 0).all()


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_batches_give_what_one_run_gives(call, model, rows, tmp_path, size):
    out = tmp_path / "out.npy"
    assert call("run", model, rows, "--batch-size", size, "-o", out).exit_code == 0
    assert (np.load(out) == EXPECTED).all()
    streamed = outputs_of(call("run", model, rows, "--batch-size", size, "--json"))
    assert (streamed["y"] == EXPECTED).all()
    top = call("run", model, rows, "--batch-size", size, "--top", "1").stdout.splitlines()
    assert [line.split()[0] for line in top[1:]] == [str(row) for row in range(7)]


def test_batches_of_no_rows(call, model, tmp_path):
    rows = saved_array(tmp_path, np.empty((0, 4), np.float32))
    out = tmp_path / "out.npy"
    assert call("run", model, rows, "--batch-size", 4, "-o", out).exit_code == 0
    assert np.load(out).shape == (0, 3)


def test_a_model_of_a_fixed_batch_can_be_streamed(call, tmp_path, rows):
    model = saved(tmp_path, linear(batch=1))
    out = tmp_path / "out.npy"
    assert call("run", model, rows, "--batch-size", 1, "-o", out).exit_code == 0
    assert (np.load(out) == EXPECTED).all()


def test_a_stream_is_shown_by_its_first_rows(call, model, tmp_path):
    rows = saved_array(tmp_path, np.tile(ROWS, (3, 1)))
    output = call("run", model, rows, "--batch-size", 6).stdout
    assert "[21, 3]" in output
    assert output.endswith("… and 11 more rows (-o writes them all)\n")


def test_an_input_larger_than_memory_streams(model, tmp_path):
    """A sparse file of 3 GiB, in a process that may map that much but hold far less."""
    big = sparse_array(tmp_path / "big.npy")
    # The whole stream would take a while: 3 GiB are mapped, and the first rows are read.
    script = (
        "import sys\n"
        "from scratch_onnx.feeding import Batches, read_inputs\n"
        "from scratch_onnx.interpreter import InferenceSession\n"
        f"session = InferenceSession({model!r})\n"
        f"batches = Batches.of(session, read_inputs(session, [{big!r}]), True, 100_000)\n"
        "assert batches.rows == 201326592\n"
        "for step, (count, feed) in enumerate(batches):\n"
        "    session.run(None, feed)\n"
        "    if step == 20:\n"
        "        break\n"
        # Not getrusage: what the parent held counts there too.
        "status = open('/proc/self/status').read()\n"
        "print(status.partition('VmHWM:')[2].split()[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 2**29  # half a GiB


def test_a_progress_bar_is_drawn_on_a_terminal_only(monkeypatch, call, model, rows, tmp_path):
    arguments = ("run", model, rows, "--batch-size", 2, "-o", tmp_path / "out.npy")
    assert call(*arguments).stderr == ""
    import scratch_onnx.commands.run as command

    monkeypatch.setattr(command, "on_terminal", lambda _: True)
    assert "rows" in call(*arguments).stderr


def test_cast(call, model, tmp_path):
    for dtype in (np.float64, ">f4", np.float16, np.int64):
        array = ROWS.astype(dtype)
        rows = saved_array(tmp_path, array)
        expected = array.astype(np.float64) @ WEIGHTS + BIAS
        outputs = outputs_of(call("run", model, rows, "--cast", "--json", "--batch-size", 3))
        assert (outputs["y"] == expected).all()


def test_bfloat16_is_stored_as_raw_bytes(call, tmp_path):
    import ml_dtypes

    model = saved(
        tmp_path,
        model_of([helper.make_node("Identity", ["x"], ["y"])], {"x": (16, [2])}, {"y": (16, [2])}),
    )
    rows = saved_array(tmp_path, np.array([1.5, -2], ml_dtypes.bfloat16))
    out = tmp_path / "out.npy"
    assert call("run", model, rows, "-o", out).exit_code == 0
    assert np.load(out).view(ml_dtypes.bfloat16).tolist() == [1.5, -2]
    assert call("run", model, rows, "--expect", rows).exit_code == 0


def test_strings(call, tmp_path):
    model = saved(
        tmp_path,
        model_of(
            [helper.make_node("Identity", ["x"], ["y"])], {"x": (8, ["N"])}, {"y": (8, ["N"])}
        ),
    )
    rows = saved_array(tmp_path, np.array(["héllo", "b"]))
    out = tmp_path / "out.npy"
    assert call("run", model, rows, "-o", out, "--expect", rows).exit_code == 0
    assert np.load(out).tolist() == ["héllo", "b"]


def test_expect(call, model, rows, tmp_path):
    good = saved_array(tmp_path, EXPECTED.astype(np.float32), "good.npy")
    for batch in ([], ["--batch-size", "2"]):
        result = call("run", model, rows, "--expect", good, *batch)
        assert result.exit_code == 0
        assert "output 'y': all 21 values as expected" in result.stdout


def test_expect_says_how_much_and_where(call, model, rows, tmp_path):
    wrong = EXPECTED.astype(np.float32)
    wrong[5, 1] += 0.5
    wrong[6, 2] -= 0.25
    bad = saved_array(tmp_path, wrong, "bad.npy")
    for batch in ([], ["--batch-size", "2"]):
        result = call("run", model, rows, "--expect", bad, *batch)
        assert result.exit_code == 1
        assert "differs in 2 of 21 values, by at most 0.5 at [5, 1]" in result.stderr
        document = json.loads(call("run", model, rows, "--expect", bad, "--json", *batch).stdout)
        assert document["expected"]["equal"] is False
        assert document["expected"]["outputs"][0]["where"] == [5, 1]
    assert call("run", model, rows, "--expect", bad, "--atol", "0.5").exit_code == 0


def test_expect_of_another_shape(call, model, rows, tmp_path):
    bad = saved_array(tmp_path, EXPECTED[:6].astype(np.float32), "bad.npy")
    result = call("run", model, rows, "--expect", bad)
    assert result.exit_code == 1
    assert "has the shape [7, 3], expected [6, 3]" in result.stderr


def test_expect_nan(call, tmp_path):
    model = saved(
        tmp_path,
        model_of([helper.make_node("Identity", ["x"], ["y"])], {"x": (1, [3])}, {"y": (1, [3])}),
    )
    nan = saved_array(tmp_path, np.array([np.nan, np.inf, 1], np.float32))
    other = saved_array(tmp_path, np.array([np.nan, -np.inf, np.nan], np.float32), "other.npy")
    assert call("run", model, nan, "--expect", nan).exit_code == 0
    result = call("run", model, nan, "--expect", other)
    assert "differs in 2 of 3 values, by at most inf" in result.stderr


def test_an_overridable_initialiser_may_be_given(call, tmp_path, rows):
    proto = linear()
    proto.graph.input.append(helper.make_tensor_value_info("b", 1, [3]))
    model = saved(tmp_path, proto)
    bias = saved_array(tmp_path, np.zeros(3, np.float32), "b.npy")
    assert (outputs_of(call("run", model, rows, "--json"))["y"] == EXPECTED).all()
    outputs = outputs_of(call("run", model, rows, f"b={bias}", "--json"))
    assert (outputs["y"] == EXPECTED - BIAS).all()

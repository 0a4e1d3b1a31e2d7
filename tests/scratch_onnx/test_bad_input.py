"""Every kind of bad input: one clear line on standard error, exit code 1, nothing left behind."""

from __future__ import annotations

import io
import os
import pickle
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import COMMAND, ROWS, linear, model_of, saved, saved_array, two_inputs

FULL = Path("/dev/full")


@pytest.fixture
def model(tmp_path):
    return saved(tmp_path, linear())


@pytest.fixture
def rows(tmp_path):
    return saved_array(tmp_path, ROWS)


def test_no_such_model(fails, tmp_path):
    assert "no.onnx: no such file" in fails("run", tmp_path / "no.onnx")


def test_a_model_that_is_a_folder(fails, tmp_path):
    assert "cannot be read: Is a directory" in fails("run", tmp_path)


def test_no_onnx_file(fails, tmp_path):
    path = tmp_path / "photo.onnx"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert "is not an ONNX model" in fails("run", path)


@pytest.mark.parametrize("size", [0, 1, 10, 50, 100, 150])
def test_a_truncated_model(fails, tmp_path, size):
    data = linear().SerializeToString()
    assert len(data) > size
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[:size])
    assert str(path) in fails("run", path)


def test_no_such_input(fails, model):
    assert fails("run", model, "no.npy") == "Error: no.npy: no such file\n"


def test_no_input(fails, model):
    assert "input 'x' is missing; the model takes: x: tensor(float) ['N', 4]" in fails("run", model)


class Bomb:
    """Whoever unpickles it is told."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("kind", ["npy", "npz", "bare", "stdin", "expect"])
def test_pickled_objects_are_never_loaded(fails, model, rows, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    array = np.array([Bomb()], object)
    np.save(tmp_path / "bomb.npy", array, allow_pickle=True)
    np.savez(tmp_path / "bomb.npz", x=array)
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(Bomb()))
    data = (tmp_path / "bomb.npy").read_bytes()
    arguments, options = {
        "npy": (["bomb.npy"], {}),
        "npz": (["bomb.npz"], {}),
        "bare": (["bare.npy"], {}),
        "stdin": (["-"], {"input": data}),
        "expect": ([rows, "--expect", "bomb.npy"], {}),
    }[kind]
    line = fails("run", model, *arguments, **options)
    assert ("is not a .npy file" if kind == "bare" else "pickled Python objects") in line
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("size", [0, 3, 8, 30, 127, 130, 200])
def test_a_truncated_npy(fails, model, tmp_path, size):
    stream = io.BytesIO()
    np.save(stream, ROWS)
    data = stream.getvalue()[:size]
    path = tmp_path / "cut.npy"
    path.write_bytes(data)
    assert fails("run", model, path).startswith(f"Error: {path} is ")
    assert fails("run", model, "-", input=data).startswith("Error: standard input is ")


def test_an_npy_whose_header_lies(fails, model, tmp_path):
    path = tmp_path / "lie.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (2**40, 4)}
        np.lib.format.write_array_header_1_0(file, header)
    assert "is truncated" in fails("run", model, path)
    assert "is truncated" in fails("run", model, "-", input=path.read_bytes())
    with zipfile.ZipFile(tmp_path / "lie.npz", "w") as archive:
        archive.write(path, "x.npy")
    assert "is truncated" in fails("run", model, tmp_path / "lie.npz")


def test_an_npz_that_is_none(fails, model, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"PK\x03\x04 and nothing")
    assert "is not an .npz file, or it is damaged" in fails("run", model, path)
    np.savez_compressed(path, x=np.tile(ROWS, (100, 1)))
    data = bytearray(path.read_bytes())
    data[100:140] = bytes(40)
    path.write_bytes(data)
    assert "is not an .npz file, or it is damaged" in fails("run", model, path)


def test_wrong_names(fails, model, rows, tmp_path):
    assert "no input is called 'y'; the model takes: 'x'" in fails("run", model, f"y={rows}")
    np.savez(tmp_path / "y.npz", y=ROWS)
    assert "no input is called 'y'" in fails("run", model, tmp_path / "y.npz")
    assert "input 'x' is given twice" in fails("run", model, f"x={rows}", f"x={rows}")
    assert "2 unnamed inputs were given, and 1 are left" in fails("run", model, rows, rows)
    assert "standard input can be read once" in fails(
        "run", saved(tmp_path, two_inputs()), "-", "-", input=b""
    )


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (ROWS[0], "wants the shape [N, 4] and was given [4]: the rank differs"),
        (ROWS[:, :3], "wants the shape [N, 4] and was given [7, 3]"),
        (ROWS.astype(np.float64), "wants float32 (float) and was given float64; add --cast"),
        (ROWS.astype(np.int64), "wants float32 (float) and was given int64; add --cast"),
        (np.array([["a"] * 4]), "wants float32 (float) and was given <U1"),
    ],
)
@pytest.mark.parametrize("batch", [[], ["--batch-size", "2"]])
def test_wrong_rank_dimension_or_dtype(fails, model, tmp_path, array, sentence, batch):
    path = saved_array(tmp_path, array)
    assert sentence in fails("run", model, path, *batch)


@pytest.mark.parametrize(
    ("element", "array"),
    [
        (TensorProto.INT64, np.array([1.5])),
        (TensorProto.INT32, np.array([2**40])),
        (TensorProto.UINT8, np.array([-1])),
        (TensorProto.INT64, np.array([np.nan])),
        (TensorProto.FLOAT, np.array([1e300])),
        (TensorProto.BOOL, np.array([2])),
    ],
)
def test_cast_makes_no_wrong_number(fails, tmp_path, element, array):
    model = saved(
        tmp_path,
        model_of(
            [helper.make_node("Identity", ["x"], ["y"])],
            {"x": (element, [1])},
            {"y": (element, [1])},
        ),
    )
    assert "do not fit into" in fails("run", model, saved_array(tmp_path, array), "--cast")


def test_all_operators_that_are_missing_are_named_when_the_model_is_loaded(fails, tmp_path):
    nodes = [
        helper.make_node("Frobnicate", ["x"], ["a"], name="first", domain="com.example"),
        helper.make_node("Frobnicate", ["a"], ["b"], name="second", domain="com.example"),
        helper.make_node("Transmogrify", ["b"], ["y"], name="third", domain="com.example"),
    ]
    model = model_of(nodes, {"x": (1, [2])}, {"y": (1, [2])})
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    line = fails("run", saved(tmp_path, model), tmp_path / "no.npy")
    for part in ("Frobnicate", "Transmogrify", "'first'", "'second'", "'third'"):
        assert part in line


@pytest.mark.parametrize("kind", ["parent", "absolute", "link"])
def test_external_data_outside_the_folder(fails, tmp_path, kind):
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(48))
    (folder / "link.bin").symlink_to(secret)
    location = {"parent": "../secret.bin", "absolute": str(secret), "link": "link.bin"}[kind]
    model = linear()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert onnx.ModelProto.FromString(path.read_bytes()) == model
    assert "outside the model's own folder, which is refused" in fails("run", path)


@pytest.mark.parametrize("top", [[], ["--top", "1"]])
def test_an_output_file_that_cannot_be_written(fails, model, rows, tmp_path, top):
    before = sorted(path.name for path in tmp_path.iterdir())
    for target, sentence in (
        (tmp_path / "no" / "out.npy", "cannot be written: No such file or directory"),
        (tmp_path / "x.npy" / "out.npy", "cannot be written: Not a directory"),
        (tmp_path / "out.txt", "must end in .npy or .npz"),
    ):
        assert sentence in fails("run", model, rows, "-o", target, *top)
    folder = tmp_path / "folder.npy"
    folder.mkdir()
    assert "no regular file" in fails("run", model, rows, "-o", folder)
    folder.rmdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_disk_that_fills_up_leaves_the_old_file(fails, model, rows, tmp_path, monkeypatch):
    import scratch_onnx.files

    target = tmp_path / "out.npy"
    target.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch_onnx.files.np.lib.format, "write_array_header_1_0", full)
    line = fails("run", model, rows, "-o", target)
    assert line == f"Error: {target} cannot be written: No space left on device\n"
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "out.npy", "x.npy"]


def test_a_run_that_fails_leaves_no_file(fails, tmp_path):
    model = saved(
        tmp_path,
        model_of(
            [helper.make_node("Reshape", ["x", "shape"], ["y"], name="fold")],
            {"x": (1, ["N", 4]), "shape": (7, [1])},
            {"y": (1, None)},
        ),
    )
    rows = saved_array(tmp_path, ROWS)
    shape = saved_array(tmp_path, np.array([5]), "shape.npy")
    line = fails("run", model, rows, shape, "-o", tmp_path / "out.npy")
    assert "'fold' (Reshape, opset 18) failed on x: float32 [7, 4]" in line
    assert not list(tmp_path.glob("*out*"))


def test_several_outputs_do_not_fit_an_npy(fails, tmp_path):
    model, rows = saved(tmp_path, two_inputs()), saved_array(tmp_path, ROWS[:, :2])
    line = fails("run", model, rows, rows, "-o", tmp_path / "out.npy")
    assert "the model has 2 outputs (total, difference): write an .npz" in line
    assert "give an .npz" in fails("run", model, rows, rows, "--expect", rows)


def test_labels(fails, model, rows, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\n", encoding="utf-8")
    line = fails("run", model, rows, "--top", "1", "--labels", labels)
    assert "labels.txt names 2 classes, and the output has 3" in line
    labels.write_bytes(b"\xff\xfe")
    assert "is not a text file in UTF-8" in fails("run", model, rows, "--labels", labels)
    assert "cannot be read" in fails("run", model, rows, "--labels", tmp_path / "no.txt")
    strange = saved(tmp_path, linear(metadata={"class_names": "{}"}))
    assert "'class_names' is no JSON list" in fails("run", strange, rows, "--top", "1")


def test_batches(fails, call, model, rows, tmp_path):
    assert call("run", model, rows, "--batch-size", "0").exit_code == 2
    fixed = saved(tmp_path, linear(batch=2), "fixed.onnx")
    assert "2 rows at a time by its shape, and 7" in fails("run", fixed, rows, "--batch-size", 2)
    assert "nothing to cut" in fails("run", fixed, rows, "--batch-size", 3)
    pair = saved(tmp_path, two_inputs(), "pair.onnx")
    five, six = (saved_array(tmp_path, np.zeros((n, 2), np.float32), f"{n}.npy") for n in (5, 6))
    line = fails("run", pair, five, six, "--batch-size", 2)
    assert "different numbers of rows: 'left' 5, 'right' 6" in line
    total = saved(
        tmp_path,
        model_of(
            [helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])],
            {"x": (1, ["N", 4])},
            {"y": (1, [4, "N"])},
        ),
        "transpose.onnx",
    )
    assert "does not grow with the batch" in fails("run", total, rows, "--batch-size", 2)


def test_expect(fails, model, rows, tmp_path):
    np.savez(tmp_path / "bad.npz", z=ROWS)
    assert "'z', which is no output" in fails("run", model, rows, "--expect", tmp_path / "bad.npz")
    assert "no.npy: no such file" in fails("run", model, rows, "--expect", "no.npy")


def test_names_of_a_file_cannot_move_the_terminal(call, tmp_path, rows):
    model = linear()
    model.graph.output[0].name = model.graph.node[0].output[0] = "y\x1b[31m"
    result = call("run", saved(tmp_path, model), rows)
    assert result.exit_code == 0
    assert "\x1b" not in result.output


@pytest.mark.skipif(os.name == "nt", reason="limits are POSIX's")
@pytest.mark.parametrize("name", ["out.npy", "out.npz"])
def test_what_was_streamed_to_a_disk_that_fills_up_is_removed(model, tmp_path, name):
    """What is still in a buffer cannot be written when the file is closed, either."""
    rows = saved_array(tmp_path, np.tile(ROWS, (3000, 1)))
    script = (
        "import resource, sys\n"
        "from scratch_onnx.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        f"sys.argv = ['scratch-onnx', 'run', {model!r}, {rows!r}, '--batch-size', '10', "
        f"'-o', {str(tmp_path / name)!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"Error: {tmp_path / name} cannot be written: File too large\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "x.npy"]


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_standard_output_that_cannot_be_written(model, rows):
    with FULL.open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "run", model, rows], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"Error: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("redirection", "code", "line"),
    [("<&-", 1, b"Error: standard input is closed\n"), (">&-", 0, b"")],
)
@pytest.mark.skipif(os.name == "nt", reason="the shell is POSIX's")
def test_closed_streams(model, rows, redirection, code, line):
    given = "-" if "<" in redirection else rows
    command = shlex.join([*COMMAND, "run", model, given])
    done = subprocess.run(["sh", "-c", f"{command} {redirection}"], stderr=subprocess.PIPE)
    assert done.returncode == code
    assert done.stderr == line


def test_an_empty_path(fails, model):
    assert "an empty path" in fails("run", model, "")
    assert "an empty path" in fails("run", model, "x=")

"""Files of every form, and files that are not what they claim to be."""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from oracles import assert_same

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter import LoadError, ModelError, UnsupportedError
from scratch_onnx.interpreter.loading import load


def float_info(name: str, shape: Any) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model_of(*initializers: TensorProto, nodes: Any = None, **options: Any) -> ModelProto:
    """``y = x + w``, or other nodes."""
    nodes = nodes or [helper.make_node("Add", ["x", "w"], ["y"], name="sum")]
    graph = helper.make_graph(
        nodes, "g", [float_info("x", [None])], [float_info("y", [None])], list(initializers)
    )
    options.setdefault("opset_imports", [helper.make_opsetid("", 18)])
    return helper.make_model(graph, ir_version=options.pop("ir_version", 8), **options)


W = np.float32([1, 2, 3])
X = np.float32([10, 20, 30])
ADD = model_of(numpy_helper.from_array(W, "w"))


def run(source: Any) -> Any:
    return so.InferenceSession(source).run(None, {"x": X})[0]


def test_a_path_bytes_or_a_proto(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(ADD, path)
    data = path.read_bytes()
    for source in (str(path), path, data, bytearray(data), memoryview(data), ADD):
        assert run(source).tolist() == [11, 22, 33]


@pytest.mark.parametrize("suffix", ["onnxtxt", "textproto", "prototxt", "pbtxt", "json", "JSON"])
def test_text_forms(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model.{suffix}"
    form = {"prototxt": "textproto", "pbtxt": "textproto"}.get(suffix, suffix.lower())
    onnx.save(ADD, path, format=form)
    assert run(path).tolist() == [11, 22, 33]
    path.write_bytes(path.read_bytes()[:-20] + b"}{")
    with pytest.raises(LoadError, match="not an ONNX model"):
        load(path)


@pytest.mark.parametrize("ir_version", range(3, onnx.IR_VERSION + 1))
def test_ir_versions(ir_version: int) -> None:
    model = model_of(numpy_helper.from_array(W, "w"), ir_version=ir_version)
    if ir_version < 4:  # initialisers had to be inputs
        model.graph.input.append(float_info("w", [3]))
    assert run(model).tolist() == [11, 22, 33]


def test_ir_version_1_had_one_opset() -> None:
    model = model_of(
        numpy_helper.from_array(W, "w"),
        nodes=[helper.make_node("Add", ["x", "w"], ["y"], broadcast=0)],
        opset_imports=[],
        ir_version=1,
    )
    del model.opset_import[:]
    assert run(model).tolist() == [11, 22, 33]


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"none\.onnx: no such file"):
        load(tmp_path / "none.onnx")
    with pytest.raises(LoadError, match="cannot be read: Is a directory"):
        load(tmp_path)
    whole = ADD.SerializeToString()
    for name, data in {
        "empty": b"",
        "text": b"hello, I am no model at all",
        "truncated": whole[: len(whole) // 2],
        "png": b"\x89PNG\r\n\x1a\n" + bytes(40),
        "zip": b"PK\x03\x04" + bytes(40),
    }.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(data)
        with pytest.raises(LoadError, match=rf"{name}\.onnx is not an ONNX model"):
            load(path)
        with pytest.raises(LoadError, match="the model is not an ONNX model"):
            load(data)


@given(st.integers(0, len(ADD.SerializeToString()) - 1))
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(LoadError):
        load(ADD.SerializeToString()[:length])


@given(st.integers(0, len(ADD.SerializeToString()) - 1), st.integers(1, 255))
def test_a_damaged_file_never_escapes_the_errors(position: int, change: int) -> None:
    data = bytearray(ADD.SerializeToString())
    data[position] ^= change
    with suppress(so.ScratchOnnxError):  # a name or a weight may still be right: it may run
        so.InferenceSession(bytes(data)).run(None, {"x": X})


def test_versions_that_are_not_known() -> None:
    w = numpy_helper.from_array(W, "w")
    with pytest.raises(UnsupportedError, match="IR version 99"):
        load(model_of(w, ir_version=99))
    with pytest.raises(UnsupportedError, match=r"opset 99 of ai\.onnx; .* knows up to"):
        load(model_of(w, opset_imports=[helper.make_opsetid("", 99)]))
    ml = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 99)]
    with pytest.raises(UnsupportedError, match=r"opset 99 of ai\.onnx\.ml"):
        load(model_of(w, opset_imports=ml))
    with pytest.raises(ModelError, match="the first is 1"):
        load(model_of(w, opset_imports=[helper.make_opsetid("", 0)]))
    none = model_of(w)
    del none.opset_import[:]
    with pytest.raises(ModelError, match="imports no opset"):
        load(none)
    other = [helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", name="scale")]
    with pytest.raises(ModelError, match=r"'scale' .* 'ai\.onnx\.ml', of which the model imports"):
        load(model_of(nodes=other))
    with pytest.raises(ModelError, match=r"'ai\.onnx', of which the model imports no opset"):
        load(model_of(w, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)]))


def tensor(**fields: Any) -> TensorProto:
    return TensorProto(**{"name": "w", "data_type": TensorProto.FLOAT, "dims": [3], **fields})


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (tensor(raw_data=bytes(8)), r"'w' holds 8 bytes; its dims \[3\] of float32 need 12"),
        (tensor(raw_data=bytes(16)), "holds 16 bytes"),
        (tensor(raw_data=bytes(12), dims=[2**40, 2**40]), "holds 12 bytes"),
        (tensor(float_data=[1, 2]), "does not hold what its dims"),
        (tensor(raw_data=bytes(12), dims=[-3]), r"negative dimension: \[-3\]"),
        (tensor(raw_data=bytes(12), data_type=99), "no tensor element type has the number 99"),
        (tensor(raw_data=bytes(1), data_type=TensorProto.INT4), "holds 1 bytes"),
        (tensor(raw_data=bytes(3), data_type=TensorProto.BFLOAT16), "holds 3 bytes"),
        (tensor(string_data=[b"a"], data_type=TensorProto.STRING), "holds 1 elements"),
        (tensor(raw_data=bytes(12), name=""), "an initialiser has no name"),
    ],
)
def test_tensors_that_are_not_what_they_claim(broken: TensorProto, rule: str) -> None:
    with pytest.raises(ModelError, match=rule):
        load(model_of(broken))


def test_initialisers_of_one_name() -> None:
    w = numpy_helper.from_array(W, "w")
    with pytest.raises(ModelError, match="two initialisers have the name 'w'"):
        load(model_of(w, w))


@pytest.mark.parametrize(
    "dtype",
    [
        np.int8,
        np.uint64,
        np.float16,
        np.complex64,
        np.bool_,
        ml_dtypes.bfloat16,
        ml_dtypes.int4,
        ml_dtypes.uint4,
        ml_dtypes.int2,
        ml_dtypes.uint2,
        ml_dtypes.float8_e4m3fn,
        ml_dtypes.float8_e5m2fnuz,
        ml_dtypes.float4_e2m1fn,
        object,
    ],
)
@pytest.mark.parametrize("where", ["bytes", "fields", "file"])
def test_every_dtype_is_read(tmp_path: Path, dtype: Any, where: str) -> None:
    value = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]).astype(dtype)
    if dtype is object:
        value = value.astype(str).astype(object)
        if where == "file":
            return
    proto = numpy_helper.from_array(value, "w")
    if where == "fields" and dtype is not object:
        numbers = (
            value.astype(np.float32).ravel().tolist()
            if np.dtype(dtype).kind != "c"
            else (value.ravel().tolist())
        )
        proto = helper.make_tensor("w", proto.data_type, value.shape, numbers)
    # Identity does not take every type in the standard: only loading is looked at.
    model = model_of(proto, nodes=[helper.make_node("Neg", ["x"], ["y"])])
    path = tmp_path / "model.onnx"
    external = {"save_as_external_data": True, "size_threshold": 0} if where == "file" else {}
    onnx.save(model, path, **external)
    read = load(path).graph.initializers["w"]
    assert read.dtype == value.dtype
    assert read.tolist() == value.tolist()
    assert not read.flags.writeable


# External data


def external(location: str, array: Any, offset: int | None = None, **entries: Any) -> TensorProto:
    """A tensor whose data lie in another file."""
    proto = numpy_helper.from_array(array, "w")
    proto.ClearField("raw_data")
    proto.data_location = TensorProto.EXTERNAL
    if offset is not None:
        entries["offset"] = offset
    for key, value in {"location": location, **entries}.items():
        proto.external_data.add(key=key, value=str(value))
    return proto


def saved(folder: Path, model: ModelProto, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())  # as it is: onnx.save would look for the data
    return path


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a.bin", "b.bin", "deep/c.bin"]), st.integers(0, 5), st.integers(0, 3)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_several_files_and_offsets(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[str, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("model")
    (folder / "deep").mkdir()
    files: dict[str, bytes] = {}
    tensors, nodes, total = [], [], "x"
    expected = np.float32([1])
    for number, (name, size, gap) in enumerate(parts):
        values = np.arange(size, dtype=np.float32) + number
        before = files.get(name, b"") + bytes(gap)
        proto = external(name, values, len(before), length=values.nbytes)
        proto.name = f"w{number}"
        tensors.append(proto)
        files[name] = before + values.tobytes()
        nodes.append(helper.make_node("Concat", [total, proto.name], [f"t{number}"], axis=0))
        total = f"t{number}"
        expected = np.concatenate([expected, values])
    nodes.append(helper.make_node("Identity", [total], ["y"]))
    for name, data in files.items():
        (folder / name).write_bytes(data)
    path = saved(folder, model_of(*tensors, nodes=nodes))
    assert_same(so.InferenceSession(path).run(None, {"x": np.float32([1])}), [expected])


def test_what_is_mapped_is_not_copied(tmp_path: Path) -> None:
    rows, columns = 700_000, 1_000  # 2.8 GB, of which the file holds nothing but holes
    data = tmp_path / "w.bin"
    with data.open("wb") as file:
        file.truncate(rows * columns * 4)
        file.seek(5 * columns * 4)
        file.write(np.float32([7]).tobytes())
    proto = external("w.bin", np.zeros(0, np.float32))
    proto.dims[:] = [rows, columns]
    index = numpy_helper.from_array(np.array([5]), "i")
    nodes = [
        helper.make_node("Gather", ["w", "i"], ["row"]),
        helper.make_node("Add", ["row", "x"], ["y"]),
    ]
    model = model_of(proto, index, nodes=nodes)
    model.graph.output[0].CopyFrom(float_info("y", [None, None]))
    path = saved(tmp_path, model)
    weights = load(path).graph.initializers["w"]
    base: Any = weights
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    (y,) = so.InferenceSession(path).run(None, {"x": np.zeros(columns, np.float32)})
    assert y[0, :2].tolist() == [7, 0]


def test_small_ones_are_plain_arrays_and_pickle(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(W.tobytes())
    session = so.InferenceSession(saved(tmp_path, model_of(external("w.bin", W))))
    assert type(session.model.graph.initializers["w"]) is np.ndarray
    again = pickle.loads(pickle.dumps(session))
    assert again.run(None, {"x": X})[0].tolist() == [11, 22, 33]


def test_data_from_outside_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(W.tobytes())
    (folder / "link.bin").symlink_to(secret)
    (folder / "away").symlink_to(tmp_path)
    for location in (
        "../secret.bin",
        "away/../secret.bin",
        "away/secret.bin",
        str(secret),
        "link.bin",
        "",
        ".",
        "..",
        "a\0b",
    ):
        with pytest.raises(LoadError, match=r"refused|which is no file"):
            load(saved(folder, model_of(external(location, W))))


def test_a_link_inside_the_folder_and_a_linked_model(tmp_path: Path) -> None:
    # As model hubs keep what they download: names are links to blobs.
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots"
    blobs.mkdir()
    snapshot.mkdir()
    (blobs / "1234").write_bytes(W.tobytes())
    saved(blobs, model_of(external("w.bin", W)), "5678")
    (snapshot / "model.onnx").symlink_to(blobs / "5678")
    (snapshot / "w.bin").symlink_to(blobs / "1234")
    assert run(snapshot / "model.onnx").tolist() == [11, 22, 33]


@pytest.mark.parametrize(
    ("entries", "rule"),
    [
        ({"length": 8}, "the entry says 8"),
        ({"offset": 4}, "and the file has 12"),
        ({"offset": -4}, "from -4"),
        ({"offset": "four"}, "no number"),
        ({"length": "all"}, "no number"),
    ],
)
def test_wrong_offsets_and_lengths(tmp_path: Path, entries: dict[str, Any], rule: str) -> None:
    (tmp_path / "w.bin").write_bytes(W.tobytes())
    with pytest.raises(LoadError, match=rule):
        load(saved(tmp_path, model_of(external("w.bin", W, **entries))))


def test_data_that_are_not_there(tmp_path: Path) -> None:
    model = model_of(external("w.bin", W))
    with pytest.raises(LoadError, match="no such file"):
        load(saved(tmp_path, model))
    (tmp_path / "w.bin").mkdir()
    with pytest.raises(LoadError, match="which is no file"):
        load(saved(tmp_path, model))
    with pytest.raises(LoadError, match="load the model from its path"):
        load(model.SerializeToString())
    letters = external("w.bin", np.array(["a"], object))
    with pytest.raises(ModelError, match="strings cannot lie outside"):
        load(saved(tmp_path, model_of(letters)))


# Sparse initialisers


def sparse(values: Any, indices: Any, dims: list[int]) -> Any:
    return helper.make_sparse_tensor(
        numpy_helper.from_array(np.asarray(values), "w"),
        numpy_helper.from_array(np.asarray(indices), "i"),
        dims,
    )


def with_sparse(proto: Any) -> ModelProto:
    model = model_of()
    model.graph.sparse_initializer.append(proto)
    return model


@given(st.lists(st.integers(0, 11), unique=True), st.booleans())
def test_sparse_initialisers(places: list[int], coordinates: bool) -> None:
    places.sort()
    values = np.arange(1, len(places) + 1, dtype=np.float32)
    expected = np.zeros((3, 4), np.float32)
    expected.flat[places] = values
    indices = np.array(places, np.int64)
    if coordinates:
        indices = np.stack(np.unravel_index(indices, (3, 4)), -1).astype(np.int64)
    model = with_sparse(sparse(values, indices, [3, 4]))
    model.graph.output[0].CopyFrom(float_info("y", [3, 4]))
    (y,) = so.InferenceSession(model).run(None, {"x": np.float32([0])})
    assert_same([y], [expected])


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (sparse(W, [0, 1, 3], [3]), "outside its dims"),
        (sparse(W, [0, 1, -1], [3]), "outside its dims"),
        (sparse(W, [0, 1], [3]), "indices of shape"),
        (sparse(W, [[0, 0], [1, 1], [1, 4]], [2, 3]), "outside its dims"),
        (sparse(W, [[0], [1], [2]], [2, 3]), "indices of shape"),
        (sparse(W[:0], np.zeros(0, np.int64), [-2]), "negative dimension"),
        (sparse(W[:0], np.zeros(0, np.int64), [2**40, 2**20]), "does not fit into memory"),
    ],
)
def test_sparse_initialisers_that_are_wrong(broken: Any, rule: str) -> None:
    with pytest.raises(LoadError, match=rule):
        load(with_sparse(broken))


# Depth


def nested(depth: int) -> ModelProto:
    """``If`` in ``If`` in ``If``: the innermost gives x + x."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y0"])], "g0", [], [float_info("y0", None)]
    )
    for level in range(1, depth + 1):
        name = f"y{level}"
        node = helper.make_node("If", ["c"], [name], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], f"g{level}", [], [float_info(name, None)])
    truth = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    top = helper.make_graph(
        list(graph.node), "top", [float_info("x", [None]), truth], [float_info(f"y{depth}", None)]
    )
    return helper.make_model(top, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_subgraphs_nest_but_so_deep() -> None:
    session = so.InferenceSession(nested(5))
    assert session.run(None, {"x": X, "c": np.array(True)})[0].tolist() == [20, 40, 60]
    proto = nested(0)
    graph = proto.graph
    for level in range(40):  # in place, as no message of that depth can be copied
        node = graph.node.add(op_type="If", input=["c"], output=[f"z{level}"])
        attribute = node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH)
        graph = attribute.g
    with pytest.raises(ModelError, match="nests deeper than 32"):
        load(proto)

"""onnxruntime's call surface: what may be asked of a session, what may be fed, and what stays."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import model, node, onnxruntime
from onnx import ModelProto, helper, numpy_helper
from oracles import assert_same

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter import InputError, LoadError

RNG = np.random.default_rng(0)
W = np.float32([[1, 0, -1], [2, 1, 0]])
X = np.float32([[1, 2], [3, 4], [5, 6]])
# By hand: x · w, its sum over each row, and x itself.
PRODUCT = np.float32([[5, 2, -1], [11, 4, -3], [17, 6, -5]])
SUMS = np.float32([6, 12, 18])


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


def product() -> ModelProto:
    """product = x · w, sums = its rows' sums, same = x."""
    made = model(
        [
            node("MatMul", "x w", "product"),
            node("ReduceSum", "product axes", "sums", keepdims=0),
            node("Identity", "x", "same"),
        ],
        {"x": ["rows", 2]},
        ["product", "sums", "same"],
        {"w": W, "axes": np.array([1])},
    )
    made.producer_name, made.domain, made.model_version = "tests", "com.example", 7
    made.doc_string, made.graph.doc_string = "multiplies", "a product"
    helper.set_model_props(made, {"class_names": '["a", "b", "c"]'})
    return made


def identity(dtype: Any, shape: list[Any] | None = None) -> so.InferenceSession:
    nodes = [node("Identity", "x", "y")]
    return so.InferenceSession(
        model(nodes, {"x": ["N"] if shape is None else shape}, ["y"], dtypes={"x": dtype})
    )


@pytest.fixture
def session() -> so.InferenceSession:
    return so.InferenceSession(product())


# What a session says of itself


def test_it_says_what_onnxruntime_says(session: so.InferenceSession) -> None:
    import onnxruntime as ort

    other = ort.InferenceSession(product().SerializeToString())
    for ask in ("get_inputs", "get_outputs", "get_overridable_initializers"):
        ours, theirs = getattr(session, ask)(), getattr(other, ask)()
        assert [(v.name, v.shape, v.type) for v in ours] == [
            (v.name, v.shape, v.type) for v in theirs
        ]
    ours, theirs = session.get_modelmeta(), other.get_modelmeta()
    for field in (
        "producer_name graph_name domain description graph_description version custom_metadata_map"
    ).split():
        assert getattr(ours, field) == getattr(theirs, field), field
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_free_dimensions_have_a_name_or_none() -> None:
    proto = model([node("Relu", "x", "y")], {"x": ["N", 3, None]}, ["y"])
    (x,) = so.InferenceSession(proto).get_inputs()
    assert x.shape == ["N", 3, None]


def test_overridable_initialisers() -> None:
    proto = product()
    proto.graph.input.append(helper.make_tensor_value_info("w", 1, [2, 3]))
    session = so.InferenceSession(proto)
    assert [value.name for value in session.get_inputs()] == ["x"]
    (w,) = session.get_overridable_initializers()
    assert (w.name, w.shape, w.type) == ("w", [2, 3], "tensor(float)")
    assert_same(session.run(["product"], {"x": X}), [PRODUCT])
    assert_same(session.run(["product"], {"x": X, "w": 2 * W}), [2 * PRODUCT])
    assert_same(session.run(["product"], {"x": X}), [PRODUCT])
    with pytest.raises(InputError, match=r"'w' wants the shape \[2, 3\]"):
        session.run(None, {"x": X, "w": W.T})


def test_an_overridden_constant_decides_nothing_at_load() -> None:
    """Axes that may be overridden: the batch is not split by those in the file."""
    proto = model(
        [node("ReduceSum", "x axes", "y")], {"x": ["N", 4, 4]}, ["y"], {"axes": np.array([1])}
    )
    proto.graph.input.append(helper.make_tensor_value_info("axes", 7, [1]))
    proto.graph.output[0].CopyFrom(helper.make_empty_tensor_value_info("y"))
    proto.graph.output[0].type.tensor_type.elem_type = 1
    session = so.InferenceSession(proto, threads=2)
    x = normal(32, 4, 4)
    for axis in (1, 0, 2):
        (y,) = session.run(None, {"x": x, "axes": np.array([axis])})
        np.testing.assert_allclose(y, x.sum(axis, keepdims=True), rtol=1e-5, atol=1e-5)


# run


def test_which_outputs_in_which_order(session: so.InferenceSession) -> None:
    assert_same(session.run(None, {"x": X}), [PRODUCT, SUMS, X])
    assert_same(session.run([], {"x": X}), [PRODUCT, SUMS, X])
    assert_same(session.run(["same", "product"], {"x": X}), [X, PRODUCT])
    assert_same(session.run(("sums",), {"x": X}, None), [SUMS])
    assert_same(session.run(["sums", "same", "sums"], {"x": X}), [SUMS, X, SUMS])


def test_names_that_are_not_there(session: so.InferenceSession) -> None:
    with pytest.raises(InputError, match="no output is called 'w'; there are: 'product', 'sums'"):
        session.run(["w"], {"x": X})
    with pytest.raises(InputError, match="a list of names, or None: not 'sums'"):
        session.run("sums", {"x": X})
    with pytest.raises(InputError, match="no input is called 'w'; the model takes: 'x'"):
        session.run(None, {"x": X, "w": W})
    with pytest.raises(InputError, match="input 'x' is missing; the model takes: 'x'"):
        session.run(None, {})
    for feed in (X, [X], None):
        with pytest.raises(InputError, match=r"a dict from input names to arrays, not .*'x'"):
            session.run(None, feed)  # type: ignore[arg-type]


def test_what_onnxruntime_users_pass_besides() -> None:
    options = SimpleNamespace(intra_op_num_threads=1, graph_optimization_level=99)
    session = so.InferenceSession(
        product(), options, ["CUDAExecutionProvider", "CPUExecutionProvider"], [{}, {}]
    )
    assert session.options.threads == 1
    assert_same(session.run(["sums"], {"x": X}, SimpleNamespace()), [SUMS])


@pytest.mark.parametrize(("option", "value"), [("threads", -1), ("precision", "exact")])
def test_options_that_are_none(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{option} must be"):
        so.InferenceSession(product(), **{option: value})


# What may be fed


@pytest.mark.parametrize(
    "x",
    [
        X.tolist(),
        tuple(map(tuple, X.astype(int).tolist())),
        list(X),
        X.astype(">f4"),
        np.asfortranarray(X),
        np.repeat(X, 2, axis=0)[::2],
        X[::-1, ::-1][::-1, ::-1],
        X.view(np.matrix),
        np.ma.masked_array(X, np.zeros_like(X)),
    ],
    ids="list tuples arrays big-endian fortran strided reversed matrix unmasked".split(),
)
def test_arrays_of_every_kind(session: so.InferenceSession, x: Any) -> None:
    outputs = session.run(None, {"x": x})
    assert_same(outputs, [PRODUCT, SUMS, X])
    assert all(type(output) is np.ndarray and output.dtype.isnative for output in outputs)


def test_a_read_only_array_and_a_memory_map(session: so.InferenceSession, tmp_path: Path) -> None:
    x = X.copy()
    x.flags.writeable = False
    assert_same(session.run(None, {"x": x}), [PRODUCT, SUMS, X])
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    outputs = session.run(None, {"x": mapped})
    assert_same(outputs, [PRODUCT, SUMS, X])
    assert type(outputs[2]) is np.ndarray


def test_scalars() -> None:
    session = identity(np.float32, [])
    for given in (2.5, np.float32(2.5), np.array(2.5, np.float32)):
        (y,) = session.run(None, {"x": given})
        assert_same([y], [np.array(2.5, np.float32)])
    with pytest.raises(InputError, match="wants float32"):
        session.run(None, {"x": np.float64(2.5)})


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.int32, bool, object])
def test_another_dtype_is_refused_and_both_are_named(
    session: so.InferenceSession, dtype: Any
) -> None:
    name = np.dtype(dtype).name
    with pytest.raises(
        InputError, match=rf"wants float32 \(float\) and was given {name}: .*astype"
    ):
        session.run(None, {"x": X.astype(dtype)})


def test_numbers_without_a_dtype_become_the_models_where_they_fit() -> None:
    for dtype in (np.int64, np.uint8, np.int8, bool):
        (y,) = identity(dtype).run(None, {"x": [0, 1.0, True]})
        assert_same([y], [np.array([0, 1, 1]).astype(dtype)])
    (y,) = identity(np.int64).run(None, {"x": []})
    assert_same([y], [np.array([], np.int64)])
    for dtype, given, sentence in (
        (np.int64, [1, 2.5], "wants int64 and was given fractions"),
        (bool, [0.5], "wants bool and was given fractions"),
        (np.int8, [300], "out of bounds for int8"),
        (np.uint8, [-1], "out of bounds for uint8"),
        (np.int64, [float("nan")], "cannot convert float NaN"),
        (np.float32, ["1.5"], "was given text"),
        (np.float32, [10**400], "too large"),
        (np.float32, [[1], [2, 3]], "cannot be made an array"),
        (np.float32, None, "was given nothing"),
        (np.float32, {"a": 1}, "was given a map of 1"),
    ):
        with pytest.raises(InputError, match=f"'x' .*{sentence}"):
            identity(dtype).run(None, {"x": given})


def test_a_mask_is_not_ignored(session: so.InferenceSession) -> None:
    with pytest.raises(InputError, match=r"masked array: fill it"):
        session.run(None, {"x": np.ma.masked_array(X, X > 2)})


def test_strings() -> None:
    session = identity(object)
    expected = ["a", "é"]
    for given in (
        expected,
        np.array(expected),
        np.array(expected, object),
        np.array([text.encode() for text in expected]),
    ):
        (y,) = session.run(None, {"x": given})
        assert y.dtype == object
        assert y.tolist() == expected
        assert {type(item) for item in y} <= {str, np.str_}
    with pytest.raises(InputError, match="wants strings and was given NoneType"):
        session.run(None, {"x": np.array(["a", None], object)})
    with pytest.raises(InputError, match="wants strings and was given float32"):
        session.run(None, {"x": X[0]})


def test_shapes_are_checked(session: so.InferenceSession) -> None:
    with pytest.raises(InputError, match=r"wants the shape \[rows, 2\] and was given \[3, 3\]"):
        session.run(None, {"x": normal(3, 3)})
    with pytest.raises(InputError, match=r"was given \[2\]: the rank differs"):
        session.run(None, {"x": X[0]})
    assert_same(session.run(["sums"], {"x": X[:0]}), [SUMS[:0]])


# What comes out

VIEWS = {
    "Identity": ("", {}),
    "Reshape": ("minus", {}),
    "Transpose": ("", {"perm": [1, 0]}),
    "Flatten": ("", {}),
    "Squeeze": ("none", {}),
    "Unsqueeze": ("zero", {}),
    "Slice": ("zero two", {}),
    "Expand": ("wide", {}),
    "Cast": ("", {"to": 1}),
    "Dropout": ("", {}),
    "Clip": ("", {}),
    "Concat": ("", {"axis": 0}),
    "Sum": ("", {}),
    "Tile": ("ones", {}),
    "Pad": ("zeros", {}),
}
CONSTANTS = {
    "minus": np.array([-1]),
    "none": np.array([], np.int64),
    "zero": np.array([0]),
    "two": np.array([2]),
    "wide": np.array([3, 1, 1]),
    "ones": np.array([1, 1]),
    "zeros": np.zeros(4, np.int64),
}


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("op_type", VIEWS)
def test_outputs_are_the_callers_own(op_type: str, optimize: bool) -> None:
    extra, attributes = VIEWS[op_type]
    proto = model(
        [node(op_type, f"x {extra}", "y", **attributes), node("Identity", "y", "z")],
        {"x": ["N", 3]},
        ["y", "z"],
        {name: CONSTANTS[name] for name in extra.split()},
    )
    session = so.InferenceSession(proto, optimize=optimize)
    x = normal(4, 3)
    expected = onnxruntime(proto, {"x": x})
    kept = x.copy()
    x.flags.writeable = False
    first, second = session.run(None, {"x": x}), session.run(None, {"x": x})
    assert_same([*first, *second], [*expected, *expected])
    arrays = [x, *first, *second]
    for index, array in enumerate(arrays):
        assert not any(np.shares_memory(array, other) for other in arrays[index + 1 :])
    for array in arrays[1:]:
        assert array.flags.c_contiguous
        array[...] = 99
    assert_same([x], [kept])
    assert_same(session.run(None, {"x": x}), expected)


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("op_type", ["Identity", "Transpose", "Softmax", "Expand"])
def test_constants_cannot_be_changed_through_an_output(op_type: str, optimize: bool) -> None:
    c = normal(3, 3)
    proto = model(
        [
            node(op_type, "c s" if op_type == "Expand" else "c", "y"),
            node("MatMul", "x y", "z"),
        ],
        {"x": ["N", 3]},
        ["y", "z"],
        {"c": c, "s": np.array([3, 3])},
    )
    session = so.InferenceSession(proto, optimize=optimize)
    x = normal(2, 3)
    before = session.run(None, {"x": x})
    expected = [output.copy() for output in before]
    before[0][...] = 99
    assert_same(session.run(None, {"x": x}), expected)


def test_fast_kernels_keep_no_output() -> None:
    proto = model(
        [
            node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
            node("Relu", "c", "r"),
            node("Flatten", "r", "f"),
            node("Gemm", "f d", "y"),
        ],
        {"x": ["N", 3, 4, 4]},
        ["r", "y"],
        {"w": normal(16, 3, 3, 3), "d": normal(256, 5)},
    )
    session = so.InferenceSession(proto)
    for batch in (1, 3, 16):
        x, other = normal(batch, 3, 4, 4), normal(batch, 3, 4, 4)
        first = session.run(None, {"x": x})
        kept = [output.copy() for output in first]
        second = session.run(None, {"x": other})
        assert_same(first, kept)
        assert not any(np.shares_memory(a, b) for a in first for b in second)


def test_sequences_are_the_callers_own() -> None:
    proto = model(
        [node("SequenceConstruct", "x x", "s"), node("SequenceAt", "s one", "y")],
        {"x": [3]},
        ["s", "y"],
        {"one": np.array(1)},
    )
    x = normal(3)
    (first, second), third = so.InferenceSession(proto).run(None, {"x": x})
    arrays = [x, first, second, third]
    for index, array in enumerate(arrays):
        assert array.tolist() == x.tolist()
        assert not any(np.shares_memory(array, other) for other in arrays[index + 1 :])


# A session never changes


def test_what_it_was_made_from_may_change() -> None:
    proto, x = product(), X.copy()
    session = so.InferenceSession(proto)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(W * 9, "w"))
    del proto.graph.node[:]
    del proto.metadata_props[:]
    outputs = session.run(None, {"x": x})
    x[...] = 99
    session.get_inputs()[0].shape[1] = 5
    session.get_modelmeta().custom_metadata_map["class_names"] = "[]"
    assert_same(outputs, [PRODUCT, SUMS, X])
    assert_same(session.run(None, {"x": X}), [PRODUCT, SUMS, X])
    assert session.get_inputs()[0].shape == ["rows", 2]
    assert session.get_modelmeta().custom_metadata_map == {"class_names": '["a", "b", "c"]'}


def test_bytes_may_change() -> None:
    data = bytearray(product().SerializeToString())
    session = so.InferenceSession(data)
    data[:] = bytes(len(data))
    assert_same(session.run(None, {"x": X}), [PRODUCT, SUMS, X])


def test_initialisers_are_read_only(session: so.InferenceSession) -> None:
    for array in session.model.graph.initializers.values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("options", [{}, {"optimize": False}, {"threads": 1, "precision": "fast"}])
def test_pickles_and_copies(options: dict[str, Any]) -> None:
    session = so.InferenceSession(product(), **options)
    for again in (pickle.loads(pickle.dumps(session)), copy.deepcopy(session), copy.copy(session)):
        assert again.options == session.options
        assert_same(again.run(None, {"x": X}), [PRODUCT, SUMS, X])
        assert again.get_inputs() == session.get_inputs()
        assert again.get_modelmeta() == session.get_modelmeta()


def test_many_threads_share_it() -> None:
    proto = model(
        [node("MatMul", "x w", "a"), node("Relu", "a", "r"), node("MatMul", "r v", "y")],
        {"x": ["N", 16]},
        ["y"],
        {"w": normal(16, 32), "v": normal(32, 4)},
    )
    session = so.InferenceSession(proto, threads=2)
    inputs = [normal(batch, 16) for batch in range(1, 33)]
    expected = [session.run(None, {"x": x}) for x in inputs]
    wrong: list[int] = []

    def work(first: int) -> None:
        for index in range(first, len(inputs), 2):
            for _ in range(3):
                if not np.array_equal(
                    session.run(None, {"x": inputs[index]})[0], expected[index][0]
                ):
                    wrong.append(index)

    workers = [threading.Thread(target=work, args=(index % 8,)) for index in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


# so.run


def test_run_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(product(), path)
    for source in (path, str(path), path.read_bytes(), product(), so.InferenceSession(path)):
        assert_same(so.run(source, X), [PRODUCT, SUMS, X])
    assert_same(so.run(path, x=X), [PRODUCT, SUMS, X])
    assert_same(so.run(path, {"x": X}), [PRODUCT, SUMS, X])
    assert_same(so.run(path, X.tolist()), [PRODUCT, SUMS, X])


def test_run_gives_one_output_as_it_is() -> None:
    proto = model([node("Sub", "a b", "y")], {"a": [2], "b": [2]}, ["y"])
    a, b = np.float32([5, 6]), np.float32([1, 1])
    for y in (so.run(proto, a, b), so.run(proto, a, b=b), so.run(proto, {"a": a}, b=b)):
        assert_same([y], [np.float32([4, 5])])
    for arguments, named, sentence in (
        ((a, b, a), {}, "takes 2 inputs and was given 3"),
        ((a,), {}, "input 'b' is missing"),
        ((a, b), {"a": a}, "'a' is given twice"),
        (({"a": a, "b": b},), {"b": b}, "'b' is given twice"),
        ((a, b), {"c": a}, "no input is called 'c'"),
    ):
        with pytest.raises(InputError, match=sentence):
            so.run(proto, *arguments, **named)


def test_a_path_with_a_null_character() -> None:
    with pytest.raises(LoadError, match="null"):
        so.InferenceSession("a\0b.onnx")

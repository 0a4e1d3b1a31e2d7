"""Features made ready, labels and maps, against onnxruntime.

The Normalizer follows onnxruntime where the specification's formulas are loose: L1 is the sum of
absolute values (there: the sum), L2 keeps the sign (there: the root of a square).

Where onnxruntime 1.32 and the specification part ways: DictVectorizer leaves a key out that is not
in the vocabulary; the specification says that all keys must be in it, so here it is an error.
onnxruntime has no kernels for OneHotEncoder of int32, Binarizer of other than float32, and
Imputer of float64 and int32; its Python binding takes maps to float only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from oracles import assert_same, check_node, run_ours

import scratch_onnx.interpreter as so

ML = {"opset": 1, "domain": "ai.onnx.ml"}
DTYPES = st.sampled_from([np.float32, np.float64, np.int32, np.int64])
SEEDS = st.integers(0, 1000)


def rows(seed: int, *shape: int, dtype: Any = np.float32) -> Any:
    return (np.random.default_rng(seed).normal(size=shape) * 3).astype(dtype)


def numbers(seed: int, count: int) -> list[float]:
    return rows(seed, count).tolist()


@given(SEEDS, st.integers(0, 3), st.integers(1, 4), DTYPES, st.booleans())
def test_scaler(seed: int, N: int, F: int, dtype: Any, each: bool) -> None:
    count = F if each else 1
    options = {"offset": numbers(seed, count), "scale": numbers(seed + 1, count)}
    check_node("Scaler", [rows(seed, N, F, dtype=dtype)], **options, **ML)


@given(SEEDS, st.integers(1, 3), st.integers(1, 4), DTYPES, st.sampled_from(["MAX", "L1", "L2"]))
def test_normalizer(seed: int, N: int, C: int, dtype: Any, norm: str) -> None:
    X = rows(seed, N, C, dtype=dtype)
    check_node("Normalizer", [X], norm=norm, **ML)
    check_node("Normalizer", [X[0]], norm=norm, **ML)


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_normalizer_of_zeros(norm: str) -> None:
    (Y,) = run_ours("Normalizer", [np.zeros((2, 3), np.float32)], norm=norm, **ML)
    assert (Y == 0).all()


@given(SEEDS, st.integers(1, 4), st.booleans(), st.sampled_from([0.0, 1.0, float("nan")]))
def test_imputer_floats(seed: int, F: int, each: bool, replaced: float) -> None:
    X = np.random.default_rng(seed).choice([0.0, 1.0, 2.0, np.nan], (3, F)).astype(np.float32)
    check_node(
        "Imputer",
        [X],
        imputed_value_floats=numbers(seed, F if each else 1),
        replaced_value_float=replaced,
        **ML,
    )


@given(SEEDS, st.integers(1, 4), st.integers(-1, 2))
def test_imputer_integers(seed: int, F: int, replaced: int) -> None:
    X = np.random.default_rng(seed).integers(-1, 3, (3, F))
    check_node("Imputer", [X], imputed_value_int64s=[7], replaced_value_int64=replaced, **ML)


@pytest.mark.parametrize("dtype", [np.float64, np.int32])
def test_imputer_of_the_other_dtypes(dtype: Any) -> None:
    options = {"imputed_value_floats": [2.5], "imputed_value_int64s": [5]}
    (Y,) = run_ours("Imputer", [np.array([[0, 1]], dtype)], **options, **ML)
    assert Y.dtype == dtype
    assert Y.tolist() == [[2.5 if dtype is np.float64 else 5, 1]]


@given(SEEDS, DTYPES, st.sampled_from([-1.0, 0.0, 0.5]))
def test_binarizer(seed: int, dtype: Any, threshold: float) -> None:
    X = rows(seed, 2, 3, dtype=dtype)
    (Y,) = run_ours("Binarizer", [X], threshold=threshold, **ML)
    assert_same([Y], [(X.astype(np.float64) > threshold).astype(dtype)])
    if dtype is np.float32:
        check_node("Binarizer", [X], threshold=threshold, **ML)


@given(
    st.data(),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.sampled_from(["float32", "float64", "int32", "int64", "object"]),
)
def test_array_feature_extractor(data: Any, shape: list[int], dtype: str) -> None:
    X = np.arange(np.prod(shape)).reshape(shape)
    X = X.astype(str).astype(object) if dtype == "object" else X.astype(dtype)
    indices = data.draw(st.lists(st.integers(0, shape[-1] - 1), min_size=1, max_size=4))
    check_node("ArrayFeatureExtractor", [X, np.array(indices)], **ML)


def test_array_feature_extractor_out_of_range() -> None:
    for index in (-1, 3):
        with pytest.raises(so.RunError, match="must lie in 0 to 2"):
            run_ours("ArrayFeatureExtractor", [rows(0, 2, 3), np.array([index])], **ML)


@given(SEEDS, st.lists(st.integers(1, 3), min_size=1, max_size=3), DTYPES)
def test_feature_vectorizer(seed: int, widths: list[int], dtype: Any) -> None:
    inputs = [rows(seed, 2, width, dtype=dtype) for width in widths]
    check_node("FeatureVectorizer", inputs, inputdimensions=widths, **ML)


@pytest.mark.parametrize("dtype", ["int64", "int32", "float32", "float64", "object"])
def test_one_hot_encoder(dtype: str) -> None:
    X = np.array([[1, 4], [7, 9]])
    X = X.astype(str).astype(object) if dtype == "object" else X.astype(dtype)
    categories: dict[str, Any] = {"cats_int64s": [4, 1, 7]}
    if dtype == "object":
        categories = {"cats_strings": ["4", "1", "7"]}
    (Y,) = run_ours("OneHotEncoder", [X], zeros=1, **categories, **ML)
    assert Y.tolist() == [[[0, 1, 0], [1, 0, 0]], [[0, 0, 1], [0, 0, 0]]]
    if dtype != "int32":
        check_node("OneHotEncoder", [X], zeros=1, **categories, **ML)
    with pytest.raises(so.RunError, match="no category"):
        run_ours("OneHotEncoder", [X], zeros=0, **categories, **ML)


def test_category_mapper() -> None:
    options = {"cats_int64s": [3, 1, 2], "cats_strings": ["c", "a", "b"]}
    names = np.array([["a", "b"], ["x", "c"]], object)
    check_node("CategoryMapper", [names], default_int64=-7, **options, **ML)
    check_node("CategoryMapper", [np.array([1, 2, 5])], default_string="none", **options, **ML)


def test_label_encoder_1() -> None:
    names = np.array(["a", "b", "x"], object)
    options = {"classes_strings": ["b", "a"]}
    check_node("LabelEncoder", [names], default_int64=-7, **options, **ML)
    check_node("LabelEncoder", [np.array([[0, 1, 2, -1]])], default_string="?", **options, **ML)


VALUES: dict[str, Any] = {
    "float": (np.float32, [1.5, -2.0, 0.0]),
    "int64": (np.int64, [5, -6, 7]),
    "string": (object, ["a", "b", "ü"]),
}


@pytest.mark.parametrize("keys", VALUES)
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("opset", [2, 4])
def test_label_encoder(keys: str, values: str, opset: int) -> None:
    dtype, known = VALUES[keys]
    X = np.array([[known[2], known[0]], [known[0] * 3, known[1]]], dtype)
    options: dict[str, Any] = {f"keys_{keys}s": known, f"values_{values}s": VALUES[values][1]}
    if opset == 2 and keys == values == "float":
        X = X.astype(np.float32)
    check_node("LabelEncoder", [X], opset=opset, domain="ai.onnx.ml", ir_version=10, **options)
    options[f"default_{values}"] = VALUES[values][1][1]
    check_node("LabelEncoder", [X], opset=opset, domain="ai.onnx.ml", ir_version=10, **options)


@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.int32, np.int64, np.float32])
def test_label_encoder_of_tensors(dtype: Any) -> None:
    options = {
        "keys_tensor": numpy_helper.from_array(np.array([1, 2, 2], dtype)),
        "values_tensor": numpy_helper.from_array(np.array([10, 20, 30], dtype)),
        "default_tensor": numpy_helper.from_array(np.array([7], dtype)),
    }
    X = np.array([[1, 2, 3]], dtype)
    (Y,) = run_ours("LabelEncoder", [X], opset=4, domain="ai.onnx.ml", ir_version=10, **options)
    assert_same([Y], [np.array([[10, 30, 7]], dtype)])  # of equal keys the last


def test_label_encoder_of_nan() -> None:
    options = {"keys_floats": [1.0, float("nan")], "values_strings": ["one", "nan"]}
    X = np.array([np.nan, 1.0, -np.nan, 2.0], np.float32)
    check_node("LabelEncoder", [X], opset=4, domain="ai.onnx.ml", ir_version=10, **options)


def map_model(op_type: str, key: int, value: int, **attributes: Any) -> onnx.ModelProto:
    node = helper.make_node(op_type, ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    map_type = helper.make_map_type_proto(key, helper.make_tensor_type_proto(value, None))
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_value_info("x", map_type)],
        [helper.make_empty_tensor_value_info("y")],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def check_map(model: onnx.ModelProto, x: dict[Any, Any]) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    theirs = ort.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})
    ours = so.InferenceSession(model).run(None, {"x": x})
    assert_same(ours, theirs)
    return ours[0]


@pytest.mark.parametrize("cast_to", ["TO_FLOAT", "TO_INT64", "TO_STRING"])
def test_cast_map(cast_to: str) -> None:
    x = {3: 1.5, 0: 2.0}
    sparse = {"map_form": "SPARSE", "max_map": 5}
    for options in ({}, sparse):
        model = map_model(
            "CastMap", TensorProto.INT64, TensorProto.FLOAT, cast_to=cast_to, **options
        )
        if cast_to == "TO_STRING":  # how a number is written is anybody's choice
            assert so.InferenceSession(model).run(None, {"x": x})[0].dtype == object
        else:
            check_map(model, x)
    model = map_model("CastMap", TensorProto.INT64, TensorProto.STRING, cast_to=cast_to)
    (y,) = so.InferenceSession(model).run(None, {"x": {3: "1", 0: "2"}})
    assert y.tolist() == [["2", "1"] if cast_to == "TO_STRING" else [2, 1]]


@pytest.mark.parametrize("value", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64])
def test_dict_vectorizer(value: int) -> None:
    kind = int if value == TensorProto.INT64 else float
    model = map_model(
        "DictVectorizer", TensorProto.STRING, value, string_vocabulary=["a", "c", "b", "z"]
    )
    x = {"a": kind(4), "c": kind(8)}
    (y,) = so.InferenceSession(model).run(None, {"x": x})
    assert y.tolist() == [[4, 8, 0, 0]]
    assert y.dtype == (np.int64 if kind is int else np.float32)
    if value == TensorProto.FLOAT:
        check_map(model, x)
    doubles = {key: np.float64(number) for key, number in x.items()}
    if value == TensorProto.DOUBLE:
        assert so.InferenceSession(model).run(None, {"x": doubles})[0].dtype == np.float64
    with pytest.raises(so.RunError, match="'q', which is not in the vocabulary"):
        so.InferenceSession(model).run(None, {"x": {"q": kind(1)}})


@pytest.mark.parametrize(
    "labels", [{"classlabels_int64s": [7, 5]}, {"classlabels_strings": ["a", "b"]}]
)
def test_zip_map(labels: dict[str, Any]) -> None:
    import onnxruntime as ort

    node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", **labels)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", 1, [None, 2])],
        [helper.make_empty_tensor_value_info("y")],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    X = rows(0, 3, 2)
    theirs = ort.InferenceSession(model.SerializeToString()).run(None, {"x": X})
    assert so.InferenceSession(model).run(None, {"x": X}) == theirs

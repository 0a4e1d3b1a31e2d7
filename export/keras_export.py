"""From a Keras model to a checked ONNX file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from .check import Tolerance, compare, first_difference
from .errors import ExportError, first_line
from .framework import load_frameworks, predict, versions
from .loading import load_keras
from .naming import apply_names
from .shapes import infer_shapes, name_open_dimensions
from .signature import InputSpec, flatten_sample, input_specs, pack, random_sample
from .text import text_pipeline
from .tidy import tidy
from .tracing import Traced, supported_opsets, trace
from .writing import write_files

__all__ = ["ATOL", "RTOL", "ExportReport", "from_keras", "to_model_proto"]

RTOL = (
    1e-4  # TensorFlow's sum of 50,000 float32 terms is off by 1e-5 of its size; networks are deep
)
ATOL = 1e-5


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        path: the ONNX file.
        vocabulary: the vocabulary's file beside it, for a model with a text pipeline.
        opset: the version of the ONNX operators in it.
        inputs, outputs: their names, in order.
        nodes: the number of nodes in the graph.
        max_abs_diff: the largest absolute difference from Keras on the sample; None if unchecked.
    """

    path: Path
    vocabulary: Path | None
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: int
    max_abs_diff: float | None

    def __str__(self) -> str:
        checked = (
            "not compared with Keras"
            if self.max_abs_diff is None
            else f"largest difference from Keras {self.max_abs_diff:.3g}"
        )
        return f"{self.path}: opset {self.opset}, {self.nodes} nodes, {checked}"


def from_keras(
    model: Any,
    path: str | os.PathLike[str],
    *,
    opset: int = 18,
    class_names: Sequence[str] | None = None,
    sample: Any = None,
    check: bool = True,
    rtol: float = RTOL,
    atol: float = ATOL,
    metadata: Mapping[str, str] | None = None,
    builder: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    vocabulary: Any = None,
    text: Mapping[str, Any] | None = None,
) -> ExportReport:
    """Write a Keras model as an ONNX file, and compare the file with Keras.

    Args:
        model: a Keras model, or what :func:`load_keras` takes: a ``.keras``
            file, a full-model ``.h5``, a SavedModel folder; None with ``builder``.
        path: the file to write. It is written whole or not at all.
        opset: the version of the ONNX operators.
        class_names: names of the classes, stored in the file.
        sample: an input to compare with: one array, a sequence, or a mapping by
            input name, with the batch first. Random numbers if None.
        check: whether to compare at all.
        rtol, atol: an output may be off by ``atol + rtol * max(abs(Keras's output))``.
        metadata: more texts to store in the file.
        builder, weights: see :func:`load_keras`.
        vocabulary: the tokens of a text model, in the order of their ids, or its
            TextVectorization layer. They are written to ``NAME.vocab.txt`` beside ``NAME.onnx``,
            and the file says how to tokenise.
        text: ``standardize``, ``split`` and ``output_sequence_length``, with the
            meanings and defaults of TextVectorization.

    Raises:
        ExportError: the model cannot be loaded or converted, or the result
            differs from Keras; no file is left then.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ExportError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")
    pipeline = text_pipeline(vocabulary, text)
    texts = dict(metadata or {})
    files: dict[Path, bytes] = {}
    beside = None
    if pipeline is not None:
        beside = path.with_suffix(".vocab.txt")
        files[beside] = pipeline.file
        texts |= {"text_vocabulary": beside.name, **pipeline.metadata}
    model = _loaded(model, builder, weights)
    specs = input_specs(model, sample)
    proto = to_model_proto(
        model, opset=opset, class_names=class_names, sample=sample, metadata=texts
    )
    difference = (
        _checked(model, proto, specs, sample, opset, Tolerance(rtol, atol)) if check else None
    )
    files[path] = proto.SerializeToString()
    write_files(files)
    return ExportReport(
        path=path,
        vocabulary=beside,
        opset=opset,
        inputs=tuple(value.name for value in proto.graph.input),
        outputs=tuple(value.name for value in proto.graph.output),
        nodes=len(proto.graph.node),
        max_abs_diff=difference,
    )


def to_model_proto(
    model: Any,
    *,
    opset: int = 18,
    class_names: Sequence[str] | None = None,
    sample: Any = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Convert a Keras model to ONNX without writing or comparing anything.

    See :func:`from_keras` for the arguments, and for what is raised.
    """
    model = _loaded(model, None, None)
    if opset not in supported_opsets():
        raise ExportError(
            f"opset {opset} cannot be written: tf2onnx and the Keras layers go from "
            f"{supported_opsets().start} to {supported_opsets().stop - 1}"
        )
    specs = input_specs(model, sample)
    return _converted(model, specs, opset, sample, class_names, metadata).proto


def _loaded(model: Any, builder: str | None, weights: str | os.PathLike[str] | None) -> Any:
    load_frameworks()
    if model is None or isinstance(model, (str, os.PathLike)) or builder or weights:
        return load_keras(model, builder=builder, weights=weights)
    if not (callable(model) and hasattr(model, "_flatten_layers")):
        raise ExportError(f"a Keras model or its path is needed, and not {type(model).__name__}")
    return model


def _converted(
    model: Any,
    specs: Sequence[InputSpec],
    opset: int,
    sample: Any,
    class_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    *,
    probe: bool = False,
) -> Traced:
    """Trace, tidy and name the model, and write the metadata into it."""
    traced = trace(model, specs, opset, sample=sample, probe=probe)
    try:
        traced.proto = tidy(traced.proto, specs)
        apply_names(traced)
        traced.proto = infer_shapes(traced.proto)
        names = [value.name for value in traced.proto.graph.output]
        name_open_dimensions(traced.proto.graph, dict(zip(names, traced.shapes, strict=True)))
        _describe(traced.proto, model, class_names, metadata)
        onnx.checker.check_model(traced.proto)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            f"what tf2onnx wrote for {model.name!r} is not valid ONNX: {first_line(error)}"
        ) from error
    return traced


def _describe(
    proto: onnx.ModelProto,
    model: Any,
    class_names: Sequence[str] | None,
    metadata: Mapping[str, str] | None,
) -> None:
    from importlib.metadata import version

    proto.producer_name = "scratch-onnx"
    proto.producer_version = version("scratch-onnx")
    proto.doc_string = f"Keras model {model.name!r}"
    texts = versions()
    if class_names is not None:
        _fit_classes(proto, list(class_names))
        texts["class_names"] = json.dumps(list(class_names), ensure_ascii=False)
    onnx.helper.set_model_props(proto, {**texts, **(metadata or {})})


def _fit_classes(proto: onnx.ModelProto, names: list[str]) -> None:
    """Refuse class names whose number is not that of the one output's scores."""
    dims = proto.graph.output[0].type.tensor_type.shape.dim
    scores = dims[-1].dim_value if dims else 0
    if len(proto.graph.output) == 1 and scores > 1 and scores != len(names):
        raise ExportError(f"{len(names)} class names are given, and the model has {scores} classes")


def _checked(
    model: Any,
    proto: onnx.ModelProto,
    specs: Sequence[InputSpec],
    sample: Any,
    opset: int,
    tolerance: Tolerance,
) -> float:
    """The largest difference from Keras; raises where it is beyond the tolerance."""
    arrays = random_sample(model, specs) if sample is None else flatten_sample(sample, specs)
    try:
        expected = predict(model, pack(model, arrays, sample))
    except Exception as error:
        raise ExportError(
            f"Keras cannot compute the sample ({first_line(error)}); give one that it can: "
            "sample= (--sample x.npy)"
        ) from error
    worst, wrong = compare(proto, specs, arrays, expected, tolerance)
    if wrong is None:
        return worst
    probed = _converted(model, specs, opset, sample, probe=True)
    layers = probed.outputs[len(expected) :]
    layer = first_difference(model, probed.proto, layers, specs, arrays, tolerance, sample)
    first = f"the first layer that differs is {layer!r}" if layer else "no layer differs by itself"
    raise ExportError(
        f"the exported model differs from Keras: output {wrong!r} is off by up to {worst:.3g} "
        f"(rtol {tolerance.rtol:g}, atol {tolerance.atol:g}), and {first}; no file was written"
    )

"""Small models and files for the tests of the command line."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

COMMAND = [sys.executable, "-c", "from scratch_onnx.cli import main; main()"]
"""The command line as a process of its own."""

WEIGHTS = np.array([[1, 0, -1], [2, 1, 0], [0, 3, 1], [1, 1, 1]], np.float32)
BIAS = np.array([0.5, -0.5, 0.0], np.float32)
ROWS = np.arange(28, dtype=np.float32).reshape(7, 4) / 8 - 1


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[Any]]],
    outputs: Mapping[str, tuple[int, Sequence[Any]]],
    constants: Mapping[str, np.ndarray[Any, Any]] | None = None,
    metadata: Mapping[str, str] | None = None,
    opset: int = 18,
) -> ModelProto:
    """A model; inputs and outputs are name → (element type, shape)."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    return model


def linear(batch: int | str = "N", metadata: Mapping[str, str] | None = None) -> ModelProto:
    """y = x · WEIGHTS + BIAS, of shape [batch, 4] → [batch, 3]."""
    return model_of(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="dense")],
        {"x": (1, [batch, 4])},
        {"y": (1, [batch, 3])},
        {"w": WEIGHTS, "b": BIAS},
        metadata,
    )


def two_inputs() -> ModelProto:
    """total = left + right and difference = left - right, of shape [N, 2]."""
    return model_of(
        [
            helper.make_node("Add", ["left", "right"], ["total"], name="add"),
            helper.make_node("Sub", ["left", "right"], ["difference"], name="sub"),
        ],
        {"left": (1, ["N", 2]), "right": (1, ["N", 2])},
        {"total": (1, ["N", 2]), "difference": (1, ["N", 2])},
    )


def saved(folder: Path, model: ModelProto, name: str = "model.onnx") -> str:
    """The path of the model, saved."""
    path = folder / name
    onnx.save(model, path)
    return str(path)


def saved_array(folder: Path, array: Any, name: str = "x.npy") -> str:
    """The path of the array, saved as .npy."""
    np.save(folder / name, array)
    return str(folder / name)


def sparse_array(path: Path) -> str:
    """A .npy of zeros, 3 GiB of rows of four float32 that take no room on the disk."""
    count = 3 * 2**30 // 16
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, 4)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + count * 16)
    return str(path)

"""onnx's own ``Backend`` interface, so that its test runner can drive the interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, helper
from onnx.backend.base import Backend, BackendRep, namedtupledict

from .errors import ScratchOnnxError
from .session import InferenceSession
from .types import enum_of_dtype


class ScratchOnnxRep(BackendRep):
    """A prepared model."""

    def __init__(self, session: InferenceSession) -> None:
        self.session = session

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:  # noqa: ARG002
        """Run on inputs in the model's order (or a dict by name); returns a named tuple."""
        if isinstance(inputs, dict):
            feed = inputs
        else:
            values = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            names = [value.name for value in self.session.get_inputs()]
            if len(values) > len(names):  # those that have a default in the file too
                names = [value.name for value in self.session.plan.inputs]
            feed = dict(zip(names, values, strict=False))
        outputs = self.session.run(None, feed)
        outputs_type = namedtupledict("Outputs", [v.name for v in self.session.get_outputs()])
        return outputs_type(*outputs)


class ScratchOnnxBackend(Backend):
    """The interpreter as an onnx backend; the device is always the CPU."""

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether every operator of the model is supported."""
        try:
            cls.prepare(model, device, **kwargs)
        except ScratchOnnxError:
            return False
        return True

    @classmethod
    def prepare(
        cls,
        model: ModelProto,
        device: str = "CPU",
        **kwargs: Any,  # noqa: ARG003
    ) -> ScratchOnnxRep:
        """Load a model."""
        if not cls.supports_device(device):
            raise ValueError(f"the device {device} is not supported: only CPU is")
        return ScratchOnnxRep(InferenceSession(model))

    @classmethod
    def run_model(cls, model: ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> Any:
        """Load and run a model."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run one node, in a model made around it."""
        opset = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        values = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        names = [name for name in node.input if name]
        infos = [
            helper.make_tensor_value_info(name, enum_of_dtype(value.dtype), value.shape)
            for name, value in zip(names, values, strict=True)
        ]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        if outputs_info is not None:
            outputs = [
                helper.make_tensor_value_info(name, enum_of_dtype(dtype), shape)
                for name, (dtype, shape) in zip(node.output, outputs_info, strict=True)
            ]
        graph = helper.make_graph([node], "node", infos, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, opset)])
        return cls.prepare(model, device, **kwargs).run(values)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """CPU only."""
        return device.split(":")[0] == "CPU"


prepare = ScratchOnnxBackend.prepare
run_model = ScratchOnnxBackend.run_model
run_node = ScratchOnnxBackend.run_node
supports_device = ScratchOnnxBackend.supports_device
is_compatible = ScratchOnnxBackend.is_compatible

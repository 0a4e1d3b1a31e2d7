"""Channels last: images as (N, H, W, C) from the first convolution to the last.

NumPy is fastest with the channels innermost, and Keras's models are written so.
One sweep keeps, for each 4-D value, the name of its channels-last twin.
Convolutions and pools read and make twins; what lies between follows where it
can; a Transpose is put in only where a node insists on channels first. The
Transposes that the exporter wrote around Keras's layers end up unused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..checking import reads
from ..fast import FAST
from ..graph import Graph, Node
from ..types import Array, TensorType, Type
from ._index import Index

TO_LAST = (0, 2, 3, 1)
TO_FIRST = (0, 3, 1, 2)
AXIS_LAST = {0: 0, 1: 3, 2: 1, 3: 2}
"""Where each axis of (N, C, H, W) is in (N, H, W, C)."""

_ELEMENTWISE = frozenset(
    "Relu LeakyRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign Clip "
    "ThresholdedRelu Gelu Mish Swish Abs Neg Exp Log Sqrt Reciprocal Floor Ceil Erf Cast Identity "
    "Add Sub Mul Div Max Min Pow Sum Mean Where Not And Or Greater Less Equal".split()
)
_FAST_ELEMENTWISE = frozenset("Activation DynamicQuantize Integers QuantizedAdd".split())


def channels_last(graph: Graph) -> Graph:
    """The graph with float32 convolutions and pools of images on channels-last values."""
    return _Sweep(graph).run()


class _Sweep:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.index = Index(graph)
        self.nodes: list[Node] = []
        self.twins: dict[str, str] = {}
        self.made: set[str] = set()  # channels-first names that no node has written yet
        self.constants: dict[str, Array] = {}
        self.types: dict[str, Type] = {}

    def run(self) -> Graph:
        rules: dict[str, Callable[[Node], bool]] = {
            "Conv": self.conv,
            "MaxPool": self.pool,
            "AveragePool": self.pool,
            "GlobalAveragePool": self.global_pool,
            "BatchNormalization": self.batch_normalization,
            "Transpose": self.transpose,
            "Concat": self.concat,
            "Pad": self.pad,
            "Reshape": self.flatten,
            "Flatten": self.flatten,
            "Squeeze": self.flatten,
            "ReduceMean": self.reduce,
        }
        for node in self.graph.nodes:
            rule = rules.get(node.op_type) if not node.domain else None
            elementwise = _FAST_ELEMENTWISE if node.domain == FAST else _ELEMENTWISE
            if node.domain in ("", FAST) and node.op_type in elementwise:
                rule = self.elementwise
            if node.domain == FAST and node.op_type == "DynamicRange":
                rule = self.dynamic_range
            if rule is None or not rule(node):
                self.keep(node)
        for value in self.graph.outputs:
            self.first(value.name)
        return replace(
            self.graph,
            nodes=tuple(self.nodes),
            initializers={**self.graph.initializers, **self.constants},
            types={**self.graph.types, **self.types},
        )

    # What a rule needs

    def keep(self, node: Node) -> None:
        for name in reads(node):
            self.first(name)
        self.nodes.append(node)

    def first(self, name: str) -> None:
        """See to it that the channels-first value exists."""
        if name in self.made:
            self.made.discard(name)
            self.nodes.append(_transpose(self.twins[name], name, TO_FIRST))

    def last(self, name: str) -> str:
        """The channels-last twin of a value, made where there is none yet."""
        if name not in self.twins:
            twin = f"{name}/channels_last"
            self.nodes.append(_transpose(name, twin, TO_LAST))
            self.remember(name, twin)
        return self.twins[name]

    def remember(self, name: str, twin: str) -> None:
        self.twins[name] = twin
        known = self.index.tensor(name)
        if known is not None and known.shape is not None and twin not in self.graph.types:
            shape = tuple(known.shape[axis] for axis in TO_LAST)
            self.types[twin] = TensorType(known.dtype, shape)

    def emit(
        self, node: Node, op_type: str, x: Sequence[str], domain: str = FAST, **attributes: Any
    ) -> bool:
        """Put in a channels-last node for the first output of ``node``."""
        output = node.outputs[0]
        twin = f"{output}/channels_last"
        self.nodes.append(
            replace(
                node,
                op_type=op_type,
                domain=domain,
                inputs=tuple(x),
                outputs=(twin,),
                attributes=attributes,
            )
        )
        self.remember(output, twin)
        self.made.add(output)
        return True

    def squeezed(self, node: Node, twin: str) -> Node:
        """What makes the first output of ``node`` of images (N, 1, 1, C): (N, C)."""
        spatial = f"{node.outputs[0]}/spatial"
        self.constants[spatial] = np.array([1, 2])
        return Node("Squeeze", (twin, spatial), node.outputs, name=node.name, opset=13)

    def is_image(self, name: str) -> bool:
        known = self.index.tensor(name)
        return (
            known is not None
            and known.dtype == np.float32
            and known.shape is not None
            and len(known.shape) == 4
        )

    # The rules: each returns whether it has dealt with the node

    def conv(self, node: Node) -> bool:
        constants = self.index.constants
        if not self.is_image(node.inputs[0]) or any(
            name not in constants for name in node.inputs[1:] if name
        ):
            return False
        weight = constants[node.inputs[1]]
        bias = constants[node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] else None
        attributes = node.attributes
        kernel = tuple(weight.shape[2:])
        strides = attributes.get("strides", (1, 1))
        dilations = attributes.get("dilations", (1, 1))
        group = attributes.get("group", 1)
        if weight.ndim != 4 or 0 in weight.shape or group < 1 or weight.shape[0] % group:
            return False
        if attributes.get("kernel_shape", kernel) != kernel or weight.dtype != np.float32:
            return False
        channels = self.index.tensor(node.inputs[0])
        assert channels is not None
        assert channels.shape is not None
        if channels.shape[1] != weight.shape[1] * group:
            return False  # the plain kernel says what is wrong
        pads = pads_of(node, self.index, kernel, strides, dilations)
        if pads is None:
            return False
        return self.emit(
            node,
            "Conv",
            [self.last(node.inputs[0])],
            weight=weight.transpose(2, 3, 1, 0),  # a view: each algorithm lays it out as it likes
            bias=bias,
            strides=tuple(strides),
            pads=pads,
            dilations=tuple(dilations),
            group=group,
        )

    def pool(self, node: Node) -> bool:
        attributes = node.attributes
        if (
            not self.is_image(node.inputs[0])
            or len([name for name in node.outputs if name]) > 1
            or attributes.get("ceil_mode", 0)
            or set(attributes.get("dilations", (1,))) != {1}
        ):
            return False
        kernel = tuple(attributes["kernel_shape"])
        strides = tuple(attributes.get("strides", (1, 1)))
        if len(kernel) != 2:
            return False  # it fails when it runs, with a message that names the node
        pads = pads_of(node, self.index, kernel, strides, (1, 1))
        if pads is None or any(pad >= size for pad, size in zip(pads, kernel * 2, strict=True)):
            return False  # a window of padding alone has rules of its own
        options: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "pads": pads}
        if node.op_type == "AveragePool":
            options["count_include_pad"] = attributes.get("count_include_pad", 0)
        return self.emit(node, node.op_type, [self.last(node.inputs[0])], **options)

    def global_pool(self, node: Node) -> bool:
        if not self.is_image(node.inputs[0]):
            return False
        return self.emit(node, "GlobalAveragePool", [self.last(node.inputs[0])])

    def batch_normalization(self, node: Node) -> bool:
        constants = self.index.constants
        if (
            node.inputs[0] not in self.twins
            or not self.is_image(node.inputs[0])
            or len([name for name in node.outputs if name]) > 1
            or any(name not in constants for name in node.inputs[1:])
            or node.opset < 7
            or node.attributes.get("training_mode", 0)
            or not node.attributes.get("spatial", 1)
        ):
            return False
        gamma, beta, mean, variance = (constants[name].astype(float) for name in node.inputs[1:5])
        scale = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
        return self.emit(
            node,
            "Affine",
            [self.twins[node.inputs[0]]],
            scale=scale.astype(np.float32),
            shift=(beta - mean * scale).astype(np.float32),
        )

    def transpose(self, node: Node) -> bool:
        source, output = node.inputs[0], node.outputs[0]
        perm = tuple(node.attributes.get("perm", ()))
        if source in self.twins and len(perm) == 4:
            # The same from the channels-last twin; often nothing is left to do.
            through = tuple(AXIS_LAST[axis] for axis in perm)
            if through == (0, 1, 2, 3):
                self.nodes.append(Node("Identity", (self.twins[source],), (output,), opset=13))
            else:
                self.nodes.append(
                    replace(node, inputs=(self.twins[source],), attributes={"perm": through})
                )
            return True
        if perm == TO_FIRST:
            self.first(source)
            self.remember(output, source)  # the exporter's own: its input is the twin
            self.nodes.append(node)
            return True
        return False

    def concat(self, node: Node) -> bool:
        if any(name not in self.twins for name in node.inputs):
            return False
        axis = node.attributes.get("axis", 1) % 4
        twins = [self.twins[name] for name in node.inputs]
        return self.emit(node, "Concat", twins, domain="", axis=AXIS_LAST[axis])

    def pad(self, node: Node) -> bool:
        """Zeros around an image; a convolution behind takes them into its own pads."""
        twin = self.twins.get(node.inputs[0])
        values = [self.index.constants.get(name) if name else None for name in node.inputs[1:]]
        if twin is None or not self.is_image(node.inputs[0]) or node.opset < 11:
            return False
        if node.attributes.get("mode", "constant") != "constant" or len(node.inputs) > 3:
            return False
        if not values or values[0] is None or values[0].size != 8:
            return False
        if len(values) > 1 and node.inputs[2] and (values[1] is None or values[1].any()):
            return False
        first = [int(pad) for pad in values[0]]
        last = [first[axis + end] for end in (0, 4) for axis in TO_LAST]
        extra = f"{node.outputs[0]}/pads"
        self.constants[extra] = np.array(last)
        return self.emit(node, "Pad", [twin, extra], domain="", mode="constant")

    def flatten(self, node: Node) -> bool:
        """An image of one pixel has the same order of elements in both layouts."""
        name = node.inputs[0]
        known = self.index.tensor(name)
        if name not in self.twins or known is None or known.shape is None:
            return False
        if known.shape[2:] != (1, 1) or name not in self.made:
            return False
        if node.op_type == "Reshape":
            # A 0 copies the input's dimension, which may be another in the twin.
            shape = self.index.constants.get(node.inputs[1])
            if shape is None or (shape[1:] == 0).any():
                return False
        if node.op_type == "Flatten" and node.attributes.get("axis", 1) != 1:
            return False
        if node.op_type == "Squeeze":
            axes = node.attributes.get("axes")
            if axes is None and len(node.inputs) > 1:
                array = self.index.constants.get(node.inputs[1])
                axes = None if array is None else tuple(int(axis) for axis in array)
            if axes is None or {axis % 4 for axis in axes} != {2, 3}:
                return False
            self.nodes.append(self.squeezed(node, self.twins[name]))
            return True
        self.nodes.append(replace(node, inputs=(self.twins[name], *node.inputs[1:])))
        return True

    def reduce(self, node: Node) -> bool:
        """The mean over both spatial axes with the axes kept is a global average pool."""
        axes = node.attributes.get("axes")
        if axes is None and len(node.inputs) > 1 and node.inputs[1]:
            array = self.index.constants.get(node.inputs[1])
            axes = None if array is None else tuple(int(axis) for axis in array)
        if (
            node.inputs[0] not in self.twins
            or not self.is_image(node.inputs[0])
            or axes is None
            or {axis % 4 for axis in axes} != {2, 3}
        ):
            return False
        twin = self.twins[node.inputs[0]]
        if node.attributes.get("keepdims", 1):
            return self.emit(node, "GlobalAveragePool", [twin])
        pooled, known = f"{node.outputs[0]}/pooled", self.index.tensor(node.inputs[0])
        if known is not None and known.shape is not None:
            self.types[pooled] = TensorType(known.dtype, (known.shape[0], 1, 1, known.shape[1]))
        self.nodes.append(
            replace(
                node,
                op_type="GlobalAveragePool",
                domain=FAST,
                inputs=(twin,),
                outputs=(pooled,),
                attributes={},
            )
        )
        self.nodes.append(self.squeezed(node, pooled))
        return True

    def dynamic_range(self, node: Node) -> bool:
        """The range of an image's values, in whichever order they are."""
        if node.inputs[0] not in self.twins:
            return False
        self.nodes.append(replace(node, inputs=(self.twins[node.inputs[0]],)))
        return True

    def elementwise(self, node: Node) -> bool:
        """Follow where all images have twins; constants are turned, scalars stay.

        What is one number a channel is turned when it runs: no element changes its place.
        """
        names = [name for name in node.inputs if name]
        if len(node.outputs) != 1 or "axis" in node.attributes or "broadcast" in node.attributes:
            return False
        if not any(name in self.twins for name in names):
            return False
        if self.index.rank(node.outputs[0]) != 4:
            return False
        inputs = []
        for name in node.inputs:
            if not name or name in self.twins:
                inputs.append(self.twins.get(name, ""))
                continue
            array = self.index.constants.get(name)
            if array is None:
                known = self.index.tensor(name)
                if known is None or known.shape is None:
                    return False
                if len(known.shape) == 4 and known.shape[2:] == (1, 1):
                    inputs.append(self.last(name))
                    continue
                if len(known.shape) > 1:
                    return False
                if len(known.shape) == 1 and known.shape != (1,):
                    return False
                inputs.append(name)
                continue
            if array.ndim > 4:
                return False
            if array.size == 1:
                inputs.append(name)
                continue
            turned = array.reshape((1,) * (4 - array.ndim) + array.shape).transpose(TO_LAST)
            extra = f"{name}/channels_last"
            self.constants[extra] = np.ascontiguousarray(turned)
            inputs.append(extra)
        return self.emit(node, node.op_type, inputs, domain=node.domain, **node.attributes)


def pads_of(
    node: Node,
    index: Index,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[int, int, int, int] | None:
    """The pads of a node on images [N, C, H, W] as numbers: top, left, bottom, right.

    None where they depend on a size that is not known, or are not four from 0 on.
    """
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto == "NOTSET":
        pads = tuple(node.attributes.get("pads", (0, 0, 0, 0)))
        return pads if len(pads) == 4 and min(pads) >= 0 else None
    if auto == "VALID":
        return (0, 0, 0, 0)
    known = index.tensor(node.inputs[0])
    assert known is not None
    assert known.shape is not None
    before, after = [], []
    for axis in range(2):
        size = known.shape[2 + axis]
        if not isinstance(size, int):
            return None
        span = (kernel[axis] - 1) * dilations[axis] + 1
        total = max(0, (-(-size // strides[axis]) - 1) * strides[axis] + span - size)
        small, large = total // 2, total - total // 2
        before.append(small if auto == "SAME_UPPER" else large)
        after.append(large if auto == "SAME_UPPER" else small)
    return before[0], before[1], after[0], after[1]


def _transpose(source: str, target: str, perm: tuple[int, ...]) -> Node:
    return Node(
        "Transpose", (source,), (target,), {"perm": perm}, name=f"{target}/Transpose", opset=13
    )

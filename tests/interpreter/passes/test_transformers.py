"""Attention, normalisations and what treats every row by itself: each pass on what exporters write,
and on look-alikes where it must not fire. Every graph is run, and compared with onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import check, model, node, steps
from onnx import NodeProto

import scratch_onnx.interpreter as so

RNG = np.random.default_rng(0)
TOKENS = ["N", 5, 8]
HEADS = ["N", 5, 2, 4]


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


CONSTANTS: dict[str, Any] = {
    "eps": np.float32(1e-5),
    "deep": np.full((1, 1, 1, 1), 1e-5, np.float32),
    "deeper": np.full((1, 1, 1, 1, 1), 2, np.float32),
    "half": np.float32(0.5),
    "one": np.float32(1),
    "two": np.float32(2),
    "three": np.float32(3),
    "cubic": np.float32(0.044715),
    "wrong": np.float32(0.04),
    "root": np.float32((2 / np.pi) ** 0.5),
    "scale": np.float32(0.5),
    "lowest": np.float32(-1e38),
    "negative": np.float32(-np.inf),
    "true": np.array(True),
    "last": np.array([-1]),
    "middle": np.array([1]),
    "gain": normal(8),
    "bias": normal(8),
    "row": normal(1, 1, 8),
    "column": normal(5, 1),
    "mask": normal(5, 5),
    "seen": np.tril(np.ones((1, 1, 5, 5), bool)),
    "square": normal(8, 8),
    "wide": normal(8, 16),
    "narrow": normal(16, 8),
}


def lines(text: str) -> list[NodeProto]:
    """``y = Add a b`` on lines of their own; attributes behind ``;`` as Python."""
    nodes = []
    for line in text.strip().splitlines():
        call, _, attributes = line.strip().partition(";")
        outputs, _, rest = call.partition(" = ")
        op_type, _, inputs = rest.strip().partition(" ")
        nodes.append(node(op_type, inputs, outputs, **eval(f"dict({attributes})")))
    return nodes


def ops(
    text: str, shapes: dict[str, list[Any]] | None = None, outputs: str = "y", **options: Any
) -> list[str]:
    """Run the graph every way; the optimised operators."""
    shapes = shapes or {"x": TOKENS}
    nodes = lines(text)
    used = {name for each in nodes for name in each.input}
    constants = {name: CONSTANTS[name] for name in used if name in CONSTANTS}
    proto = model(nodes, shapes, outputs.split(), constants, **options)
    feed = {name: normal(*(3 if d == "N" else d for d in dims)) for name, dims in shapes.items()}
    return check(proto, feed, atol=3e-5)


# Normalisations ----------------------------------------------------------------------------------

TORCH = """
m = ReduceMean x last
d = Sub x m
s = Pow d two
v = ReduceMean s last
a = Add v eps
r = Sqrt a
n = Div d r
p = Mul n gain
y = Add p bias
"""
RECIPROCAL = TORCH.replace("s = Pow d two", "s = Mul d d").replace(
    "n = Div d r", "i = Reciprocal r\nn = Mul i d"
)
RMS = """
s = Mul x x
v = ReduceMean s last
a = Add eps v
r = Sqrt a
i = Reciprocal r
n = Mul x i
y = Mul gain n
"""


@pytest.mark.parametrize(
    "text",
    [
        TORCH,
        RECIPROCAL,
        TORCH.replace("y = Add p bias", "y = Add row p"),
        TORCH.replace("n = Div", "y = Div").partition("p = ")[0],
        RMS,
    ],
)
def test_normalisation_in_several_nodes(text: str) -> None:
    assert ops(text) == ["LayerNormalization*"]


def test_normalisation_of_large_means() -> None:
    """The variance is of the differences, not the mean square less the squared mean."""
    proto = model(lines(TORCH), {"x": TOKENS}, ["y"], {n: CONSTANTS[n] for n in "last two gain bias eps".split()})  # fmt: skip # noqa: E501
    assert check(proto, {"x": normal(3, 5, 8) + np.float32(1000)}, atol=1e-2) == [
        "LayerNormalization*"
    ]


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        (TORCH.replace("Pow d two", "Pow d three"), "y"),  # another power
        (TORCH.replace("ReduceMean s last", "ReduceMean s middle"), "y"),  # another axis
        (TORCH.replace("ReduceMean x last", "ReduceMean x last;keepdims=0"), "y"),
        (TORCH.replace("n = Div d r", "n = Div r d"), "y"),
        (TORCH, "y v"),  # a value between is wanted
        (TORCH.replace("Add v eps", "Add v deep"), "y"),  # which gives the result an axis more
        (TORCH.replace("Pow d two", "Pow d deeper"), "y"),
    ],
)
def test_what_is_only_like_a_normalisation(text: str, outputs: str) -> None:
    shape: list[Any] = [8, 8, 8]
    assert "ReduceMean" in ops(text, {"x": shape}, outputs)


def test_differences_that_others_read_stay() -> None:
    """What is left is the RMSNormalization of the differences."""
    found = ops(TORCH.replace("y = Add p bias", "q = Add p bias\ny = Mul q d"))
    assert "ReduceMean" in found
    assert ops(TORCH, outputs="y d").count("ReduceMean") > 0


def test_scale_of_other_columns_stays_behind() -> None:
    found = ops(TORCH.replace("Mul n gain", "Mul n column"))
    assert found == ["LayerNormalization*", "Mul", "Add"]


SOFTMAX = """
t = ReduceMax x last
d = Sub x t
e = Exp d
s = ReduceSum e last
y = Div e s
"""


@pytest.mark.parametrize("axis", ["last", "middle"])
def test_softmax_in_several_nodes(axis: str) -> None:
    found = ops(SOFTMAX.replace("last", axis).replace("t = ReduceMax x " + axis, f"t = ReduceMax x;axes=[{CONSTANTS[axis][0]}]"), opset=17)  # fmt: skip # noqa: E501
    assert found == ["Softmax*" if axis == "last" else "Softmax"]


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        (SOFTMAX.replace("ReduceSum e last", "ReduceSum e middle"), "y"),
        (SOFTMAX.replace("Div e s", "Div s e"), "y"),
        (SOFTMAX.replace("d = Sub x t", "d = Sub t x"), "y"),
        (SOFTMAX, "y e"),
        (SOFTMAX, "y s"),
    ],
)
def test_what_is_only_like_a_softmax(text: str, outputs: str) -> None:
    assert not {"Softmax", "Softmax*"} & set(ops(text, outputs=outputs))


# Attention ---------------------------------------------------------------------------------------

KERAS = """
a = Einsum q k;equation="btnh,bsnh->bnts"
c = Mul a scale
s = Softmax c
y = Einsum s v;equation="bnts,bsnh->btnh"
"""
TORCH_ATTENTION = """
r = Transpose q;perm=[0, 2, 1, 3]
t = Transpose k;perm=[0, 2, 3, 1]
u_ = Transpose v;perm=[0, 2, 1, 3]
a = MatMul r t
c = Div a two
d = Add mask c
s = Softmax d
w_ = MatMul s u_
y = Transpose w_;perm=[0, 2, 1, 3]
"""
QKV = dict.fromkeys("qkv", HEADS)


@pytest.mark.parametrize(
    "text",
    [
        KERAS,
        # As tf.keras wrote it: keys first.
        KERAS.replace('q k;equation="btnh,bsnh->bnts"', 'k q;equation="aecd,abcd->acbe"').replace(
            '"bnts,bsnh->btnh"', '"acbe,aecd->abcd"'
        ),
        KERAS.replace("c = Mul a scale", "c = Add a mask"),
        KERAS.replace("s v", "v s").replace("bnts,bsnh", "bsnh,bnts"),
        KERAS.replace("c = Mul a scale", "e = Mul scale a\nc = Where seen e lowest"),
        KERAS.replace("c = Mul a scale", "c = Where seen a negative"),
        TORCH_ATTENTION,
        # The factor on queries and keys.
        TORCH_ATTENTION.replace("q;", "qs;")
        .replace("k;", "ks;")
        .replace("r = ", "qs = Mul q scale\nks = Mul k half\nr = ", 1),
    ],
)
def test_attention(text: str) -> None:
    assert ops(text, QKV) == ["Attention*"]


def test_attention_of_keras_with_a_mask() -> None:
    mask = """
c0 = Mul a scale
f = Shape c0
h = Expand true f
n = And h seen
c = Where n c0 lowest
"""
    assert ops(KERAS.replace("c = Mul a scale", mask.strip()), QKV) == ["Attention*"]


def test_attention_over_batch_and_heads_in_one_axis() -> None:
    text = "t = Transpose k;perm=[0, 2, 1]\na = MatMul q t\ns = Softmax a\ny = MatMul s v"
    shapes = {"q": ["N", 5, 4], "k": ["N", 7, 4], "v": ["N", 7, 3]}
    assert ops(text, shapes) == ["Attention*"]


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        (KERAS, "y s"),  # the weights are wanted too
        (KERAS, "y c"),
        (KERAS.replace("Softmax c", "Softmax c;axis=2"), "y"),
        (KERAS.replace("bnts,bsnh->btnh", "bnts,btnh->bsnh"), "y"),  # weighed over the queries
        (KERAS.replace("s = Softmax c", "z = Add c mask\ns_ = Add z mask\ns = Softmax s_"), "y"),
        (KERAS.replace("c = Mul a scale", "o = Add a mask\nc = Mul o scale"), "y"),
        (TORCH_ATTENTION.replace("w_ = MatMul s u_", "w_ = MatMul u_ s"), "y"),
    ],
)
def test_what_is_only_like_attention(text: str, outputs: str) -> None:
    shapes: dict[str, list[Any]] = {name: ["N", 5, 2, 5] for name in "qkv"}
    assert "Attention*" not in ops(text, shapes, outputs)


def test_attention_in_float64_stays() -> None:
    proto = model(lines(KERAS.replace("c = Mul a scale\n", "").replace("Softmax c", "Softmax a")), QKV, ["y"], dtypes=dict.fromkeys("qkv", np.float64))  # fmt: skip # noqa: E501
    assert "Attention*" not in check(proto, {n: normal(3, 5, 2, 4).astype(np.float64) for n in QKV})


@pytest.mark.parametrize(
    ("q", "k", "mask"),
    [
        ((1, 5, 2, 4), (3, 6, 2, 4), None),  # a batch that is broadcast
        ((3, 5, 2, 4), (3, 6, 2, 4), (3, 1, 5, 6)),
        ((3, 1, 2, 4), (3, 6, 2, 4), (3, 1, 5, 6)),  # more rows in the mask than queries
        ((2, 700, 3, 4), (2, 600, 3, 4), (600,)),  # several blocks
    ],
)
def test_shapes_of_attention(
    q: tuple[int, ...], k: tuple[int, ...], mask: tuple[int, ...] | None
) -> None:
    text = KERAS if mask is None else KERAS.replace("c = Mul a scale", "c = Add a mask")
    shapes: dict[str, Any] = {"q": [*"ABCD"], "k": [*"EFGH"], "v": [*"EFGH"]}
    feed = {"q": normal(*q), "k": normal(*k), "v": normal(*k)}
    if mask is not None:
        shapes["mask"] = [*"MNOP"][: len(mask)]
        feed["mask"] = normal(*mask)
    constants = {} if mask is not None else {"scale": CONSTANTS["scale"]}
    assert check(model(lines(text), shapes, ["y"], constants), feed) == ["Attention*"]


@pytest.mark.parametrize("sizes", [(0, 5, 6), (2, 0, 6), (2, 5, 0)])
def test_attention_to_nothing(sizes: tuple[int, int, int]) -> None:
    """(onnxruntime's Einsum ends the process on these.)"""
    batch, queries, keys = sizes
    shapes = {"q": [*"ABCD"], "k": [*"EFGH"], "v": [*"EFGH"]}
    proto = model(lines(KERAS), shapes, ["y"], {"scale": CONSTANTS["scale"]})
    feed = {name: normal(batch, keys, 2, 4) for name in "kv"}
    (y,) = so.InferenceSession(proto).run(None, {"q": normal(batch, queries, 2, 4), **feed})
    assert y.shape == (batch, queries, 2, 4)
    assert not y.any()


def test_scores_of_any_size() -> None:
    """Large scores, infinities that hide keys, and a query that sees none, as onnxruntime."""
    text = KERAS.replace("c = Mul a scale", "c = Add a mask")
    shapes: dict[str, Any] = {**QKV, "mask": [5, 5]}
    mask = np.where(np.tril(np.ones((5, 5))), 0, -np.inf).astype(np.float32)
    proto = model(lines(text), shapes, ["y"])
    feed = {name: normal(3, 5, 2, 4) * np.float32(30) for name in "qkv"}
    check(proto, {**feed, "mask": mask}, atol=1e-3)
    mask[2] = -np.inf
    check(proto, {**feed, "mask": mask}, atol=1e-3)


@pytest.mark.parametrize(
    ("shapes", "attributes", "expected"),
    [
        (([2, 3, 5, 4], [2, 3, 6, 4]), "", "Attention*"),
        (([2, 3, 5, 4], [2, 3, 6, 4]), "scale=0.3", "Attention*"),
        (
            (["N", 5, 12], ["N", 6, 12]),
            "q_num_heads=3, kv_num_heads=3",
            "Reshape Reshape Reshape Attention* Reshape",
        ),
        (([2, 3, 5, 4], [2, 3, 6, 4]), "is_causal=1", "Attention"),
        (([2, 3, 5, 4], [2, 3, 6, 4]), "softcap=2.0", "Attention"),
        (([2, 4, 5, 4], [2, 2, 6, 4]), "", "Attention"),  # two query heads a key head
    ],
)
def test_the_operator_attention(
    shapes: tuple[list[Any], list[Any]], attributes: str, expected: str
) -> None:
    given = {"q": shapes[0], "k": shapes[1], "v": shapes[1]}
    assert ops(f"y = Attention q k v;{attributes}", given, opset=23) == expected.split()


def test_the_operator_attention_with_a_mask_or_a_cache_stays() -> None:
    shapes: dict[str, list[Any]] = {name: [2, 3, 5, 4] for name in "qkv"}
    assert ops("y = Attention q k v mask", shapes, opset=23) == ["Attention"]
    outputs = "y present values"
    assert ops(f"{outputs} = Attention q k v", shapes, outputs, opset=23) == ["Attention"]


# Rows --------------------------------------------------------------------------------------------

BLOCK = """
o = MatMul x square
a = Add x o
n = LayerNormalization a gain bias
h = MatMul n wide
i = Relu h
j = MatMul i narrow
y = Add n j
"""


def test_rows() -> None:
    assert ops(BLOCK) == ["Rows*"]
    assert ops(BLOCK, {"x": ["N", 300, 8]}) == ["Rows*"]
    assert ops(BLOCK, outputs="y n") == ["Rows*"]
    assert ops(BLOCK, {"x": ["N", 8]}) == ["Rows*"]


def test_rows_between_which_others_stand() -> None:
    """A group that would wait for itself is two."""
    text = "a = MatMul x square\nc = Transpose a;perm=[0, 2, 1]\nd = Transpose c;perm=[0, 2, 1]"
    text = text.replace("d = ", "e = Softmax c;axis=1\nd = ").replace("Transpose c", "Transpose e")
    text += "\nf = MatMul d square\ng_ = Add a f\ny = MatMul g_ square"
    assert ops(text) == ["Dense*", "Transpose", "Softmax", "Transpose", "Rows*"]


def test_projections_of_one_value() -> None:
    text = "a = MatMul x square\nc = MatMul x wide\ny = MatMul c narrow"
    assert ops(text, outputs="y a") == ["Rows*"]


@pytest.mark.parametrize(
    "text",
    [
        "a = MatMul x square\ny = Add a column",  # varies along the rows
        "a = MatMul x square\ny = Softmax a;axis=1",
        "a = Relu x\nc = Mul a gain\ny = Add c bias",  # no product
        "a = MatMul x square\ny = Mul a x2",  # of another shape
    ],
)
def test_what_is_not_joined(text: str) -> None:
    shapes: dict[str, list[Any]] = {"x": TOKENS, "x2": [5, 8]}
    if "x2" not in text:
        del shapes["x2"]
    assert "Rows*" not in ops(text, shapes)


def test_shapes_that_only_seem_equal() -> None:
    """Dimensions of one name are not checked: plain nodes broadcast, and so must the joined one."""
    proto = model(lines("a = MatMul x square\nc = Add a x2\ny = MatMul c square"), {"x": TOKENS, "x2": TOKENS}, ["y"], {"square": CONSTANTS["square"]})  # fmt: skip # noqa: E501
    assert check(proto, {"x": normal(3, 5, 8), "x2": normal(1, 5, 8)}) == ["Rows*"]


def test_observers_see_the_nodes_inside() -> None:
    proto = model(
        lines(BLOCK),
        {"x": TOKENS},
        ["y"],
        {n: CONSTANTS[n] for n in "gain bias square wide narrow".split()},
    )
    session = so.InferenceSession(proto)
    assert steps(session) == ["Rows*"]
    seen: list[str] = []

    class Observer:
        def before(self, node: Any, inputs: Any) -> None:
            del node, inputs

        def after(self, node: Any, inputs: Any, outputs: Any) -> None:
            del inputs, outputs
            seen.append(node.op_type)

    session.run(None, {"x": normal(3, 5, 8)}, observer=Observer())
    assert seen == ["Dense", "Add", "LayerNormalization", "Dense", "Dense", "Add"]


# GELU by tanh ------------------------------------------------------------------------------------

GELU = """
c = Pow x three
d = Mul cubic c
e = Add x d
f = Mul root e
t = Tanh f
o = Add one t
h = Mul half x
y = Mul h o
"""


@pytest.mark.parametrize(
    "text",
    [
        GELU,
        GELU.replace("c = Pow x three", "p = Mul x x\nc = Mul p x"),
        """
p = Mul x x
c = Mul p cubic
d = Add c one
e = Mul d root
f = Mul x e
t = Tanh f
o = Add t one
h = Mul o x
y = Mul h half
""",
    ],
)
def test_approximate_gelu(text: str) -> None:
    assert ops(text) == ["Activation*"]


@pytest.mark.parametrize("form", ["none", "tanh"])
def test_the_operator_gelu(form: str) -> None:
    assert ops(f"y = Gelu x;approximate='{form}'", opset=20) == ["Activation*"]


@pytest.mark.parametrize(
    "text",
    [
        GELU.replace("cubic", "wrong"),
        GELU.replace("Pow x three", "Pow x two"),
        GELU.replace("half", "two"),
        GELU.replace("Add one t", "Add two t"),
    ],
)
def test_what_is_only_like_the_approximate_gelu(text: str) -> None:
    assert "Tanh" in ops(text)

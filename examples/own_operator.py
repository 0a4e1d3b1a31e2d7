"""An operator of your own: a plain function under the model's domain.

python examples/own_operator.py
"""

from __future__ import annotations

import numpy as np
import onnx.parser

import scratch_onnx as so


@so.op("Swish", domain="com.example", since=1)
def swish(x: np.ndarray, *, beta: float = 1.0) -> np.ndarray:
    """x sigmoid(beta x): inputs are positional, attributes keyword-only."""
    return x / (1 + np.exp(-beta * x))


MODEL = """
<ir_version: 8, opset_import: ["" : 18, "com.example" : 1]>
net (float[N] x) => (float[N] y) {
    h = com.example.Swish<beta = 2.0>(x)
    y = Add(h, h)
}
"""


def main() -> None:
    """Run a model that uses the operator."""
    session = so.InferenceSession(onnx.parser.parse_model(MODEL))
    (y,) = session.run(None, {"x": np.array([-1, 0, 1], np.float32)})
    print(y)


if __name__ == "__main__":
    main()

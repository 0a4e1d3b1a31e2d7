"""The operator Gradient: ``expand`` replaces it at load, by the ``rules`` of each operator.

The rules of what moves, sums or multiplies along axes are in ``shapes``. Few models train: nothing
of this is loaded without a Gradient.
"""

TRAINING = "ai.onnx.preview.training"
"""The domain of Gradient."""

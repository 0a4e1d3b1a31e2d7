"""Every error that the project raises on purpose.

::

    ScratchOnnxError
    ├── LoadError           the file: missing, truncated, not ONNX, data outside its folder
    │   └── ModelError      the graph: a cycle, a wrong attribute, a type that does not fit
    ├── UnsupportedError    a valid model that this version cannot compute
    ├── InputError          what the caller fed: a wrong name, rank, dimension or dtype
    └── RunError            a node that failed while it ran, with the node named

A kernel raises plain ``ValueError`` or ``TypeError`` with the rule that broke;
the plan adds which node it was and what came in, and raises ``RunError``.
"""

from __future__ import annotations


class ScratchOnnxError(Exception):
    """The root: catch it to catch everything that this project raises on purpose."""


class LoadError(ScratchOnnxError):
    """The model cannot be read: no such file, not ONNX, truncated, unsafe external data."""


class ModelError(LoadError):
    """The model was read, and breaks a rule of the ONNX specification."""


class UnsupportedError(ScratchOnnxError):
    """The model is valid, but uses something that this version does not compute."""


class InputError(ScratchOnnxError, ValueError):
    """The arrays fed to a run do not fit the model's inputs."""


class RunError(ScratchOnnxError):
    """A node failed while it ran; the message says which node, what came in, which rule broke."""

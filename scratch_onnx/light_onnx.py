"""onnx without the parts of it that a command does not use.

``import onnx`` brings the text formats, the checker, tools and e-mail's parser (for the version of
the installed package) along: 35 ms, as much as all of this package. What reads, checks and infers
a model here is in submodules that need none of it.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any

_LOCK = RLock()


class _Package(ModuleType):
    """A package whose ``__init__`` runs when something is asked for that it defines."""

    def __getattr__(self, name: str) -> Any:
        with _LOCK:
            if "_started" not in self.__dict__ and self.__spec__ and self.__spec__.loader:
                self._started = True  # what it asks of itself meanwhile, it does not have yet
                self.__spec__.loader.exec_module(self)
            if name in self.__dict__:
                return self.__dict__[name]
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'", name=name)


def use_light_onnx() -> None:
    """Let this process load onnx part by part; for programs, not for a library to call."""
    spec = find_spec("onnx")
    if "onnx" in sys.modules or spec is None:
        return
    package = module_from_spec(spec)
    package.__class__ = _Package
    sys.modules["onnx"] = package

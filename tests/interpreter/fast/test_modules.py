"""The table of fast operators says which module registers which."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from scratch_onnx.interpreter import fast


def test_every_fast_operator_is_in_the_table() -> None:
    for module in pkgutil.iter_modules(fast.__path__):
        import_module(f"{fast.__name__}.{module.name}")
    registered = {
        name: factory.__module__.removeprefix(f"{fast.__name__}.")  # type: ignore[attr-defined]
        for name, factory in fast._FACTORIES.items()
    }
    assert registered == fast.MODULES

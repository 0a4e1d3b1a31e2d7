"""The operators, a module a family; a family is imported when a model first needs it.

Modules whose name begins with an underscore hold what several families share.
``_index`` says which module holds which operator. It is made, not written:

    python -m scratch_onnx.interpreter.ops
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ._index import MODULES


@cache
def load(domain: str, name: str) -> None:
    """Import the modules that register an operator."""
    modules = MODULES.get(domain, {}).get(name)
    if modules is None:
        load_all()  # an operator that is not there, or one that the index does not have yet
        return
    for module in modules.split():
        import_module(f"{__name__}.{module}")


@cache
def load_all() -> None:
    """Import every family."""
    import pkgutil

    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        if not module.name.endswith("__main__"):
            import_module(module.name)

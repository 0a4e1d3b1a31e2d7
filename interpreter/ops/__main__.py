"""Writes ``_index.py``: which module holds which operator."""

from __future__ import annotations

from pathlib import Path

from .. import registry

HEADER = '''"""Which module registers which operator, by domain.

Made by ``python -m scratch_onnx.interpreter.ops``.
"""

MODULES: dict[str, dict[str, str]] = {
'''


def index() -> str:
    """The text of ``_index.py``."""
    modules: dict[str, dict[str, set[str]]] = {}
    package = f"{__package__}."
    for domain, name, _, operator in registry.operators():
        if operator.module.startswith(package):
            found = modules.setdefault(domain, {}).setdefault(name, set())
            found.add(operator.module.removeprefix(package))
    lines = [HEADER]
    for domain, names in sorted(modules.items()):
        lines.append(f'    "{domain}": {{\n')
        for name, found in sorted(names.items()):
            lines.append(f'        "{name}": "{" ".join(sorted(found))}",\n')
        lines.append("    },\n")
    return "".join([*lines, "}\n"])


if __name__ == "__main__":
    Path(__file__).with_name("_index.py").write_text(index())

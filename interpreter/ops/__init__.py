"""The operators, a module a family: importing this package registers them all.

Modules whose name begins with an underscore hold what several families share.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    import_module(_module.name)

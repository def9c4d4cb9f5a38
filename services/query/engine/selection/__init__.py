"""Where the selection policies were before: modules of users that import from here get those of `engine/policies`."""

import sys
from importlib import import_module
from pkgutil import iter_modules

from services.query.engine import policies

for _module in iter_modules(policies.__path__):
    sys.modules[f"{__name__}.{_module.name}"] = import_module(f"{policies.__name__}.{_module.name}")

"""Which packages bring the modules that are in use here, so that a container that lacks one can say what to install."""

import json
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions, version


def as_json(imported_later: Iterable[str]) -> str:
    """By the top-level module, for all that are imported or will be: the package and its version, as pip takes them."""
    used = {name.partition(".")[0] for name in (*sys.modules, *imported_later)}
    packages = packages_distributions()
    return json.dumps({module: _pinned(packages[module][0]) for module in sorted(used & packages.keys())})


def _pinned(package: str) -> str:
    return f"{package}=={version(package)}"

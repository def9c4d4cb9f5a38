"""What functions import when they run: found in their code, taken along where it is the user's own."""

import dis
import importlib
import importlib.util
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType

from clipper_admin.closures import origins

_LOG = logging.getLogger(__name__)


class Imports:
    """Modules to be taken along, each once.

    Args:
        on_import: called when modules have been imported here that were not before.

    Attributes:
        names: all names that were found in imports; not all of them are of modules.
    """

    def __init__(self, on_import: Callable[[], None]) -> None:
        self._on_import = on_import
        self.names: set[str] = set()
        self._waiting: deque[ModuleType] = deque()

    def look_at(self, function: FunctionType) -> None:
        """Adds what a function imports when it runs."""
        package = function.__globals__.get("__package__") or ""
        for name in _imported(function.__code__, package):
            if name not in self.names:
                self.names.add(name)
                module = self._find(name)
                if module is not None and origins.travels(module):
                    self._waiting.append(module)

    def take(self) -> ModuleType | None:
        """A module that was not taken yet; None when there is none."""
        return self._waiting.popleft() if self._waiting else None

    def _find(self, name: str) -> ModuleType | None:
        """The module of this name; None when there is none, or it is not the user's own and need not be looked at."""
        if name not in sys.modules and _may_be_own(name.partition(".")[0]):
            try:
                importlib.import_module(name)
            # Whether the function would have come to it nobody knows; if it does, the container says so.
            except (Exception, SystemExit) as error:
                _LOG.debug("not taken along, as it cannot be imported: %s", name, exc_info=error)
            self._on_import()
        return sys.modules.get(name)


def _may_be_own(top_level: str) -> bool:
    if top_level in sys.modules:
        return origins.is_own(sys.modules[top_level])
    spec = importlib.util.find_spec(top_level)
    return spec is not None and origins.is_own(importlib.util.module_from_spec(spec))


def _imported(code: CodeType, package: str) -> Iterator[str]:
    """The names of what may be modules in the imports of a function, those of its inner ones included."""
    operands: list[object] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            level, attributes = operands[-2:]
            # Of a script, which is in no package, there is nothing to import from beside it.
            if module := _absolute(str(instruction.argval), level, package):
                yield from _names(module, attributes)
        operands.append(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _imported(constant, package)


def _absolute(name: str, level: object, package: str) -> str:
    if not isinstance(level, int) or level == 0:
        return name
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{name}" if name else base


def _names(module: str, attributes: object) -> Iterator[str]:
    """A module, the packages around it, and what may be modules in it."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])
    if isinstance(attributes, tuple):
        yield from (f"{module}.{attribute}" for attribute in attributes)

"""Where modules lie, which says whether they travel: what is installed does not, what is the user's own does."""

import functools
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

_MAIN = "__main__"
_INSTALLED = {"site-packages", "dist-packages"}
_BASE = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
_PYTHON = tuple(Path(sysconfig.get_path(name, vars=_BASE)) for name in ("stdlib", "platstdlib"))
_BESIDE_US = Path(__file__).parents[2]
# Every container has them, wherever they were imported from.
_OURS = tuple(_BESIDE_US / name for name in ("clipper_admin", "services", "protos"))


def own_modules() -> list[ModuleType]:
    """The imported modules of the user's own that can travel, but for the notebook or program itself."""
    return [module for name, module in list(sys.modules.items()) if _is_known_as(name, module) and travels(module)]


def travels(module: ModuleType) -> bool:
    """Whether a module is taken along: it is the user's own, and written in Python."""
    return is_own(module) and not is_compiled(module)


def is_own(module: ModuleType) -> bool:
    """Whether a module is of the user's own: neither installed nor Python's nor of every container."""
    places = _places(module)
    return bool(places) and not any(map(_is_shared, places)) and module.__name__ != _MAIN


def is_compiled(module: ModuleType) -> bool:
    """Whether a module is machine code, which only its file can bring anywhere."""
    return (getattr(module, "__file__", None) or "").endswith(tuple(EXTENSION_SUFFIXES))


def _is_known_as(name: str, module: object) -> bool:
    return isinstance(module, ModuleType) and getattr(module, "__name__", None) == name


def _places(module: ModuleType) -> list[str]:
    """Its file, or the directories of a package that has none."""
    file = getattr(module, "__file__", None)
    return [file] if file else list(getattr(module, "__path__", ()))


# All modules are looked at whenever something is pickled.
@functools.cache
def _is_shared(place: str) -> bool:
    path = Path(place)
    return bool(_INSTALLED & set(path.parts)) or any(map(path.is_relative_to, (*_PYTHON, *_OURS)))

"""Pickling a function with all that only exists here.

cloudpickle takes functions and classes along by value. It does not do so with what decorators of the standard library
put in a function's place, nor with modules that are imported when the function runs; and modules that refer to each
other are too deep for it. That is added here.
"""

import functools
import io
import math
import pickle
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from types import BuiltinFunctionType, FunctionType, MappingProxyType, ModuleType
from typing import Any, NamedTuple

import cloudpickle

from clipper_admin.closures import arrival, origins
from clipper_admin.closures.imports import Imports

# What cloudpickle is to pickle by value, it is told for all threads.
_TURN = threading.RLock()
# What is of the module's file, and not of the module.
_OF_THE_FILE = ("__builtins__", "__cached__", "__loader__", "__path__", "__spec__")


class Pickled(NamedTuple):
    """A function as bytes.

    Attributes:
        data: what `pickle.load` makes the function of where only installed packages can be imported.
        imports: the names of what it imports when it runs.
    """

    data: bytes
    imports: Collection[str]


def pickled(func: Any, most_bytes: float = math.inf, by_value: Sequence[ModuleType] = ()) -> Pickled:
    """Pickles a function; of `by_value`, modules that are installed here, it takes along what it refers to.

    Raises:
        Exception: something that it refers to cannot travel, or it all has more than `most_bytes`.
    """
    with _TURN, _Travellers(by_value) as travellers, _BoundedFile(most_bytes) as file:
        imports = Imports(travellers.look)
        _Pickler(file, imports).dump(_Parcel(func))
        return Pickled(file.getvalue(), imports.names)


class _Travellers:
    """The modules that are pickled by value: the user's own, and what has to run before anything can be imported."""

    def __init__(self, others: Sequence[ModuleType]) -> None:
        self._others = others
        self._registered: list[ModuleType] = []

    def __enter__(self) -> "_Travellers":
        for module in (arrival, *self._others):
            self._register(module)
        self.look()
        return self

    def __exit__(self, *_: object) -> None:
        for module in self._registered:
            cloudpickle.unregister_pickle_by_value(module)

    def look(self) -> None:
        """Finds those that were imported since."""
        known = cloudpickle.list_registry_pickle_by_value()
        for module in origins.own_modules():
            if module.__name__ not in known:
                self._register(module)

    def _register(self, module: ModuleType) -> None:
        cloudpickle.register_pickle_by_value(module)
        self._registered.append(module)


class _BoundedFile(io.BytesIO):
    def __init__(self, most_bytes: float) -> None:
        super().__init__()
        self._most_bytes = most_bytes

    def write(self, data: Any) -> int:
        # Arrays come as buffers, which have no length.
        if self.tell() + memoryview(data).nbytes > self._most_bytes:
            raise pickle.PicklingError(f"it has more than {self._most_bytes} bytes")
        return super().write(data)


class _Parcel:
    """A function and all that it imports."""

    def __init__(self, func: Any) -> None:
        self.func = func


class _Rest:
    """What is to be imported, as far as it has been found when all before it is pickled."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    def __init__(self, file: io.BytesIO, imports: Imports) -> None:
        super().__init__(file)
        self._imports = imports

    def reducer_override(self, obj: Any) -> Any:
        """How an object is pickled, where pickle itself would not know better."""
        match obj:
            case _Parcel():
                return arrival.unpack, (obj.func, _Rest())
            case _Rest():
                return self._reduce_rest()
            case ModuleType():
                return _reduce_module(obj)
            case functools.cached_property():
                return functools.cached_property, (obj.func,), {"attrname": obj.attrname, "__doc__": obj.__doc__}
            case type() | BuiltinFunctionType():
                _check_not_compiled(_module_of(obj))
            case functools._lru_cache_wrapper() if not _is_found_elsewhere(obj):
                return arrival.cached, (obj.__wrapped__, obj.cache_parameters())
            case FunctionType() if not _is_found_elsewhere(obj):
                if registry := _implementations(obj):
                    return arrival.single_dispatch, (registry,)
                self._imports.look_at(obj)
        return super().reducer_override(obj)

    def _reduce_rest(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        module = self._imports.take()
        if module is None:
            return type(None), ()
        return arrival.make_importable, (module.__name__, module, _Rest())


def _reduce_module(module: ModuleType) -> Any:
    _check_not_compiled(module)
    if not origins.travels(module):
        return NotImplemented
    contents = {name: value for name, value in vars(module).items() if name not in _OF_THE_FILE}
    if hasattr(module, "__path__"):
        contents["__path__"] = []
    return ModuleType, (module.__name__,), contents, None, None, arrival.fill_module


def _check_not_compiled(module: ModuleType | None) -> None:
    if module is not None and origins.is_compiled(module) and origins.is_own(module):
        raise pickle.PicklingError(
            f"the module '{module.__name__}' is compiled ('{module.__file__}') and cannot travel in a function's file; "
            "build a wheel of it, and name that in pkgs_to_install"
        )


def _module_of(obj: Any) -> ModuleType | None:
    name = getattr(obj, "__module__", None)
    return sys.modules.get(name) if isinstance(name, str) else None


def _is_found_elsewhere(function: Any) -> bool:
    """Whether it can be imported where only installed packages are."""
    module = _module_of(function)
    if module is None or module.__name__ == "__main__" or origins.travels(module):
        return False
    found: Any = module
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


def _implementations(function: FunctionType) -> dict[type, Callable[..., Any]]:
    """By type, if it is one of functools.singledispatch; else none."""
    registry = getattr(function, "registry", None)
    return dict(registry) if isinstance(registry, MappingProxyType) and hasattr(function, "dispatch") else {}

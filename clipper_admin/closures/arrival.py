"""What runs in a container while a function's file is loaded. It travels in the file, and needs nothing there."""

import functools
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any


def unpack(function: Any, _imported: None) -> Any:
    """The function, once what it imports can be imported."""
    return function


def make_importable(name: str, module: types.ModuleType, _others: None) -> None:
    """Makes a module be found by its name.

    One that is known by this name already, as a package of the container's own is, stays, and is lent what it lacks.
    """
    known = sys.modules.setdefault(name, module)
    for attribute, value in vars(module).items():
        vars(known).setdefault(attribute, value)
    package, _, own_name = name.rpartition(".")
    if package in sys.modules:
        vars(sys.modules[package]).setdefault(own_name, known)


def fill_module(module: types.ModuleType, contents: Mapping[str, Any]) -> None:
    """Gives a module its contents, which may refer to it."""
    vars(module).update(contents)


def cached(function: Callable[..., Any], parameters: Mapping[str, Any]) -> Any:
    """What functools.lru_cache makes of a function, with nothing in its cache."""
    return functools.lru_cache(**parameters)(function)


def single_dispatch(registry: Mapping[type, Callable[..., Any]]) -> Any:
    """What functools.singledispatch makes of implementations by type, of which that for `object` is the default."""
    dispatcher = functools.singledispatch(registry[object])
    for kind, implementation in registry.items():
        dispatcher.register(kind, implementation)
    return dispatcher

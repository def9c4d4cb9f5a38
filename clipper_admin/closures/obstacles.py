"""What is in the way when a function cannot be pickled: found by pickling its parts, told by the names they have."""

import dis
import functools
from collections.abc import Callable, Iterator, Mapping
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from clipper_admin.closures import origins
from clipper_admin.closures.imports import Imports

_DEEPEST = 12
# Of a variable to which nothing has been assigned yet.
_EMPTY = CellType()


class _Part(NamedTuple):
    """Something that another object refers to, and what it is there."""

    what: str
    value: Any


def described(func: Any, pickle: Callable[[Any], object]) -> str:
    """Where the first thing is that cannot be pickled, and what to do; empty when it cannot be told."""
    path = list(_path_to_obstacle(func, pickle))
    if not path:
        return ""
    kind = type(path[-1].value)
    where = " of ".join(part.what for part in reversed(path))
    return (
        f". What is in the way is {where}, of the type {kind.__module__}.{kind.__qualname__}. What belongs to this "
        "process is made in the container instead: deploy a class that makes it in its __init__ and uses it in its "
        "method predict"
    )


def _path_to_obstacle(value: Any, pickle: Callable[[Any], object]) -> Iterator[_Part]:
    seen = {id(value)}
    for _ in range(_DEEPEST):
        part = next((part for part in _parts(value) if id(part.value) not in seen and _fails(part.value, pickle)), None)
        if part is None:
            return
        yield part
        value = part.value
        seen.add(id(value))


def _fails(value: Any, pickle: Callable[[Any], object]) -> bool:
    try:
        pickle(value)
    except Exception:
        return True
    return False


def _parts(value: Any) -> Iterator[_Part]:
    match value:
        case FunctionType():
            yield from _variables(value)
        case functools._lru_cache_wrapper():
            yield _Part("the function that is cached", value.__wrapped__)
        case MethodType():
            yield _Part("the method's object", value.__self__)
            yield _Part("the method's function", value.__func__)
        case ModuleType() if origins.travels(value):
            yield from (
                _Part(f"the variable '{name}' of the module '{value.__name__}'", of) for name, of in _named(value)
            )
        case type():
            for name, of in _named(value):
                yield _Part(f"'{name}' of the class '{value.__name__}'", of)
        case functools.partial():
            yield _Part("the function that is given arguments", value.func)
            yield from (_Part("an argument", argument) for argument in (*value.args, *value.keywords.values()))
        case dict():
            yield from (_Part(f"the item {key!r:.40}", item) for key, item in value.items())
        case list() | tuple() | set() | frozenset():
            yield from (_Part(f"the item {number}", item) for number, item in enumerate(value))
        case _:
            yield from (_Part(f"the attribute '{name}'", of) for name, of in _named(value))
            yield _Part(f"the class '{type(value).__name__}'", type(value))


def _named(value: Any) -> Iterator[tuple[str, Any]]:
    attributes: Mapping[str, Any] = getattr(value, "__dict__", {})
    yield from ((name, of) for name, of in attributes.items() if not name.startswith("__") or callable(of))


def _variables(function: FunctionType) -> Iterator[_Part]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if cell != _EMPTY:
            yield _Part(f"the variable '{name}' of '{function.__qualname__}'", cell.cell_contents)
    for name in sorted(set(_globals_of(function.__code__)) & function.__globals__.keys()):
        yield _Part(f"the variable '{name}' of '{function.__qualname__}'", function.__globals__[name])
    for number, default in enumerate(function.__defaults__ or ()):
        yield _Part(f"the default value {number} of '{function.__qualname__}'", default)
    imports = Imports(on_import=lambda: None)
    imports.look_at(function)
    while module := imports.take():
        yield _Part(f"an import of '{function.__qualname__}'", module)


def _globals_of(code: CodeType) -> Iterator[str]:
    yield from (each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals_of(constant)

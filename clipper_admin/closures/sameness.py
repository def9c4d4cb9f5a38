"""Whether two files of functions hold the same code: a fingerprint that does not change with what does not matter.

The same function is pickled differently each time: sets have an order of the day, equal strings are one object or two,
and cloudpickle numbers the classes that it takes along at random. And a function that has only moved within its file,
or to another file, is the same. So what is compared is not the bytes but what they describe.
"""

import hashlib
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

_CODE_TYPE = "_builtin_type", "CodeType"
# Among the arguments of a code object: the file, the first line and the table of lines.
_OF_THE_PLACE = (10, 13, 14)
# By what makes it, where among its arguments the number of a class is.
_NUMBERS = {"_make_skeleton_class": (4,), "_make_skeleton_enum": (5,)}
# What is of the file in the namespace of a module or a class, the last for want of an order.
_NAMES_OF_THE_PLACE = ("__file__", "__firstlineno__", "__static_attributes__")
_STATE_SETTER_ARGUMENTS = 2


def fingerprint(data: bytes) -> str:
    """What tells a pickled function from all that do something else; nothing of it is loaded."""
    try:
        return _Digests().of(_Reader(io.BytesIO(data)).load()).hex()
    # What no pickler of ours has written, or is nested too deep, is the same only if it is the same to the byte.
    except Exception:
        return hashlib.sha256(data).hexdigest()


class _Made:
    """An object, as its pickle describes it: what makes it, of what, and what is done with it then."""

    def __init__(self, maker: Any, arguments: Any) -> None:
        self.maker = maker
        self.arguments = arguments
        self.changes: list[Any] = []


class _Global:
    """What is found by its name."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name


class _Reader(pickle._Unpickler):  # the one in C makes objects, whatever one says
    """Reads what a pickle describes."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def find_class(self, module: str, name: str) -> Any:
        return _Global(module, name)

    def _make(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = _Made(self.stack[-1], arguments)

    def _make_with_keywords(self) -> None:
        keywords, arguments = self.stack.pop(), self.stack.pop()
        self.stack[-1] = _Made(self.stack[-1], (arguments, keywords))

    def _build(self) -> None:
        state = self.stack.pop()
        self.stack[-1].changes.append(state)

    def _pop(self) -> None:
        """Of what is made and thrown away, as by a setter of states, the object is changed."""
        popped = self.stack.pop() if self.stack else self.pop_mark()
        match popped:
            case _Made(arguments=(_Made() as changed, *_) as arguments) if len(arguments) == _STATE_SETTER_ARGUMENTS:
                changed.changes.append((popped.maker, arguments[1]))

    def _append(self) -> None:
        value = self.stack.pop()
        _add(self.stack[-1], [value])

    def _add_items(self) -> None:
        items = self.pop_mark()
        _add(self.stack[-1], items)

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _set(self.stack[-1], [key, value])

    def _set_items(self) -> None:
        items = self.pop_mark()
        _set(self.stack[-1], items)

    dispatch |= {
        pickle.REDUCE[0]: _make,
        pickle.NEWOBJ[0]: _make,
        pickle.NEWOBJ_EX[0]: _make_with_keywords,
        pickle.BUILD[0]: _build,
        pickle.POP[0]: _pop,
        pickle.APPEND[0]: _append,
        pickle.APPENDS[0]: _add_items,
        pickle.ADDITEMS[0]: _add_items,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
    }


def _add(container: Any, items: list[Any]) -> None:
    match container:
        case _Made():
            container.changes.append(items)
        case set():
            container.update(items)
        case _:
            container.extend(items)


def _set(container: Any, items: list[Any]) -> None:
    if isinstance(container, _Made):
        container.changes.append(items)
    else:
        container.update(zip(items[::2], items[1::2], strict=True))


class _Digests:
    """The digests of what is described, each computed once; what contains itself is told by how deep it lies."""

    def __init__(self) -> None:
        self._known: dict[int, bytes] = {}
        self._open: dict[int, int] = {}

    def of(self, value: Any) -> bytes:
        """The digest of one value."""
        if id(value) in self._open:
            return b"within %d" % self._open[id(value)]
        if id(value) not in self._known:
            self._open[id(value)] = len(self._open)
            hashed = hashlib.sha256(type(value).__name__.encode())
            for part in self._parts(value):
                hashed.update(part)
            del self._open[id(value)]
            self._known[id(value)] = hashed.digest()
        return self._known[id(value)]

    def _parts(self, value: Any) -> Iterator[bytes]:
        match value:
            case _Global():
                yield f"{value.module}:{value.name}".encode()
            case _Made():
                yield self.of(value.maker)
                yield from map(self.of, _what_matters(value))
                yield self.of(value.changes)
            case dict():
                for key, each in value.items():
                    if key not in _NAMES_OF_THE_PLACE:
                        yield from (self.of(key), self.of(each))
            case set() | frozenset():
                yield from sorted(map(self.of, value))
            case list() | tuple():
                yield from map(self.of, value)
            case bytes() | bytearray():
                yield bytes(value)
            case _:
                yield repr(value).encode(errors="backslashreplace")


def _what_matters(made: _Made) -> list[Any]:
    """What an object is made of, but for where it stood and how it was numbered."""
    match made.maker:
        case _Made(maker=_Global(name=maker), arguments=(kind,)) if (maker, kind) == _CODE_TYPE:
            left_out: tuple[int, ...] = _OF_THE_PLACE
        case _Global(name=name) if name in _NUMBERS:
            left_out = _NUMBERS[name]
        case _:
            left_out = ()
    return [argument for index, argument in enumerate(made.arguments) if index not in left_out]

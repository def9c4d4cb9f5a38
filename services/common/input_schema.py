"""What an application's inputs must be like beside their type: their shape, the names and the ranges of their elements.

Pure data, and valid once it is made: management makes it of what is registered, the codec of what the store holds.
"""

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from services.common.errors import InvalidInput
from services.common.names import InputType

# As many as numpy has, and as many bytes as a message.
_MOST_DIMENSIONS = 32
_MOST_ELEMENTS = 64 * 1024 * 1024
_MOST_NAMES = 4_096
_LONGEST_NAME = 255
_SHOWN_NAMES = 20
_NUMBERS = (InputType.INTS, InputType.FLOATS, InputType.DOUBLES)


class Range(NamedTuple):
    """Within what the element of a name lies; None: no bound."""

    name: str
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True)
class InputSchema:
    """What each input must be like.

    Attributes:
        shape: how many elements it has in each dimension; empty: as many as it likes, unless there are names.
        names: of its elements, in order; then its shape is their number.
        minimum: what no element is below; None: there is no such number.
        maximum: what no element is above; None: there is no such number.
        ranges: of elements that have ranges of their own, instead of these two.

    Raises:
        InvalidInput: there can be no such input.
    """

    shape: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    ranges: tuple[Range, ...] = ()

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        _check_names(self.names)
        if self.names and self.shape not in ((), (len(self.names),)):
            raise InvalidInput(f"The schema has {len(self.names)} names, but the shape {list(self.shape)}")
        _check_range("elements", self.minimum, self.maximum)
        for name, minimum, maximum in self.ranges:
            if name not in self.places:
                raise InvalidInput(f"The schema has a range of '{name}', but that is none of its names")
            _check_range(f"'{name}'", minimum, maximum)

    def check_type(self, input_type: InputType) -> None:
        """Checks that inputs of a type can be like this.

        Raises:
            InvalidInput: they cannot.
        """
        if input_type is InputType.STRINGS:
            raise InvalidInput("Strings have no schema. It is for numbers, and for the length of bytes")
        if input_type is InputType.BYTES and (self.names or self.is_bounded or len(self.shape) > 1):
            raise InvalidInput("The schema of bytes is a shape with their number, and has neither names nor ranges")

    @cached_property
    def length(self) -> int | None:
        """How many elements an input has in all; None: as many as it likes."""
        return math.prod(self.shape) if self.shape else len(self.names) or None

    @cached_property
    def places(self) -> dict[str, int]:
        """Where in an input the element of each name is."""
        return {name: place for place, name in enumerate(self.names)}

    @property
    def is_bounded(self) -> bool:
        """Whether elements have ranges."""
        return bool(self.ranges) or self.minimum is not None or self.maximum is not None

    @cached_property
    def bounds(self) -> tuple["array[float]", "array[float]"]:
        """The lower and the upper bounds: one of each element where there are names, else one of all."""
        lower = array("d", [-math.inf if self.minimum is None else self.minimum]) * max(1, len(self.names))
        upper = array("d", [math.inf if self.maximum is None else self.maximum]) * max(1, len(self.names))
        for name, minimum, maximum in self.ranges:
            lower[self.places[name]] = -math.inf if minimum is None else minimum
            upper[self.places[name]] = math.inf if maximum is None else maximum
        return lower, upper

    @property
    def words(self) -> str:
        """How many elements an input has, for people: "4 (a, b, c, d)"."""
        if self.names:
            return f"{self.length} ({listed(self.names)})"
        return str(self.length) if len(self.shape) < 2 else f"{self.length} (shape {list(self.shape)})"


def check_input_names(names: Sequence[str], input_type: InputType) -> None:
    """Checks what the elements of inputs of a type are called, if they have names at all.

    Raises:
        InvalidInput: they cannot be called so.
    """
    if names and input_type not in _NUMBERS:
        raise InvalidInput(f"Elements of '{input_type}' have no names. input_names are for numbers")
    _check_names(names)


def listed(names: Sequence[str]) -> str:
    """Names for people, the first of them."""
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more


def _check_shape(shape: Sequence[int]) -> None:
    if len(shape) > _MOST_DIMENSIONS:
        raise InvalidInput(f"The shape has {len(shape)} dimensions, but an input has at most {_MOST_DIMENSIONS}")
    if any(size < 1 for size in shape):
        raise InvalidInput(f"The shape {list(shape)} has a dimension without elements")
    if math.prod(shape) > _MOST_ELEMENTS:
        raise InvalidInput(
            f"The shape {list(shape)} is of more than {_MOST_ELEMENTS} elements, which no request can hold"
        )


def _check_names(names: Sequence[str]) -> None:
    if len(names) > _MOST_NAMES:
        raise InvalidInput(f"An input has at most {_MOST_NAMES} names, but these are {len(names)}")
    for name in names:
        if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
            raise InvalidInput(
                f"Invalid name of an element: {name[:_LONGEST_NAME]!r}. It must be 1 to {_LONGEST_NAME} printable "
                "characters"
            )
    twice = _repeated(names)
    if twice is not None:
        raise InvalidInput(f"An input cannot have the name '{twice}' twice")


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


def _check_range(whose: str, minimum: float | None, maximum: float | None) -> None:
    if any(bound is not None and not math.isfinite(bound) for bound in (minimum, maximum)):
        raise InvalidInput(f"The range of {whose} has a bound that is no finite number. Leave out what has no bound")
    if minimum is not None and maximum is not None and minimum > maximum:
        raise InvalidInput(f"The range of {whose} is from {minimum:g} to {maximum:g}, where nothing lies")

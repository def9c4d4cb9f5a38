"""Settings from the environment: each service's frozen dataclass is filled from CLIPPER_* variables, once.

The variable of a field is its name in upper case after "CLIPPER_": `redis_url` is CLIPPER_REDIS_URL. A field without a
default must be set. A tuple is written with commas.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from services.common.errors import InvalidInput

PREFIX = "CLIPPER_"

_Settings = TypeVar("_Settings")
_PARSERS: dict[Any, Any] = {
    str: str,
    int: int,
    float: float,
    tuple[str, ...]: lambda text: tuple(word.strip() for word in text.split(",") if word.strip()),
}


def from_environment(settings_class: type[_Settings], environment: Mapping[str, str]) -> _Settings:
    """The settings that `environment` holds; empty variables count as unset.

    Raises:
        InvalidInput: a variable is missing, is not of its field's type, or the class refused its value.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings_class):  # type: ignore[arg-type]
        variable = PREFIX + field.name.upper()
        text = environment.get(variable, "")
        if text:
            values[field.name] = _parse(variable, text, field.type)
        elif field.default is dataclasses.MISSING:
            raise InvalidInput(f"The environment variable {variable} must be set")
    return settings_class(**values)


def _parse(variable: str, text: str, wanted: Any) -> Any:
    try:
        return _PARSERS[wanted](text)
    except ValueError:
        raise InvalidInput(f"The environment variable {variable} must be of type {wanted.__name__}: '{text}'") from None

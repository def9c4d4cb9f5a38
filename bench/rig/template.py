"""Templates: Markdown whose braces name figures, as those of str.format do, and whose lines can be repeated.

- `{name}`, `{name.attribute:format}`: a figure; besides Python's formats there are `ms`, a time in milliseconds, and
  `rate`, a whole number with commas;
- `{*row: rows} | {row.title} |`: the line after it once for each of the rows, which a mapping has as (key, value);
- `{*part: parts}` alone: likewise all lines up to `{/part}`.
"""

import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from string import Formatter
from typing import Any

_REPEATED = re.compile(r"\{\*(\w+): ([\w.\[\]]+)\} ?(.*)")


def ms(seconds: float) -> str:
    """A time in milliseconds, to be read."""
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:,.0f}"


_FORMATS: Mapping[str, Callable[[Any], str]] = {"ms": ms, "rate": "{:,.0f}".format}


class _Formatter(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec in _FORMATS:
            return _FORMATS[format_spec](value)
        return str(super().format_field(value, format_spec))


_FORMATTER = _Formatter()


def fill(template: str, names: Mapping[str, object]) -> str:
    """The template with everything that it names; KeyError, AttributeError or IndexError for what there is not."""
    return "\n".join(_filled(iter(template.splitlines()), ChainMap({}, names)))  # type: ignore[arg-type]


def _filled(lines: Iterator[str], names: "ChainMap[str, object]") -> list[str]:
    filled = []
    for line in lines:
        repeated = _REPEATED.fullmatch(line)
        if repeated is None:
            filled.append(_FORMATTER.vformat(line, (), names))
            continue
        name, source, rest = repeated.groups()
        body = [rest] if rest else list(takewhile(f"{{/{name}}}".__ne__, lines))
        items = _FORMATTER.get_field(source, (), names)[0]
        for item in items.items() if isinstance(items, Mapping) else items:
            filled += _filled(iter(body), names.new_child({name: item}))
    return filled

"""Outcomes: what a model's call or output comes to when it is still to be computed.

What is awaitable is awaited, and generators are drained, asynchronous ones too. All of it is the model's own code and
runs on its thread, on one event loop for the container's life: what a model opened on it works in later calls.
"""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Iterator
from typing import Any

import numpy as np

# What is there already; asking first costs a batch nothing.
_SETTLED = frozenset({list, tuple, dict, str, bytes, bool, int, float, type(None), np.ndarray})


class Outcomes:
    """Settles what one model returns, on its thread.

    Args:
        runner: has the event loop; whoever made it closes it.
    """

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def of(self, returned: object) -> Any:
        """What a call comes to; raises whatever the model's code raises."""
        if type(returned) in _SETTLED:
            return returned
        if isinstance(returned, Awaitable | AsyncIterable):
            (returned,) = self._runner.run(_all_settled([returned]))
            if isinstance(returned, BaseException):
                raise returned
        return list(returned) if isinstance(returned, Iterator) else returned

    def of_each(self, outputs: list[Any]) -> list[Any]:
        """What each output comes to, all that is awaitable side by side; in place of one that failed its exception."""
        if _SETTLED.issuperset(map(type, outputs)):
            return outputs
        if any(isinstance(output, Awaitable | AsyncIterable) for output in outputs):
            outputs = self._runner.run(_all_settled(outputs))
        return [_drained(output) if isinstance(output, Iterator) else output for output in outputs]


async def _all_settled(outputs: list[Any]) -> list[Any]:
    return await asyncio.gather(*map(_settled, outputs))


async def _settled(output: Any) -> Any:
    try:
        if isinstance(output, Awaitable):
            output = await output
        return [each async for each in output] if isinstance(output, AsyncIterable) else output
    # One that left its task, as SystemExit does, would end the event loop while others wait on it.
    except BaseException as error:
        return error


def _drained(output: Iterator[Any]) -> Any:
    try:
        return list(output)
    except BaseException as error:
        return error

"""Orders to the supervisor."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from clipper_admin import ClipperException
from clipper_admin.local import control


async def double(number: int) -> int:
    return 2 * number


async def fail() -> None:
    raise KeyError("nobody")


def ordered(path: Path, operation: str, **arguments: Any) -> Any:
    """Serves `double` and `fail` at `path` and gives one order."""

    async def run() -> Any:
        server = await control.serve(control.listen(path), {"double": double, "fail": fail})
        async with server:
            return await asyncio.to_thread(control.order, path, operation, **arguments)

    return asyncio.run(run())


def test_an_order_is_carried_out_and_its_result_returned(tmp_path: Path) -> None:
    assert ordered(tmp_path / "it.sock", "double", number=21) == 42


def test_a_socket_may_lie_deeper_than_a_sockets_address_is_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()

    assert ordered(deep / "it.sock", "double", number=1) == 2


@pytest.mark.parametrize("operation", ["fail", "unheard-of"])
def test_an_order_that_fails_says_why(tmp_path: Path, operation: str) -> None:
    with pytest.raises(ClipperException, match=f"supervisor refused to {operation}: KeyError"):
        ordered(tmp_path / "it.sock", operation)


@pytest.mark.parametrize("directory", ["", "missing/"])
def test_without_a_supervisor_an_order_says_so(tmp_path: Path, directory: str) -> None:
    with pytest.raises(control.SupervisorUnreachable, match="does not answer"):
        control.order(tmp_path / f"{directory}it.sock", "double", number=1)

"""Orders to the supervisor."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from clipper_admin import ClipperException
from clipper_admin.hosts.process import control


async def double(number: int) -> int:
    return 2 * number


async def fail() -> None:
    raise KeyError("nobody")


def ordered(path: Path, operation: str, **arguments: Any) -> Any:
    """Serves `double` and `fail` at `path` and gives one order."""

    async def run() -> Any:
        listener = control.listen(path)
        # Whatever descriptor the name led through while the socket was bound is by now a file of somebody else's.
        with path.with_suffix(".log").open("w"):
            server = await control.serve(listener, {"double": double, "fail": fail})
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


def test_of_a_supervisor_that_does_not_answer_the_last_words_are_shown(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "supervisor.log"
    log.parent.mkdir()
    log.write_text("".join(f"line {number}\n" for number in range(1_000)) + "NotADirectoryError: no such luck\n")

    with pytest.raises(control.SupervisorUnreachable) as unreachable:
        control.order(tmp_path / "it.sock", "double", number=1)

    assert f"The end of its log ({log}):\n" in unreachable.value.msg
    assert unreachable.value.msg.endswith("line 999\nNotADirectoryError: no such luck")
    assert "line 900\n" not in unreachable.value.msg

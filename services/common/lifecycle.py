"""Life and death of a service: signals, and the threads and background tasks that must not end before it does.

The first SIGTERM or SIGINT asks for a drain, once there is something to drain; a second one ends the process at once.
A background task that ends is started again. A thread cannot be, as nobody knows what it has left behind: where the
service is of no use without it, the process ends, and is started again by its supervisor.
"""

import asyncio
import ctypes
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

_LOG = logging.getLogger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# `asyncio.wait_for`, with which redis-py waits, may swallow a cancellation up to Python 3.11.
_CANCEL_AGAIN_S = 0.5
_FIRST_BACK_OFF_S = 0.1
_LONGEST_BACK_OFF_S = 5.0
# A task that ran for longer did not end of how it was started.
_LONG_RUN_S = 30.0
# <sys/prctl.h>
_PR_SET_PDEATHSIG = 1


class StopSignal:
    """SIGTERM and SIGINT, as a thread of its own sees them. Make it first of all, in the main thread.

    The kernel may deliver a signal to any thread, and Python runs handlers in the main thread only, which does not wake
    from waiting for a lock because another thread was interrupted: its handler could wait forever. What Python writes
    to its wake-up descriptor when the signal comes, in whichever thread, is read at once.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._draining = False
        self._numbers, self._wakeup = socket.socketpair()
        self._wakeup.setblocking(False)
        self._install()
        _leave_forks_their_signals()
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    def drain(self) -> None:
        """From now on there is something to drain: the first signal no longer ends the process. In the main thread."""
        # Whatever was loaded since may have had handlers of its own.
        self._install()
        self._draining = True

    def wait(self) -> None:
        """Blocks until the first signal has come."""
        self._stopped.wait()

    async def wait_async(self) -> None:
        """Waits on an event loop until the first signal has come."""
        await asyncio.to_thread(self._stopped.wait)

    def _install(self) -> None:
        signal.set_wakeup_fd(self._wakeup.fileno())
        for number in _SIGNALS:
            signal.signal(number, self._pass_on)

    def _pass_on(self, number: int, _frame: object) -> None:
        """Does what Python has not done when somebody, as an event loop of asyncio's, took the descriptor's place."""
        own = self._wakeup.fileno()
        in_place = signal.set_wakeup_fd(own)
        if in_place != own:
            signal.set_wakeup_fd(in_place)
            self._wakeup.send(bytes([number]))

    def _listen(self) -> None:
        while True:
            number = self._numbers.recv(1)[0]
            if number in _SIGNALS:
                self._handle(signal.Signals(number))

    def _handle(self, number: signal.Signals) -> None:
        if not self._draining or self._stopped.is_set():
            os._exit(128 + number)
        _LOG.info("draining", extra={"signal": number.name})
        self._stopped.set()


class _HeldSignals(threading.local):
    """The signals of a thread that forks, until its child has handlers of its own: they could come at once."""

    def __init__(self) -> None:
        self._held_before: set[int] = set()

    def hold(self) -> None:
        """Has signals wait for this thread, and for the child that is forked now."""
        self._held_before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def release(self) -> None:
        """Has those come that have waited."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._held_before)


def _leave_forks_their_signals() -> None:
    """Has what this process forks end by the signals that it gets, from its first moment on."""
    held = _HeldSignals()
    # In the child what was asked for first is called first.
    os.register_at_fork(before=held.hold, after_in_parent=held.release, after_in_child=_uninstall)
    os.register_at_fork(after_in_child=held.release)


def _uninstall() -> None:
    # A child that shared the descriptor would pass its own signals on to its parent.
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def become_child_of(parent: int) -> None:
    """Binds this process to its parent's life and will.

    The kernel kills it when the parent ends, however that does. Signals to both, as a terminal or a service manager
    sends them, are for the parent to act on; what this process starts or forks takes its own as ever.

    Raises:
        OSError: the kernel does not.
    """
    for number in _SIGNALS:
        signal.signal(number, _leave_to_parent)
    _leave_forks_their_signals()
    _die_with(ctypes.CDLL(None, use_errno=True), parent)


def _leave_to_parent(_number: int, _frame: object) -> None:
    """A handler, as what is ignored would be ignored by other programs that this process starts, too."""


def end_forks_with_this_process() -> None:
    """Binds what the main thread forks from now on to this process's life; to be called there.

    A fork holds every connection of its parent, and as long as it lives nobody is told that the parent is gone. What
    other threads fork is left alone: the kernel would kill it when its thread ends.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent, main_thread = os.getpid(), threading.get_ident()

    def bind() -> None:
        nonlocal parent
        if threading.get_ident() == main_thread:
            _die_with(libc, parent)
            parent = os.getpid()

    os.register_at_fork(after_in_child=bind)


def _die_with(libc: ctypes.CDLL, parent: int) -> None:
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "cannot be bound to the parent's life")
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


class VitalThread(threading.Thread):
    """A thread without which its process is of no use: whatever it dies of is logged and ends the process, too.

    Args:
        target: what it does.
        name: its name.
    """

    def __init__(self, target: Callable[[], None], name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)

    def run(self) -> None:
        """Calls the target; what it raises ends the process."""
        try:
            super().run()
        except BaseException as error:
            _LOG.critical("the thread %s died, and the process ends", self.name, exc_info=error)
            os._exit(os.EX_SOFTWARE)


class BackgroundTasks:
    """The background tasks of one owner, each with a name, which run for as long as the owner does.

    One that ends, by whatever exception or by itself, is reported and started again, after a pause that grows from one
    end to the next; or its process ends, where that is of no use without it.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs what `work` makes, again and again until the owner closes."""
        self._own(asyncio.create_task(_keep_running(name, work), name=name))

    def start_vital(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs what `work` makes, and ends the process when that ends before the owner closes."""
        self._own(asyncio.create_task(_live_with(name, work), name=name))

    async def close(self) -> None:
        """Cancels what still runs and waits for it; safe to repeat."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=_CANCEL_AGAIN_S)

    def _own(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def end_with(what: str, error: BaseException | None) -> NoReturn:
    """Ends the process, which is of no use without `what`, that ended with an error or by itself."""
    _LOG.critical("%s ended, and the process does, too", what, exc_info=error)
    os._exit(os.EX_SOFTWARE)


async def _keep_running(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    back_off_s = _FIRST_BACK_OFF_S
    while True:
        started_s = time.monotonic()
        error = await _end_of(work)
        if time.monotonic() - started_s > _LONG_RUN_S:
            back_off_s = _FIRST_BACK_OFF_S
        extra = {"after_s": back_off_s}
        _LOG.error("the background task %s ended and is started again", name, exc_info=error, extra=extra)
        await asyncio.sleep(back_off_s)
        back_off_s = min(_LONGEST_BACK_OFF_S, 2 * back_off_s)


async def _live_with(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    end_with(f"the background task {name}", await _end_of(work))


async def _end_of(work: Callable[[], Coroutine[Any, Any, None]]) -> BaseException | None:
    """What `work` ended with; None when it just returned. Raises CancelledError when the task is to end."""
    error = None
    try:
        await work()
    # SystemExit would end the event loop, and a CancelledError may be the work's own.
    except BaseException as raised:
        error = raised
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error
    return error

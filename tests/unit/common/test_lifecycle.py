"""How a process ends by its signals, in processes of their own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).parents[3]
_PATIENCE_S = 20.0

_PREAMBLE = """
import os, signal, sys, threading
from services.common.lifecycle import StopSignal
stop = StopSignal()
def main_waits():
    while sys._current_frames()[threading.main_thread().ident].f_code.co_name != "wait":
        pass
"""


def _exit_code(script: str) -> int:
    process = subprocess.run([sys.executable, "-c", _PREAMBLE + script], cwd=_REPOSITORY, timeout=_PATIENCE_S)
    return process.returncode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_while_there_is_nothing_to_drain(number: signal.Signals) -> None:
    assert _exit_code(f"os.kill(os.getpid(), {number:d}); threading.Event().wait()") == 128 + number


def test_a_signal_that_another_thread_receives_starts_the_drain() -> None:
    # The kernel chooses any thread, and the main thread does not wake from its lock for it.
    assert (
        _exit_code("""
stop.drain()
def interrupted():
    main_waits()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    threading.Event().wait()
threading.Thread(target=interrupted, daemon=True).start()
stop.wait()
""")
        == 0
    )


def test_a_second_signal_cuts_the_drain_short() -> None:
    assert (
        _exit_code("""
stop.drain()
os.kill(os.getpid(), signal.SIGTERM)
stop.wait()
os.kill(os.getpid(), signal.SIGINT)
threading.Event().wait()
""")
        == 128 + signal.SIGINT
    )


def test_a_forked_child_dies_of_its_own_signals_without_its_parent() -> None:
    assert (
        _exit_code("""
stop.drain()
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.write(writer, b"alive")
    threading.Event().wait()
os.read(reader, 5)
os.kill(child, signal.SIGTERM)
died_of = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(0 if died_of == -signal.SIGTERM and not stop._stopped.wait(0.2) else 1)
""")
        == 0
    )

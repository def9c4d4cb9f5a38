"""Telling a process from another one with its pid."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from clipper_admin.hosts.identity import ProcessIdentity

PATIENCE_S = 40.0


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing for a minute."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def identity_of(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    identity = ProcessIdentity.of(process.pid)
    assert identity is not None
    return identity


def test_a_running_process_is_alive_until_it_ends(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper)
    assert identity.is_alive()
    assert not identity.wait_until_gone(0)

    identity.send(signal.SIGTERM)

    assert identity.wait_until_gone(PATIENCE_S)
    assert not identity.is_alive()  # although nobody has waited for it yet


def test_a_process_that_got_the_pid_of_another_is_neither_that_nor_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    predecessor = replace(identity_of(sleeper), started="another boot:1")

    predecessor.send(signal.SIGKILL)

    assert not predecessor.is_alive()
    assert predecessor.wait_until_gone(0)
    assert identity_of(sleeper).is_alive()


def test_a_pid_that_nobody_has_is_nobody() -> None:
    process = subprocess.Popen(["true"])
    process.wait()

    assert ProcessIdentity.of(process.pid) is None
    ProcessIdentity(process.pid, "gone").send(signal.SIGKILL)


def test_identities_are_told_the_same_way_each_time() -> None:
    assert ProcessIdentity.of(os.getpid()) == ProcessIdentity.of(os.getpid())


def test_what_a_process_has_left_behind_is_killed_after_its_own_end() -> None:
    program = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True) as leader:
        identity = identity_of(leader)
        assert leader.stdout is not None
        child = ProcessIdentity.of(int(leader.stdout.readline()))
        leader.wait()
        assert child is not None
        assert child.is_alive()

        replace(identity, started="another boot:1").kill_group()
        assert child.is_alive()
        identity.kill_group()
        assert child.wait_until_gone(PATIENCE_S)

"""A process that serves gives signs of life."""

import os
import select
import signal
import subprocess
import sys

import pytest

from services.query.processes.heartbeat import BEAT_S, Heart, Pulse
from tests.fixtures.waiting import wait_until


@pytest.mark.alone
def test_it_is_heard_before_it_could_be_missed() -> None:
    here, there = os.pipe()

    Heart(there)

    assert select.select([here], [], [], BEAT_S / 2)[0] == [here]


def test_who_has_not_been_heard_of_is_not_missed_and_who_was_and_is_stopped_is() -> None:
    pulse = Pulse()
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        try:
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            assert not any(pulse.is_lost(process.pid) for _ in range(10))
            os.write(pulse.its_end, b"\0")
            wait_until(lambda: pulse.is_lost(process.pid))
        finally:
            process.kill()
            pulse.close()

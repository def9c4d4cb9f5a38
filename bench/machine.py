"""What the figures were measured on."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import grpc

from bench import load
from clipper_admin.hosts.process import executables


def describe() -> dict[str, str]:
    """The machine and the versions that matter, by what each is."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "CPU": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "grpcio": str(grpc.__version__),
        "Envoy": _envoy_version(),
        "load generators": load.names(),
    }


def _cpu_model() -> str:
    match = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()


def _envoy_version() -> str:
    printed = subprocess.run([executables.envoy(), "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    match = re.search(r"/(\d+\.\d+\.\d+)/", printed)
    return match[1] if match else printed.strip()

"""Limits of processor time by control groups, version 1 or 2: what `docker run --cpus` sets for a container."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.errors import BenchmarkError

_ROOT = Path("/sys/fs/cgroup")
# Shorter than the 100 ms that are usual: who has used up its part waits less long.
_PERIOD_MICROS = 20_000


@contextlib.contextmanager
def limited(pid: int, cpus: float) -> Iterator[None]:
    """A process has so much of a processor, as long as the context lasts.

    Raises:
        BenchmarkError: this user or this machine cannot set limits.
    """
    quota_micros = int(cpus * _PERIOD_MICROS)
    v1 = _ROOT / "cpu"
    parent, limits = (
        (v1, {"cpu.cfs_period_us": f"{_PERIOD_MICROS}", "cpu.cfs_quota_us": f"{quota_micros}"})
        if v1.is_dir()
        else (_ROOT, {"cpu.max": f"{quota_micros} {_PERIOD_MICROS}"})
    )
    group = parent / f"clipper-bench-{pid}"
    try:
        group.mkdir()
        for name, value in limits.items():
            (group / name).write_text(value)
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        raise BenchmarkError(f"processor time cannot be limited by {group}, which takes root: {error}") from error
    try:
        yield
    finally:
        # A process that has ended is in no group.
        with contextlib.suppress(OSError):
            (parent / "cgroup.procs").write_text(str(pid))
        group.rmdir()

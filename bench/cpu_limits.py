"""Limits of processor time by control groups, version 1 or 2: what `docker run --cpus` sets for a container."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.errors import BenchmarkError

_ROOT = Path("/sys/fs/cgroup")
# Shorter than the 100 ms that are usual: who has used up its part waits less long.
_PERIOD_MICROS = 20_000
# What it may use it is to have, whoever else wants something.
_V1_SHARES = "262144"
_V2_WEIGHT = "10000"


@contextlib.contextmanager
def limited(pid: int, cpus: float, period_micros: int = _PERIOD_MICROS) -> Iterator[None]:
    """A process has so much of a processor in each period, and no more, as long as the context lasts.

    Raises:
        BenchmarkError: this user or this machine cannot set limits.
    """
    quota_micros = int(cpus * period_micros)
    v1 = _ROOT / "cpu"
    parent, limits = (
        (v1, {"cpu.cfs_period_us": f"{period_micros}", "cpu.cfs_quota_us": f"{quota_micros}", "cpu.shares": _V1_SHARES})
        if v1.is_dir()
        else (_ROOT, {"cpu.max": f"{quota_micros} {period_micros}", "cpu.weight": _V2_WEIGHT})
    )
    group = parent / f"clipper-bench-{pid}"
    with contextlib.ExitStack() as stack:
        try:
            group.mkdir()
            stack.callback(group.rmdir)
            for name, value in limits.items():
                (group / name).write_text(value)
            _move(pid, group)
        except OSError as error:
            raise BenchmarkError(f"processor time cannot be limited by {group}, which takes root: {error}") from error
        stack.callback(_move_if_alive, pid, parent)
        yield


def _move(pid: int, group: Path) -> None:
    (group / "cgroup.procs").write_text(str(pid))


def _move_if_alive(pid: int, group: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        _move(pid, group)

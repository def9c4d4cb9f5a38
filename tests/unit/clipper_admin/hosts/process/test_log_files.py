"""Logs that do not grow without end."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.process.log_files import LogFiles, LogLimits

FILE_BYTES = 300_000
LIMITS = LogLimits(FILE_BYTES, old_files=3)
# Writes so many numbered lines to an inherited file without a pause, and never looks at it again.
WRITER = "import os, sys\nfor number in range(int(sys.argv[1])):\n    os.write(1, b'%d\\n' % number)"
ENDLESS = sys.maxsize
MEMORY = Path("/dev/shm")  # noqa: S108


@pytest.fixture
def memory_directory() -> Iterator[Path]:
    """A directory on a file system that cannot take a range out of a file."""
    if not os.access(MEMORY, os.W_OK):
        pytest.skip(f"{MEMORY} cannot be written")
    directory = MEMORY / f"clipper-test-{os.getpid()}"
    directory.mkdir()
    yield directory
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()


def files(log: Path) -> list[Path]:
    """A log with its old files, the oldest first."""
    return [*sorted(log.parent.glob(f"{log.name}.*"), key=lambda file: -int(file.suffix[1:])), log]


def text(log: Path) -> str:
    return "".join(file.read_text() for file in files(log))


def lines(first: int, last: int) -> str:
    return "".join(f"{number}\n" for number in range(first, last))


def writing(log: Path, count: int) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, "-c", WRITER, str(count)], stdout=output)


def test_who_writes_all_the_time_loses_no_line(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    kept = LogFiles(tmp_path, LogLimits(FILE_BYTES, old_files=20))
    rotations = 0
    with writing(log, ENDLESS) as writer:
        while rotations < 5:
            before = log.stat().st_size
            kept.rotate()
            rotations += log.stat().st_size < before
        writer.kill()

    written = text(log)
    assert written == lines(0, written.count("\n"))


def test_the_oldest_go_and_the_end_stays_in_the_file(tmp_path: Path) -> None:
    log, kept = tmp_path / "it.log", LogFiles(tmp_path, LIMITS)
    for _ in range(7):
        with writing(log, 60_000) as writer:
            writer.wait()
        kept.rotate()
        assert log.read_text().endswith("\n59999\n")

    assert [file.name for file in files(log)] == ["it.log.3", "it.log.2", "it.log.1", "it.log"]
    assert text(log).endswith(lines(0, 60_000))


def test_what_is_small_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "it.log").write_bytes(bytes(FILE_BYTES - 1))
    LogFiles(tmp_path, LIMITS).rotate()
    assert (tmp_path / "it.log").stat().st_size == FILE_BYTES - 1
    assert len(files(tmp_path / "it.log")) == 1


def test_where_the_file_system_can_only_empty_a_file_all_that_is_there_is_kept(memory_directory: Path) -> None:
    log, kept = memory_directory / "it.log", LogFiles(memory_directory, LIMITS)
    for _ in range(3):
        with writing(log, 60_000) as writer:
            writer.wait()
        kept.rotate()

    assert text(log) == lines(0, 60_000) * 3
    assert log.read_text() == ""


def test_a_log_that_cannot_be_made_smaller_is_told_of_and_the_others_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("hindered", "other"):
        (tmp_path / f"{name}.log").write_bytes(bytes(FILE_BYTES))
    (tmp_path / "hindered.log.3" / "in the way").mkdir(parents=True)
    (tmp_path / "hindered.log.2").touch()

    LogFiles(tmp_path, LIMITS).rotate()

    assert "hindered.log cannot be made smaller" in caplog.text
    assert (tmp_path / "hindered.log").stat().st_size == FILE_BYTES
    assert (tmp_path / "other.log").stat().st_size < FILE_BYTES


@pytest.mark.parametrize("value", ["0", "-1", "1e9", "", "many", "٣"])
@pytest.mark.parametrize("name", ["CLIPPER_LOG_FILE_BYTES", "CLIPPER_LOG_OLD_FILES"])
def test_a_limit_that_is_none_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ClipperException, match=rf"{name} must be a whole number from \d+ on, not '{value}'"):
        LogLimits.from_environment({name: value})


def test_limits_come_from_the_environment() -> None:
    assert LogLimits.from_environment({}) == LogLimits(16 << 20, 3)
    environment = {"CLIPPER_LOG_FILE_BYTES": "300000", "CLIPPER_LOG_OLD_FILES": "3"}
    assert LogLimits.from_environment(environment) == LIMITS


def test_of_processes_that_have_ended_the_logs_of_the_last_are_kept_and_those_of_the_living(tmp_path: Path) -> None:
    for number in range(30):
        for name in (f"m_{number}-0.log", f"m_{number}-0.log.1"):
            (tmp_path / name).write_text("said")
            os.utime(tmp_path / name, (number, number))

    LogFiles(tmp_path, LIMITS).clear_away({"m_0-0"})

    kept = {0, *range(10, 30)}
    assert {file.name for file in tmp_path.iterdir()} == {
        f"m_{number}-0.log{suffix}" for number in kept for suffix in ("", ".1")
    }

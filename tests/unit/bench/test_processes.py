"""Processes under measurement, and what they spend."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.rig.errors import BenchmarkError
from bench.rig.processes import MARK, Process, cpu_s, is_alive, marked
from bench.rig.statistics import Ratio, quantile


def test_a_process_is_found_by_its_mark_and_so_is_what_it_starts(tmp_path: Path) -> None:
    child = f"{sys.executable} -c 'print(1, flush=True); input()'"
    with Process("parent", ["sh", "-c", f"{child}; true"], {MARK: "a-mark"}, tmp_path / "log") as parent:
        parent.wait_until(lambda: parent.has_logged("1"), "the start of the child")
        (worker,) = parent.workers
        found = {each.pid: each for each in marked("a-mark")}
        assert set(found) == {parent.pid, worker}
        assert found[worker].command[:2] == (sys.executable, "-c")
        assert found[worker].environment[MARK] == "a-mark"
        assert not marked("another-mark")
        parent.end(within_s=40.0)
    assert not is_alive(parent.pid)


def test_processor_time_is_that_of_the_processes_together_and_finer_than_a_tick() -> None:
    me = [os.getpid()]
    before_s, own_before_s = cpu_s(me), time.process_time()
    until_s = time.process_time() + 0.003
    while time.process_time() < until_s:
        pass
    assert cpu_s(me) - before_s == pytest.approx(time.process_time() - own_before_s, abs=0.002)
    assert cpu_s(me + me) == pytest.approx(2 * cpu_s(me), rel=0.1)


def test_the_time_of_an_ended_process_is_an_error() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    with pytest.raises(BenchmarkError, match="has ended"):
        cpu_s([ended.pid])


def test_what_ends_before_it_is_ready_is_an_error_that_names_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        Process("hasty", ["false"], {}, log) as hasty,
        pytest.raises(BenchmarkError, match=rf"hasty ended with 1; see {log}"),
    ):
        hasty.wait_until(lambda: False, "nothing")


def test_a_ratio_is_the_median_of_the_rounds_ratios_with_their_spread() -> None:
    # The machine became half as fast in the last round, for both.
    assert Ratio.of([100.0, 100.0, 50.0], [110.0, 90.0, 50.0]) == Ratio(1.0, 0.9, 1.1)


def test_a_quantile_is_one_of_the_values() -> None:
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 4.0, 4.0]

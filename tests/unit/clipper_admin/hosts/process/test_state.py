"""What a cluster writes down of itself."""

import json
import os
import shutil
from pathlib import Path

import pytest

from clipper_admin import ClipperException
from clipper_admin.hosts.identity import ProcessIdentity
from clipper_admin.hosts.process.process import ProcessSpec, Tier
from clipper_admin.hosts.process.state import Addresses, ClusterState, ProcessRecord, UnreadableState

ADDRESSES = Addresses(
    query="127.0.0.1:1337",
    admin="127.0.0.1:1338",
    metrics=("127.0.0.1:1390", "127.0.0.1:1391"),
    query_services=("127.0.0.1:7001", "127.0.0.1:7002"),
    management_service="127.0.0.1:7000",
)
SPEC = ProcessSpec(
    name="sums_1-0",
    command=("python", "-m", "services.model_container"),
    tier=Tier.REPLICA,
    environment={"CLIPPER_MODEL_NAME": "sums"},
    ready_port=7100,
    give_up_after=5,
    model_id="sums:1",
)


def test_a_later_interpreter_reads_what_was_written(tmp_path: Path) -> None:
    processes = (ProcessRecord(SPEC, ProcessIdentity(4711, "boot:1")), ProcessRecord(SPEC))
    state = ClusterState(ADDRESSES, processes, ProcessIdentity(4710, "boot:0"))

    state.write(tmp_path / "state.json")

    assert ClusterState.read(tmp_path / "state.json") == state
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_without_a_file_there_is_no_state(tmp_path: Path) -> None:
    assert ClusterState.read(tmp_path / "state.json") is None


def test_only_processes_that_still_run_are_alive() -> None:
    this = ProcessIdentity.of(os.getpid())
    gone = ProcessIdentity(os.getpid(), "an earlier boot:1")

    assert ClusterState(ADDRESSES, (ProcessRecord(SPEC, gone), ProcessRecord(SPEC, this)), gone).alive() == [this]


def test_what_a_power_cut_has_left_of_a_file_is_not_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    ClusterState(ADDRESSES, (ProcessRecord(SPEC, ProcessIdentity(4711, "boot:1")),)).write(path)
    written = path.read_bytes()

    for length in range(0, len(written), 10):
        path.write_bytes(written[:length])
        with pytest.raises(UnreadableState, match="start_clipper puts it aside"):
            ClusterState.read(path)
        path.write_bytes(written[:length] + bytes(len(written) - length))
        with pytest.raises(UnreadableState):
            ClusterState.read(path)


@pytest.mark.parametrize("content", ["[]", "{}", "null", "7", '"state"', "\ud800", '{"format": 1, "addresses": {}}'])
def test_what_is_no_state_is_not_obeyed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content.encode(errors="surrogatepass"))

    with pytest.raises(ClipperException, match="cannot be read"):
        ClusterState.read(path)


def test_the_state_of_another_release_is_not_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    ClusterState(ADDRESSES).write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))

    with pytest.raises(UnreadableState, match="its format is 2, not 1"):
        ClusterState.read(path)


def test_a_write_that_was_cut_off_does_not_disturb_the_next(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    ClusterState(ADDRESSES).write(path)
    shutil.copy(path, tmp_path / "state.json.new")

    ClusterState(ADDRESSES, (ProcessRecord(SPEC),)).write(path)

    state = ClusterState.read(path)
    assert state is not None
    assert state.replicas() == [SPEC]


def test_processes_without_their_supervisor_are_orphans() -> None:
    this = ProcessIdentity.of(os.getpid())
    gone = ProcessIdentity(os.getpid(), "an earlier boot:1")

    assert ClusterState(ADDRESSES, (ProcessRecord(SPEC, this),), gone).is_orphaned()
    assert not ClusterState(ADDRESSES, (ProcessRecord(SPEC, this),), this).is_orphaned()
    assert not ClusterState(ADDRESSES, (ProcessRecord(SPEC, gone),), gone).is_orphaned()

"""What a cluster writes down of itself."""

import os
from pathlib import Path

from clipper_admin.local.identity import ProcessIdentity
from clipper_admin.local.specification import ProcessSpec, Tier
from clipper_admin.local.state import Addresses, ClusterState, ProcessRecord

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

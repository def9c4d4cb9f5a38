"""The check of model containers, on the start and the end of containers that are processes."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from clipper_admin.conformance import kit, probes
from clipper_admin.conformance.kit import Patience, Verdict
from tests.fixtures.model_containers import save

REPOSITORY = Path(__file__).parents[2]
NAMES = [check.name for check in kit.CHECKS]
IMPATIENT = Patience(answer_s=3.0, load_s=30.0, lease_s=1.0)
pytestmark = pytest.mark.usefixtures("tree")


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started finds the modules of the tree."""
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}:{REPOSITORY / 'protos' / 'gen'}")


def broken(found: Sequence[kit.Finding]) -> dict[str, str]:
    """The sentences of what is broken, by the checks' names."""
    return {finding.check.name: finding.sentence for finding in found if finding.verdict is Verdict.BROKEN}


def start(fault: str, *checks: str, patience: Patience = IMPATIENT) -> list[kit.Finding]:
    """What these checks find in a container with a fault."""
    command = f"{sys.executable} -m tests.fixtures.broken_containers '{fault}'"
    skip = set(NAMES) - {"single", *checks}
    return list(kit.findings("127.0.0.1:0", "doubles", command=command, patience=patience, skip=skip))


def test_our_own_container_keeps_all_of_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def first_number(inputs: Any) -> list[str]:
        return [str(each[0]) for each in inputs]

    monkeypatch.setenv("CLIPPER_MODEL_PATH", str(save(tmp_path, first_number)))
    file = tmp_path / "expected.jsonl"
    file.write_text('{"input": [8, 9], "output": 8}\n{"input": [], "error": "IndexError"}\n')

    found = list(
        kit.findings(
            "127.0.0.1:0",
            "doubles",
            expectations=probes.read(file, "doubles"),
            command=f"{sys.executable} -m services.model_container",
            patience=Patience(answer_s=30.0, ping_interval_s=1.0),
        )
    )

    assert {finding.check.name for finding in found if finding.verdict is Verdict.KEPT} == set(NAMES), broken(found)


@pytest.mark.parametrize(
    ("fault", "name", "sentence"),
    [
        (
            "serving before it is loaded",
            "start",
            r"said SERVING, and the first batch took 2\.\d+ s, the same batch later",
        ),
        ("no lease", "lease", "has not asked for a lease at CLIPPER_MANAGEMENT_ADDRESS within 3 s"),
        ("another version", "lease", "a lease with the model_version 'another', and was told '1'"),
        ("lease before serving", "lease", "asked for its lease before its health check said SERVING"),
        ("lease not renewed", "lease", "A lease of 1 s was not renewed in time"),
        ("lease renewed late", "lease", r"renewed after 1\.\d+ s, when it had lapsed"),
        ("lease renewed all the time", "lease", r"A lease of 1 s was renewed \d+ times within 0"),
        ("lease not opened again", "lease-again", "which was not opened again within 3 s"),
        ("lease under another id", "lease-again", "under the model_replica_id that it was given, 7, not none"),
        ("lease not released", "drain", "The lease was not released within 3 s of SIGTERM"),
        ("no drain", "drain", "until they are half-closed: an idle stream ended with"),
        ("no end", "drain", "still runs 3 s after SIGTERM and the end of its last stream"),
        ("heirs of its sockets", "kill", "was killed, and its connection is still open 2 s later"),
        (
            "no grace",
            "grace",
            "With CLIPPER_DRAIN_GRACE_S=1 and an open stream the container still runs 4 s after SIGT",
        ),
    ],
)
def test_a_fault_of_a_containers_life_is_found(fault: str, name: str, sentence: str) -> None:
    found = broken(start(fault, "start", name))
    assert list(found) == [name], found
    assert re.search(sentence, found[name])


def test_a_container_that_never_says_that_it_serves_is_not_waited_for_any_longer() -> None:
    found = broken(start("never serving", "start", patience=Patience(load_s=1.0)))
    assert "and not SERVING within 1 s" in found["start"]


def test_a_container_that_ends_at_once_is_told_apart_from_one_that_loads() -> None:
    found = list(kit.findings("127.0.0.1:0", "doubles", command="sh -c 'exit 3'", skip=set(NAMES) - {"start"}))
    assert broken(found) == {"start": "The container ended with exit code 3 before it said that it serves"}


def test_a_container_that_dies_of_one_check_is_started_again_for_the_next() -> None:
    found = start("death of no inputs", "start", "no-inputs", "garbage")
    assert [finding.verdict for finding in found] == [Verdict.KEPT, Verdict.KEPT, Verdict.BROKEN, Verdict.KEPT]

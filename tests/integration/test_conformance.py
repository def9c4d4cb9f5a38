"""The check of model containers, on containers that keep the contract and on some that break it in one way each."""

import json
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from clipper_admin.conformance import kit, probes
from clipper_admin.conformance.kit import Patience, Verdict
from tests.fixtures.broken_containers import BrokenContainer
from tests.fixtures.broken_streams import STREAM_FAULTS
from tests.fixtures.model_containers import save, serving

REPOSITORY = Path(__file__).parents[2]
NAMES = [check.name for check in kit.CHECKS]
LIVES = {"start", "lease", "lease-again", "drain", "kill", "grace"}
# What takes long by nature.
SLOW = {"pings", "large"}
IMPATIENT = Patience(answer_s=1.0, load_s=1.0, ping_interval_s=1.0)


def verdicts(found: Sequence[kit.Finding], verdict: Verdict) -> dict[str, str]:
    """The sentences of the findings that came to a verdict, by the checks' names."""
    return {finding.check.name: finding.sentence for finding in found if finding.verdict is verdict}


def all_but(*names: str) -> set[str]:
    return set(NAMES) - set(names)


def check(container: BrokenContainer, *, skip: Collection[str] = (), **options: Any) -> list[kit.Finding]:
    return list(kit.findings(container.address, "doubles", skip=skip, **options))


def start(fault: str, *checks: str, patience: Patience) -> list[kit.Finding]:
    """What is found of a container that is started as a process."""
    command = f"{sys.executable} -m tests.fixtures.broken_containers '{fault}'"
    skip = all_but("single", *checks)
    return list(kit.findings("127.0.0.1:0", "doubles", command=command, patience=patience, skip=skip))


def first_number(inputs: Any) -> list[str]:
    """Fails for an empty input."""
    return [str(each[0]) for each in inputs]


@pytest.fixture
def own_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The command that starts Clipper's own container, with a model of numbers."""
    monkeypatch.setenv("CLIPPER_MODEL_PATH", str(save(tmp_path, first_number)))
    return f"{sys.executable} -m services.model_container"


@pytest.fixture(autouse=True)
def tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started finds the tests' own modules."""
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}:{REPOSITORY / 'protos' / 'gen'}")


def test_our_own_container_keeps_all_of_the_contract(own_container: str, tmp_path: Path) -> None:
    file = tmp_path / "expected.jsonl"
    file.write_text('{"input": [8, 9], "output": 8}\n{"input": [], "error": "IndexError"}\n')
    patience = Patience(ping_interval_s=1.0)

    found = list(
        kit.findings(
            "127.0.0.1:0",
            "doubles",
            expectations=probes.read(file, "doubles"),
            command=own_container,
            patience=patience,
        )
    )

    assert verdicts(found, Verdict.KEPT).keys() == set(NAMES), found


@pytest.mark.parametrize("input_type", ["bytes", "integers", "floats", "strings"])
def test_our_own_container_keeps_the_contract_with_inputs_of_each_type(input_type: str) -> None:
    with serving(first_number, input_type) as container:
        found = list(kit.findings(container.address, input_type, skip={"pings"}))

    assert verdicts(found, Verdict.NOT_LOOKED_AT).keys() == LIVES | {"expected"}, found
    assert not verdicts(found, Verdict.BROKEN)


def test_a_model_that_takes_inputs_of_one_length_is_checked_with_those_that_are_given(tmp_path: Path) -> None:
    def widths(inputs: Any) -> list[str]:
        if not all(len(row) == 4 for row in inputs):
            raise ValueError("four numbers are wanted")
        return [json.dumps({"first": row[0], "mean": sum(row) / 3}) for row in inputs]

    file = tmp_path / "expected.jsonl"
    lines = (
        {"input": [1, 2, 3, 4], "output": {"first": 1, "mean": 3.3333333}},
        {"input": [5, 6, 7, 8], "output": json.dumps({"first": 5.0, "mean": 26 / 3})},
        {"input": [1], "error": "four numbers"},
    )
    file.write_text("\n\n".join(map(json.dumps, lines)))

    with serving(widths) as container:
        skip = SLOW | LIVES
        blind = list(kit.findings(container.address, "doubles", skip=skip))
        told = list(kit.findings(container.address, "doubles", expectations=probes.read(file, "doubles"), skip=skip))

    assert "no input is known for which the model has an output" in verdicts(blind, Verdict.NOT_LOOKED_AT)["order"]
    assert verdicts(told, Verdict.KEPT).keys() == set(NAMES) - skip, told


def test_a_small_container_that_keeps_the_contract_is_found_to_keep_it() -> None:
    with BrokenContainer() as container:
        found = check(container, skip={"expected", "pings", *LIVES})
    assert verdicts(found, Verdict.KEPT).keys() == set(NAMES) - {"expected", "pings"} - LIVES, found


@pytest.mark.parametrize(
    ("fault", "name", "sentence"),
    [
        ("one output too few", "order", r"A batch of \d inputs was answered with \d outputs"),
        (
            "outputs in reverse",
            "order",
            "which is that of the input at place .; outputs are in the order of the inputs",
        ),
        (
            "one failure fails its batch",
            "failures",
            r"has the output '6.5' when it is asked alone, and the failure 'one was",
        ),
        ("an output beside a failure", "failures", "has a failure and an output, which has to be empty"),
        ("any type taken", "types", "inputs of the type strings was answered with the output '0.0', and has to fail"),
        ("short data padded", "lengths", "shorter than their lengths say was answered with the output '0.0'"),
        ("ids as doubles", "ids", "Batch 9007199254740993 was the next .* has the batch_id 9007199254740992"),
        ("nanoseconds", "single", "says that 1000000000 µs of it went into the model; model_micros counts micro"),
        ("batches mixed up", "order", "A batch of 2 inputs was answered with 1 outputs|when it is asked alone, and"),
        ("answers out of order", "order", "Batch 1 was the next to be answered, and the answer .* batch_id 2"),
        (
            "a failure ends the stream",
            "failures",
            r"The stream ended with UNKNOWN \(ValueError: empty\), and the answer",
        ),
        ("a bad end", "half-close", r"half-closed, and ended with INTERNAL \(the client is gone\), not with OK"),
        ("broken streams leak", "cancellation", "RESOURCE_EXHAUSTED .no thread is left"),
        ("death of no inputs", "no-inputs", "does not answer any more after this: a batch without inputs"),
        ("never serving", "health", "The health check of 'clipper.v1.ModelContainerService' answers NOT_FOUND"),
    ],
)
def test_a_fault_of_streams_is_found_where_it_is_and_said_in_a_sentence(fault: str, name: str, sentence: str) -> None:
    with BrokenContainer(fault) as container:
        found = check(container, skip=SLOW)
    broken = verdicts(found, Verdict.BROKEN)
    assert re.search(sentence, broken[name]), broken


@pytest.mark.parametrize(
    ("fault", "name", "sentence"),
    [
        ("pipelined batches dropped", "order", "Batch 1 was the next to be answered, and the answer .* batch_id 2"),
        ("late batches dropped", "deadlines", "Batch 1 was the next to be answered, and the answer .* batch_id 2"),
        ("answers kept back", "single", "The answer to batch 1, of 1 inputs, has not come within 1 s"),
        ("one stream at a time", "streams", "The answer to batch 1, of 2 inputs, has not come within 1 s"),
        ("pings forbidden", "pings", "An idle stream that was pinged every 1 s ended with UNAVAILABLE"),
    ],
)
def test_a_container_that_leaves_a_stream_without_an_answer_is_found(fault: str, name: str, sentence: str) -> None:
    with BrokenContainer(fault) as container:
        found = check(container, skip=all_but("single", name), patience=IMPATIENT)
    broken = verdicts(found, Verdict.BROKEN)
    assert list(broken) == [name], found
    assert re.search(sentence, broken[name])


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("messages of 4 MiB", "The stream ended with RESOURCE_EXHAUSTED .*larger than max"),
        ("an answer too large", "The stream ended with RESOURCE_EXHAUSTED .*larger than max"),
    ],
)
def test_a_container_that_cannot_bear_large_batches_is_found(fault: str, sentence: str) -> None:
    with BrokenContainer(fault) as container:
        found = check(container, skip=all_but("single", "large"))
    assert re.search(sentence, verdicts(found, Verdict.BROKEN)["large"]), found


@pytest.mark.parametrize(
    ("fault", "name", "sentence"),
    [
        (
            "serving before it is loaded",
            "start",
            r"said SERVING, and the first batch took 2\.\d+ s, the same batch later",
        ),
        ("no lease", "lease", "has not asked for a lease at CLIPPER_MANAGEMENT_ADDRESS within 2 s"),
        ("another version", "lease", "a lease with the model_version 'another', and was told '1'"),
        ("lease before serving", "lease", "asked for its lease before its health check said SERVING"),
        ("lease not renewed", "lease", "A lease of 2 s was not renewed in time"),
        ("lease renewed late", "lease", r"renewed after 2\.\d+ s, when it had lapsed"),
        ("lease renewed all the time", "lease", "A lease of 2 s was renewed . times within 0"),
        ("lease not opened again", "lease-again", "which was not opened again within 2 s"),
        ("lease under another id", "lease-again", "under the model_replica_id that it was given, 7, not none"),
        ("lease not released", "drain", "The lease was not released within 2 s of SIGTERM"),
        (
            "no drain",
            "drain",
            "until they are half-closed: an idle stream ended with",
        ),
        ("no end", "drain", "still runs 2 s after SIGTERM and the end of its last stream"),
        ("heirs of its sockets", "kill", "was killed, and its connection is still open 2 s later"),
        (
            "no grace",
            "grace",
            "With CLIPPER_DRAIN_GRACE_S=1 and an open stream the container still runs 3 s after SIGTERM",
        ),
    ],
)
def test_a_fault_of_a_containers_life_is_found(fault: str, name: str, sentence: str) -> None:
    found = start(fault, "start", name, patience=Patience(answer_s=2.0, load_s=30.0))
    broken = verdicts(found, Verdict.BROKEN)
    assert list(broken) == [name], found
    assert re.search(sentence, broken[name])


def test_a_container_that_never_says_that_it_serves_is_not_waited_for_any_longer() -> None:
    found = start("never serving", "start", patience=IMPATIENT)
    assert "The container says NOT_FOUND" in verdicts(found, Verdict.BROKEN)["start"]


def test_a_container_that_ends_at_once_is_told_apart_from_one_that_loads() -> None:
    found = list(kit.findings("127.0.0.1:0", "doubles", command="sh -c 'exit 3'", skip=all_but("start", "single")))
    assert verdicts(found, Verdict.BROKEN) == {
        "start": "The container ended with exit code 3 before it said that it serves"
    }
    assert "cannot be started again" in verdicts(found, Verdict.NOT_LOOKED_AT)["single"]


def test_a_container_that_dies_of_one_check_is_started_again_for_the_next() -> None:
    found = start("death of no inputs", "no-inputs", "garbage", patience=Patience(answer_s=2.0))
    assert verdicts(found, Verdict.BROKEN).keys() == {"no-inputs"}
    assert verdicts(found, Verdict.KEPT).keys() == {"single", "garbage"}


def test_a_model_that_answers_the_same_differently_is_not_blamed_for_it() -> None:
    calls = iter(range(10**6))

    with serving(lambda inputs: [next(calls) for _ in inputs]) as container:
        found = list(kit.findings(container.address, "doubles", skip=SLOW | LIVES))

    assert not verdicts(found, Verdict.BROKEN), found
    assert "answers are not compared" in verdicts(found, Verdict.NOT_LOOKED_AT)["single"]


def test_what_is_expected_and_does_not_come_is_said(tmp_path: Path) -> None:
    file = tmp_path / "expected.jsonl"
    file.write_text('{"input": [1, 2], "output": "4.0"}\n')
    with BrokenContainer() as container:
        found = check(container, expectations=probes.read(file, "doubles"), skip=all_but("single", "expected"))
    assert verdicts(found, Verdict.BROKEN) == {
        "expected": "The input [1, 2] has the output '3.0', and the output '4.0' is expected"
    }


def test_each_check_is_a_clause_of_the_documentation() -> None:
    documentation = (REPOSITORY / "docs" / "containers.md").read_text()
    assert [name for name in NAMES if f"**{name}**" not in documentation] == []


def test_each_fault_is_looked_for_by_a_test() -> None:
    tested = Path(__file__).read_text()
    assert [fault for fault in STREAM_FAULTS if f'("{fault}", ' not in tested and fault] == []

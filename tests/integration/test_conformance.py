"""The check of model containers, on containers that keep the contract and on some that break it in one way each."""

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from clipper_admin.conformance import kit, probes
from clipper_admin.conformance.kit import Patience, Verdict
from tests.fixtures.broken_containers import BrokenContainer
from tests.fixtures.broken_streams import FAULTS_OF_PROCESSES, STREAM_FAULTS
from tests.fixtures.model_containers import serving

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


def first_number(inputs: Any) -> list[str]:
    """Fails for an empty input."""
    return [str(each[0]) for each in inputs]


@pytest.mark.parametrize("input_type", ["bytes", "integers", "floats", "strings"])
def test_our_own_container_keeps_the_contract_with_inputs_of_each_type(input_type: str) -> None:
    with serving(first_number, input_type) as container:
        found = list(kit.findings(container.address, input_type, skip=SLOW))

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

    assert verdicts(blind, Verdict.NOT_LOOKED_AT).keys() == {"batch", "expected", "failures", "order"}
    assert "for which the model has different outputs" in verdicts(blind, Verdict.NOT_LOOKED_AT)["order"]
    assert verdicts(told, Verdict.KEPT).keys() == set(NAMES) - skip, told


def test_a_small_container_that_keeps_the_contract_is_found_to_keep_it() -> None:
    with BrokenContainer() as container:
        found = check(container, skip={"expected", "pings", *LIVES})
    assert verdicts(found, Verdict.KEPT).keys() == set(NAMES) - {"expected", "pings"} - LIVES, found


# What is wrong, which check finds it, and what that says.
WRONG = [
    ("one output too few", "order", "Batch 2, of 2 inputs, was answered with 1 outputs"),
    ("outputs in reverse", "order", "which is that of the input at place .; outputs are in the order of the inputs"),
    (
        "one failure fails its batch",
        "failures",
        "has the output '6.5' when it is asked alone, and the failure 'one was",
    ),
    ("an output beside a failure", "single", "has a failure and an output, which has to be empty"),
    ("any type taken", "types", "inputs of the type strings was answered with the output '0.0', and has to fail"),
    ("short data padded", "lengths", "shorter than their lengths say was answered with the output '0.0'"),
    ("ids as doubles", "ids", "Batch 9007199254740993 was the next .* has the batch_id 9007199254740992"),
    ("nanoseconds", "single", "says that 1000000000 µs of it went into the model; model_micros counts micro"),
    ("batches mixed up", "order", "Batch 1, of 1 input, was answered with 2 outputs; it would be right for batch 2"),
    ("answers out of order", "order", "Batch 1 was the next to be answered, and the answer .* batch_id 2"),
    ("a failure ends the stream", "single", r"The stream ended with UNKNOWN \(ValueError: empty\), and the answer"),
    ("a bad end", "half-close", r"half-closed, and ended with INTERNAL \(the client is gone\), not with OK"),
    ("broken streams leak", "cancellation", "RESOURCE_EXHAUSTED .no thread is left"),
    ("death of no inputs", "no-inputs", "does not answer any more after this: a batch without inputs"),
    ("never serving", "health", "The health check of 'clipper.v1.ModelContainerService' answers NOT_FOUND"),
]
SILENT = [
    ("pipelined batches dropped", "order", "Batch 1 was the next to be answered, and the answer .* batch_id 2"),
    ("late batches dropped", "deadlines", "Batch 1 was the next to be answered, and the answer .* batch_id 2"),
    ("answers kept back", "single", "The answer to batch 1, of 1 input, has not come within 1 s"),
    ("one stream at a time", "streams", "The answer to batch 1, of 2 inputs, has not come within 1 s"),
    ("pings forbidden", "pings", "An idle stream that was pinged every 1 s ended with UNAVAILABLE"),
]
SMALL = [
    ("messages of 4 MiB", "The stream ended with RESOURCE_EXHAUSTED .*larger than max"),
    ("an answer too large", "The stream ended with RESOURCE_EXHAUSTED .*larger than max"),
]


@pytest.mark.parametrize(("fault", "name", "sentence"), WRONG)
def test_a_fault_of_streams_is_found_where_it_is_and_said_in_a_sentence(fault: str, name: str, sentence: str) -> None:
    with BrokenContainer(fault) as container:
        found = check(container, skip=SLOW | {"garbage"})
    broken = verdicts(found, Verdict.BROKEN)
    assert re.search(sentence, broken[name]), broken


@pytest.mark.parametrize(("fault", "name", "sentence"), SILENT)
def test_a_container_that_leaves_a_stream_without_an_answer_is_found(fault: str, name: str, sentence: str) -> None:
    with BrokenContainer(fault) as container:
        found = check(container, skip=all_but("single", name), patience=IMPATIENT)
    broken = verdicts(found, Verdict.BROKEN)
    assert list(broken) == [name], found
    assert re.search(sentence, broken[name])


@pytest.mark.parametrize(("fault", "sentence"), SMALL)
def test_a_container_that_cannot_bear_large_batches_is_found(fault: str, sentence: str) -> None:
    with BrokenContainer(fault) as container:
        found = check(container, skip=all_but("single", "large"))
    assert re.search(sentence, verdicts(found, Verdict.BROKEN)["large"]), found


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


def test_each_fault_of_streams_is_looked_for_by_a_test() -> None:
    tested = {fault for fault, *_ in (*WRONG, *SILENT, *SMALL)}
    assert STREAM_FAULTS.keys() - tested == {"", *FAULTS_OF_PROCESSES}

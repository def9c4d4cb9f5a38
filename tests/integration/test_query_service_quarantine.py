"""What cannot be read or used of the configuration harms itself alone; a query service serves everything else."""

import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from services.common.names import QUERY_SERVICE
from services.common.record_codec import encode
from services.common.records import Kind
from tests.fixtures import model_containers
from tests.fixtures.choosing import LEARNED, Choosing
from tests.fixtures.query_services import (
    DEFAULT_OUTPUT,
    PATIENCE_S,
    SERVING,
    QueryServiceProcess,
    Registry,
    redis_in,
    refusal,
)
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.vandal import UNREADABLE, Vandal
from tests.fixtures.waiting import wait_until

QUARANTINED = "quarantined: it is left out until it is registered again or deleted"
UNREADABLE_CHANGE = "a change cannot be read; taking a new snapshot"
NEW_SNAPSHOT = "taking a new snapshot"

_POLICIES = {
    "strange": ("unittest.__main__:Foo", "is not allowed"),
    "near": ("tests2.policies:Foo", "is not allowed"),
    "exiting": ("tests.fixtures.exiting_policy:Own", "cannot be imported: SystemExit: not in my house"),
    "unmade": ("tests.fixtures.choices:FailsToBeMade", "cannot be made: TypeError: oops"),
    "unknown": ("no such", "Unknown selection policy"),
}


class _World(NamedTuple):
    """A query service that follows a configuration with the application "good", and who may spoil that."""

    redis: RedisServer
    directory: Path
    registry: Registry
    vandal: Vandal
    service: Choosing

    def follows(self, application: str) -> None:
        """Registers an application and waits until the service serves it."""
        self.registry.add_application(application, "m")
        wait_until(lambda: _serves(self.service, application))

    def count(self, kind: str) -> int:
        """How many of a kind the service tells to be quarantined."""
        return int(self.service.metrics().get(f"internal:num_quarantined:{kind}", {"count": 0})["count"])


def _count(inputs: Any) -> list[str]:
    return [str(len(each)) for each in inputs]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_World]:
    """One service for all; a test spoils names of its own."""
    directory = tmp_path_factory.mktemp("quarantine")
    with ExitStack() as stack:
        redis = stack.enter_context(redis_in(directory / "redis"))
        registry = Registry(redis)
        container = stack.enter_context(model_containers.serving(_count))
        registry.add_version("m", "1")
        registry.add_replica("m", "1", 0, container.address)
        registry.add_application("good", "m")
        service = stack.enter_context(_service(redis, directory))
        wait_until(lambda: _serves(service))
        yield _World(redis, directory, registry, Vandal(redis), service)
        assert _serves(service)
        assert service.health(QUERY_SERVICE) == SERVING


def _service(redis: RedisServer, directory: Path) -> Choosing:
    service = Choosing(redis, directory, policy_prefixes="tests")
    service.expected_errors |= {QUARANTINED, UNREADABLE_CHANGE}
    return service


def _serves(service: Choosing, application: str = "good") -> bool:
    try:
        return [each.output for each in service.predict(application, 1.0)] == ["1"]
    except grpc.RpcError:
        return False


def _told(service: QueryServiceProcess, key: str) -> int:
    """How often it has told that something is quarantined."""
    return sum(line["message"] == QUARANTINED and line["key"] == key for line in service.errors())


def _of(text: bytes, name: str) -> bytes:
    return text.replace(b'"app"', f'"{name}"'.encode())


# Records


@pytest.mark.parametrize("fault", UNREADABLE)
def test_an_unreadable_record_in_a_change_harms_itself_until_it_is_written_well(world: _World, fault: str) -> None:
    name = "changed-" + fault.replace(" ", "-")
    world.vandal.change(Kind.APPLICATION, name, _of(UNREADABLE[fault], name))
    world.follows(f"{name}-later")
    why = refusal(lambda: world.service.predict(name, 1.0))
    assert why.code is grpc.StatusCode.NOT_FOUND
    assert "There is a record of that name, but it cannot be read: " in why.message
    assert (_told(world.service, name), world.count("applications")) == (1, 1)
    world.follows(name)
    assert world.count("applications") == 0
    assert _told(world.service, name) == 1


def test_unreadable_records_in_the_snapshot_harm_themselves_alone(world: _World) -> None:
    texts = {f"kept-{place}": text for place, text in enumerate(UNREADABLE.values())}
    for name, text in texts.items():
        world.vandal.put(Kind.APPLICATION, name, _of(text, name))
    with _service(world.redis, world.directory) as service:
        wait_until(lambda: _serves(service))
        for number in range(2):
            world.registry.add_application(f"later-{number}", "m")
            wait_until(lambda: _serves(service, f"later-{number}"))  # noqa: B023
        assert service.metrics()["internal:num_quarantined"] == {"count": len(texts)}
        assert {_told(service, name) for name in texts} == {1}
        for name in texts:
            assert refusal(lambda: service.predict(name, 1.0)).code is grpc.StatusCode.NOT_FOUND  # noqa: B023
            world.registry.add_application(name, "m")
            wait_until(lambda: _serves(service, name))  # noqa: B023
        assert service.metrics()["internal:num_quarantined"] == {"count": 0}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.APPLICATION])
def test_an_unreadable_record_of_any_kind_is_told_and_counted(world: _World, kind: Kind) -> None:
    world.vandal.change(kind, f"{kind}:1:0", b"{}")
    world.follows(f"with-{kind}")
    assert (_told(world.service, f"{kind}:1:0"), world.count(kind)) == (1, 1)
    with urllib.request.urlopen(f"http://{world.service.metrics_address}/metrics", timeout=PATIENCE_S) as answer:
        assert f'clipper_quarantined{{kind="{kind}"}} 1.0' in answer.read().decode()


def test_a_model_is_back_when_its_unreadable_record_is_written_well(world: _World) -> None:
    world.registry.add_version("other", "1")
    world.registry.add_application("on-other", "other")
    world.registry.add_choice("on-both", "majority", "m", "other")
    world.vandal.change(Kind.MODEL_VERSION, "other:1", b"null")
    world.vandal.change(Kind.CURRENT_VERSION, "m", b"null")
    wait_until(lambda: world.service.predict("good", 2.0)[0].output == DEFAULT_OUTPUT)
    world.registry.set_current("m", "1")
    wait_until(lambda: _serves(world.service, "on-both"))


def test_an_unreadable_record_of_one_application_keeps_no_other_from_learning(world: _World) -> None:
    choice = world.registry.add_choice("choice", "ucb1", "m")
    doomed = world.registry.add_choice("doomed", "ucb1", "m")
    wait_until(lambda: _serves(world.service, "choice") and _serves(world.service, "doomed"))
    # Who saves the predictions reads the records, too.
    world.vandal.put(Kind.APPLICATION, "doomed", encode(doomed)[:-1].encode())
    (lost,), (kept,) = world.service.predict("doomed", 3.0), world.service.predict("choice", 3.0)
    assert not lost.is_default
    with _service(world.redis, world.directory) as other:
        wait_until(lambda: _serves(other, choice.name))
        assert other.tell(choice.name, {"query_id": kept.query_id, "label": "1"}) == [LEARNED]
    world.follows("doomed")


# Changes


@pytest.mark.parametrize(
    "fields",
    [
        {"changes": "nonsense"},
        {"other": "1"},
        {"changes": '[["routes","r","{}"]]'},
        {"changes": '[["applications",[],null]]'},
        {"changes": "[[1]]"},
        {"changes": b"\xff"},
    ],
    ids=["no JSON", "no changes", "an unknown kind", "no key", "no triple", "no UTF-8"],
)
def test_a_change_that_cannot_be_read_is_passed_told_and_counted_once(
    world: _World, fields: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    def seen() -> tuple[int, int, int]:
        messages = [line["message"] for line in world.service.log()]
        counted = world.service.metrics()["internal:num_unreadable_changes"]["count"]
        return messages.count(UNREADABLE_CHANGE), messages.count(NEW_SNAPSHOT), counted

    before = seen()
    for number in range(2):
        world.vandal.append(fields)
        world.follows(f"after-{request.node.callspec.id.replace(' ', '-')}-{number}")
    assert seen() == tuple(count + 2 for count in before)


@pytest.mark.parametrize("entry_id", ["*", "18446744073709551615-0"])
def test_an_entry_that_is_no_revision_holds_nobody_up(world: _World, entry_id: str) -> None:
    def snapshots() -> int:
        return sum(line["message"] == NEW_SNAPSHOT for line in world.service.log())

    before = snapshots()
    world.vandal.append_at(entry_id)
    wait_until(lambda: snapshots() > before)
    for number in range(3):
        world.follows(f"after-{len(entry_id)}-{number}")
    assert snapshots() <= before + 2


# Policies


def test_applications_whose_policy_cannot_be_had_are_answered_for_and_alone(world: _World) -> None:
    for name, (policy, _) in _POLICIES.items():
        world.registry.add_choice(name, policy, "m")
    with _service(world.redis, world.directory) as restarted:
        wait_until(lambda: _serves(restarted))
        for number in range(2):
            world.follows(f"beside-bad-policies-{number}")
        for service in (world.service, restarted):
            for name, (_, told) in _POLICIES.items():
                (prediction,) = service.predict(name, 1.0)
                assert (prediction.output, prediction.is_default) == (DEFAULT_OUTPUT, True)
                assert told in prediction.default_explanation
                assert _told(service, name) == 1
        assert world.count("selection_policies") == len(_POLICIES)
    for name in _POLICIES:
        world.registry.add_choice(name, "ucb1", "m")
    wait_until(lambda: all(_serves(world.service, name) for name in _POLICIES))
    assert world.count("selection_policies") == 0


@pytest.mark.parametrize("policy", ["Exits", "ExitsToLearn", "ExitsToWeigh"])
def test_a_policy_that_exits_ends_nothing_but_what_it_was_asked_for(world: _World, policy: str) -> None:
    world.service.expected_errors.add("an RPC failed unexpectedly")
    world.registry.add_choice(policy, f"tests.fixtures.choices:{policy}", "m")
    world.follows(f"beside-{policy}")
    for _ in range(3):
        (prediction,) = world.service.predict(policy, 1.0, explain=True)
        assert prediction.is_default == (policy == "Exits")
        status = _tell(world.service, policy, prediction.query_id)
        assert status == (grpc.StatusCode.INTERNAL if policy == "ExitsToLearn" else LEARNED)
        assert world.service.metrics()[f"app:{policy}:num_predictions"]["count"] > 0
    assert world.service.process.poll() is None


def _tell(service: Choosing, application: str, query_id: int) -> Any:
    """What became of feedback, or how it was refused."""
    try:
        (status,) = service.tell(application, {"query_id": query_id, "label": "1"})
    except grpc.RpcError as error:
        return error.code()
    return status


def test_a_policy_under_an_allowed_prefix_chooses(world: _World) -> None:
    world.registry.add_choice("own", "tests.fixtures.choices:Custom", "m")
    wait_until(lambda: _serves(world.service, "own"))
    assert _told(world.service, "own") == 0

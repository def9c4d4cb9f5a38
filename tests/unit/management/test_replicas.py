"""Decisions about replicas and their leases."""

import dataclasses
from typing import Any

import pytest

from services.common.errors import Conflict, InvalidInput
from services.common.names import InputType
from services.common.records import Replica
from services.management import replicas
from services.management.replicas import Applicant
from tests.fixtures.configurations import after, configuration

REPLICA = Replica("forest", "1", 0, InputType.DOUBLES, "10.0.0.1:9000")
SECOND = dataclasses.replace(REPLICA, replica_id=1, address="10.0.0.2:9000")
APPLICANT = Applicant("forest", "1", InputType.DOUBLES, "10.0.0.1:9000")


class TestApplicant:
    def test_becomes_the_replica_with_the_id_it_is_given(self) -> None:
        assert APPLICANT.with_id(0) == REPLICA
        assert APPLICANT.version_key == REPLICA.version_key

    @pytest.mark.parametrize("address", ["h:1", "[::1]:65535", "replica.default.svc:9000"])
    def test_has_an_address_of_host_and_port(self, address: str) -> None:
        assert dataclasses.replace(APPLICANT, address=address).with_id(0).address == address

    @pytest.mark.parametrize("address", ["", "h", "h:", ":9000", "h:0", "h:65536", "h:-1", "h:http"])
    def test_with_any_other_address_is_refused(self, address: str) -> None:
        with pytest.raises(InvalidInput) as error:
            dataclasses.replace(APPLICANT, address=address)
        assert str(error.value) == f"A replica's address must be host:port, not '{address}'"

    @pytest.mark.parametrize(
        ("changed", "text"),
        [
            ({"model_name": "a:b"}, "Invalid model name supplied: a:b. Contains one of: ',', ':'"),
            ({"model_version": "1,2"}, "Invalid model version supplied: 1,2. Contains one of: ',', ':'"),
            ({"replica_id": -1}, "A replica's id must not be negative, but it is -1"),
        ],
    )
    def test_with_names_or_an_id_that_cannot_be_is_refused(self, changed: dict[str, Any], text: str) -> None:
        with pytest.raises(InvalidInput) as error:
            dataclasses.replace(APPLICANT, **changed)
        assert str(error.value) == text


class TestOpenLease:
    def test_registers_the_replica(self) -> None:
        known = configuration(REPLICA)
        known = after(known, replicas.open_lease(known, SECOND))
        assert known.replicas == {REPLICA.key: REPLICA, SECOND.key: SECOND}

    def test_of_a_registered_replica_changes_nothing(self) -> None:
        assert replicas.open_lease(configuration(REPLICA), REPLICA) == []

    def test_refuses_an_id_that_another_replica_has(self) -> None:
        with pytest.raises(Conflict) as error:
            replicas.open_lease(configuration(REPLICA), dataclasses.replace(SECOND, replica_id=0))
        assert str(error.value) == "The lease of replica forest:1:0 is held by 10.0.0.1:9000"

    def test_removes_what_was_registered_at_the_address(self) -> None:
        successor = dataclasses.replace(REPLICA, model_name="svm", replica_id=5)
        known = configuration(REPLICA, SECOND)
        known = after(known, replicas.open_lease(known, successor))
        assert known.replicas == {SECOND.key: SECOND, successor.key: successor}


class TestRenewLease:
    def test_changes_nothing_while_the_record_stands(self) -> None:
        assert replicas.renew_lease(configuration(REPLICA), REPLICA) == []

    def test_registers_a_swept_replica_again(self) -> None:
        known = configuration()
        assert after(known, replicas.renew_lease(known, REPLICA)).replicas == {REPLICA.key: REPLICA}

    def test_refuses_an_id_that_another_replica_has_taken(self) -> None:
        with pytest.raises(Conflict):
            replicas.renew_lease(configuration(REPLICA), dataclasses.replace(SECOND, replica_id=0))


class TestRemove:
    def test_removes_what_is_still_registered(self) -> None:
        known = configuration(REPLICA, SECOND)
        changes = replicas.remove(known, [REPLICA.key, "forest:1:7"])
        assert after(known, changes).replicas == {SECOND.key: SECOND}


class TestFind:
    def test_finds_a_replica_by_version_and_id(self) -> None:
        known = configuration(REPLICA, SECOND)
        assert replicas.find(known, "forest", "1", 1) == SECOND
        assert replicas.find(known, "forest", "1", 2) is None

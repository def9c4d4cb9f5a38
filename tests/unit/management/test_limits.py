"""Texts and lists of admin requests that are too long, at what they are in."""

import dataclasses
from collections.abc import Callable

import pytest

from services.common.errors import LimitExceeded
from services.common.names import InputType
from services.common.records import Application, Configuration, ModelVersion
from services.management import applications, models
from services.management.replicas import Applicant

_APPLICATION = Application("app", InputType.DOUBLES, "-1.0", 1_000, selection_policy="static")
_VERSION = ModelVersion("m", "1", InputType.DOUBLES)
_NOTHING = Configuration()


def _add_application(**changed: object) -> Callable[[], object]:
    return lambda: applications.add(_NOTHING, dataclasses.replace(_APPLICATION, **changed), ["p"])  # type: ignore[arg-type]


def _add_model(**changed: object) -> Callable[[], object]:
    return lambda: models.add(_NOTHING, dataclasses.replace(_VERSION, **changed))  # type: ignore[arg-type]


def _parameters(count: int, length: int = 3) -> tuple[tuple[str, float], ...]:
    return tuple((f"{number:0{length}}", 1.0) for number in range(count))


def _address(length: int) -> Callable[[], object]:
    return lambda: Applicant("m", "1", InputType.DOUBLES, "h" * (length - 3) + ":80")


LIMITS: dict[str, tuple[Callable[[], object], Callable[[], object], str]] = {
    "a default output": (
        _add_application(default_output="x" * 65_536),
        _add_application(default_output="x" * 65_537),
        "A default output has at most 65536 characters, but this one has 65537",
    ),
    "a selection policy": (
        _add_application(selection_policy="p:" + "C" * 253, policy_parameters=()),
        _add_application(selection_policy="p:" + "C" * 254, policy_parameters=()),
        "A selection policy has at most 255 characters, but this one has 256",
    ),
    "parameters": (
        _add_application(policy_parameters=_parameters(256)),
        _add_application(policy_parameters=_parameters(257)),
        "A request has at most 256 parameters of a policy, but this one has 257",
    ),
    "a parameter": (
        _add_application(policy_parameters=_parameters(1, 255)),
        _add_application(policy_parameters=_parameters(1, 256)),
        "A policy's parameter has at most 255 characters, but this one has 256",
    ),
    "labels": (
        _add_model(labels=("x",) * 64),
        _add_model(labels=("x",) * 65),
        "A request has at most 64 labels, but this one has 65",
    ),
    "a label": (
        _add_model(labels=("x" * 255,)),
        _add_model(labels=("x" * 256,)),
        "A label has at most 255 characters, but this one has 256",
    ),
    "a container name": (
        _add_model(container_name="x" * 4_096),
        _add_model(container_name="x" * 4_097),
        "A container name has at most 4096 characters, but this one has 4097",
    ),
    "a model data path": (
        _add_model(model_data_path="x" * 4_096),
        _add_model(model_data_path="x" * 4_097),
        "A model data path has at most 4096 characters, but this one has 4097",
    ),
    "an address": (
        _address(260),
        _address(261),
        "A replica's address has at most 260 characters, but this one has 261",
    ),
}


@pytest.mark.parametrize(("longest", "longer", "message"), LIMITS.values(), ids=LIMITS)
def test_the_longest_is_taken_and_a_longer_one_is_refused_with_the_limit(
    longest: Callable[[], object], longer: Callable[[], object], message: str
) -> None:
    longest()
    with pytest.raises(LimitExceeded) as refused:
        longer()
    assert str(refused.value) == message


@pytest.mark.parametrize("change", [applications.link, applications.unlink])
def test_links_are_counted_before_any_is_looked_for(change: Callable[..., object]) -> None:
    with pytest.raises(LimitExceeded) as refused:
        change(_NOTHING, "app", ("m",) * 65)
    assert str(refused.value) == "A request has at most 64 models, but this one has 65"

"""Settings that cannot be served with are refused in words."""

from typing import Any

import pytest

from services.common.errors import InvalidInput
from services.model_container.settings import Settings


def _settings(**changes: Any) -> Settings:
    return Settings(**{"model_name": "m", "model_version": "1", "input_type": "doubles", **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_name": "a:b"}, "Invalid model name"),
        ({"model_version": ""}, "Invalid model version"),
        ({"input_type": "images"}, "Invalid input type 'images'"),
        ({"address": "7000"}, "CLIPPER_ADDRESS must be host:port: '7000'"),
        ({"address": "localhost:http"}, "CLIPPER_ADDRESS"),
        ({"address": "0.0.0.0:7000", "management_address": "m:1"}, "CLIPPER_ADVERTISED_HOST must be set"),
        ({"log_level": "loud"}, "CLIPPER_LOG_LEVEL must be a log level: 'loud'"),
        ({"drain_grace_s": -1.0}, "CLIPPER_DRAIN_GRACE_S"),
        ({"drain_grace_s": float("nan")}, "CLIPPER_DRAIN_GRACE_S"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        _settings(**changes)


@pytest.mark.parametrize(
    ("address", "advertised_host", "reached_at"),
    [
        ("127.0.0.1:0", "", "127.0.0.1:45000"),
        ("[::1]:0", "", "[::1]:45000"),
        ("0.0.0.0:0", "model-1", "model-1:45000"),
    ],
)
def test_the_advertised_address_has_the_bound_port(address: str, advertised_host: str, reached_at: str) -> None:
    settings = _settings(address=address, advertised_host=advertised_host, management_address="m:1")
    assert settings.reached_at(45000) == reached_at

"""Settings of the management service."""

import pytest

from services.common.errors import InvalidInput
from services.common.settings import from_environment
from services.management.settings import Settings

REQUIRED = {"CLIPPER_REDIS_URL": "redis://redis:6379/0", "CLIPPER_ADDRESS": "0.0.0.0:7001"}


def test_have_defaults_for_all_but_the_addresses() -> None:
    settings = from_environment(Settings, REQUIRED)
    assert settings == Settings("redis://redis:6379/0", "0.0.0.0:7001", 5.0, 10.0, "INFO")


@pytest.mark.parametrize("missing", sorted(REQUIRED))
def test_need_the_addresses(missing: str) -> None:
    with pytest.raises(InvalidInput, match=missing):
        from_environment(Settings, REQUIRED | {missing: ""})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CLIPPER_LEASE_TTL_S", "0"),
        ("CLIPPER_LEASE_TTL_S", "inf"),
        ("CLIPPER_LEASE_TTL_S", "nan"),
        ("CLIPPER_LEASE_TTL_S", "soon"),
        ("CLIPPER_DRAIN_GRACE_S", "-1"),
        ("CLIPPER_DRAIN_GRACE_S", "nan"),
    ],
)
def test_refuse_what_is_out_of_range(variable: str, value: str) -> None:
    with pytest.raises(InvalidInput):
        from_environment(Settings, REQUIRED | {variable: value})

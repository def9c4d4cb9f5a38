"""What the engine is told about a container."""

from docker.types import DeviceRequest, Mount

from clipper_admin.hosts.docker.labels import Role
from clipper_admin.hosts.docker.resources import Resources
from clipper_admin.hosts.docker.specification import ContainerSpec, merged

SPEC = ContainerSpec(role=Role.QUERY, name="query-1", host="query-1", image="clipper/query", networks=("net",))


def test_every_container_is_confined_and_labelled() -> None:
    options = SPEC.options("mine", "127.0.0.1")

    assert options["labels"] == {"ai.clipper.container.label": "mine", "ai.clipper.role": "query"}
    assert options["read_only"]
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges:true"]
    assert not {"volumes", "mounts", "user", "entrypoint", "command"} & options.keys()


def test_ports_are_published_at_the_given_address() -> None:
    spec = ContainerSpec(role=Role.ENVOY, name="e", host="e", image="i", networks=("n",), ports={1337: 4711})

    assert spec.options("mine", "127.0.0.1")["ports"] == {"1337/tcp": ("127.0.0.1", 4711)}


def test_who_is_given_files_or_keeps_data_has_a_place_for_them() -> None:
    spec = ContainerSpec(role=Role.REDIS, name="r", host="r", image="i", networks=("n",), keeps_data=True, user=1)

    options = spec.options("mine", "127.0.0.1")

    assert options["mounts"] == [Mount(target="/clipper", source=None, type="volume")]
    assert options["user"] == "1"


def test_a_users_options_add_to_mappings_and_lists_and_replace_the_rest() -> None:
    ours = {"labels": {"a": "1"}, "cap_drop": ["ALL"], "read_only": True}

    assert merged(ours, {"labels": {"b": "2"}, "cap_drop": ["X"], "read_only": False, "mem_limit": "1g"}) == {
        "labels": {"a": "1", "b": "2"},
        "cap_drop": ["ALL", "X"],
        "read_only": False,
        "mem_limit": "1g",
    }


def test_limits_survive_the_way_through_the_engine() -> None:
    limits = Resources(cpus=1.5, memory_bytes=1 << 30, gpus=2)
    options = limits.options()

    told = {
        "NanoCpus": options["nano_cpus"],
        "Memory": options["mem_limit"],
        "DeviceRequests": [DeviceRequest(**request) for request in options["device_requests"]],
    }

    assert Resources.of(told) == limits
    assert options["memswap_limit"] == options["mem_limit"]


def test_no_limits_are_none() -> None:
    assert Resources().options() == {}
    assert Resources.of({"NanoCpus": 0, "Memory": 0, "DeviceRequests": None}) == Resources()

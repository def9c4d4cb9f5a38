"""What the parts of a cluster are told, wherever they run: their programs' arguments and their environments.

Addresses are host:port; `store` is that of Redis.
"""

from collections.abc import Mapping

from clipper_admin.cluster.host import Artefact
from clipper_admin.naming import input_type_name

# Services and replicas drain for as long as this at most.
_DRAIN_GRACE_S = 5.0
# The transcoder gains nothing from a second worker as long as one query service is the narrower place (deploy/envoy).
_ENVOY_WORKERS = 1

_STORE = "CLIPPER_REDIS_URL"
_CACHE_SIZE = "CLIPPER_CACHE_SIZE_BYTES"
_MODEL_NAME = "CLIPPER_MODEL_NAME"
_MODEL_VERSION = "CLIPPER_MODEL_VERSION"
_INPUT_TYPE = "CLIPPER_INPUT_TYPE"
MODEL_PATH = "CLIPPER_MODEL_PATH"
MODEL_PYTHON = "CLIPPER_MODEL_PYTHON"
MANAGEMENT_ADDRESS = "CLIPPER_MANAGEMENT_ADDRESS"
ADDRESS = "CLIPPER_ADDRESS"

# What a process for the model alone imports, from the first version on that has what it uses.
RUNTIME_PACKAGES = ("cloudpickle>=2.2", "numpy", "orjson>=3.9")


def redis(port: int, directory: str, **others: str) -> tuple[str, ...]:
    """The arguments of a store with its files in `directory`; what it acknowledges survives it and the machine."""
    always = {"appendonly": "yes", "appendfsync": "always", "save": ""}
    options = {"port": str(port), "dir": directory, **always, **others}
    return tuple(word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value))


def envoy(configuration: str) -> tuple[str, ...]:
    """The arguments of an edge with this configuration file."""
    return ("-c", configuration, "--concurrency", str(_ENVOY_WORKERS), "-l", "warn", "--disable-hot-restart")


def management(store: str, address: str) -> dict[str, str]:
    """The environment of a management service that listens at `address`."""
    return {_STORE: _redis_url(store), **_serving(address)}


def query(store: str, address: str, metrics_address: str, cache_size_bytes: int) -> dict[str, str]:
    """The environment of a query service that listens at `address`, and for its metrics at `metrics_address`."""
    return {
        _STORE: _redis_url(store),
        "CLIPPER_METRICS_ADDRESS": metrics_address,
        _CACHE_SIZE: str(cache_size_bytes),
        **_serving(address),
    }


def replica(model_name: str, version: str, input_type: str, path: str, management: str, address: str) -> dict[str, str]:
    """The environment of a model container that listens at `address`, with the model's files in `path`."""
    return {
        _MODEL_NAME: model_name,
        _MODEL_VERSION: version,
        _INPUT_TYPE: input_type,
        MODEL_PATH: path,
        MANAGEMENT_ADDRESS: management,
        **_serving(address),
    }


def store(environment: Mapping[str, str]) -> str:
    """The store of a service with this environment; "" if it has none."""
    return environment.get(_STORE, "").removeprefix(_redis_url(""))


def cache_size_bytes(environment: Mapping[str, str]) -> int:
    """The prediction cache of a query service with this environment; 0 if it says nothing of one."""
    return int(environment.get(_CACHE_SIZE) or 0)


def artefact(environment: Mapping[str, str], image: str) -> Artefact | None:
    """What a replica with this environment runs; None if it is none."""
    if _MODEL_NAME not in environment:
        return None
    input_type = input_type_name(environment[_INPUT_TYPE])
    return Artefact(environment[_MODEL_NAME], environment[_MODEL_VERSION], input_type, image)


def _redis_url(address: str) -> str:
    return f"redis://{address}"


def _serving(address: str) -> dict[str, str]:
    return {ADDRESS: address, "CLIPPER_DRAIN_GRACE_S": str(_DRAIN_GRACE_S)}

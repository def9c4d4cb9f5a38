"""How many files the processes of a cluster may have open at a time."""

import resource

# Each connection is an open file of Envoy and of a service.
_WANTED = 65_536


def limit() -> int:
    """What is wanted, or as much of it as this machine's administrator allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)


def allow_many() -> None:
    """Raises this process's limit, and that of all that it starts, to `limit`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit()), hard))

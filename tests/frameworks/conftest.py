"""A cluster of processes for all tests; programs find it by the name that a cluster has unless it is given one."""

from tests.cookbook.conftest import clipper_home, cluster

__all__ = ["clipper_home", "cluster"]

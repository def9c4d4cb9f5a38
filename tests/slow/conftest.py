"""Clusters of real processes, as in tests/e2e."""

from tests.e2e.conftest import clipper_home, cluster, new_cluster

__all__ = ["clipper_home", "cluster", "new_cluster"]

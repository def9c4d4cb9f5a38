"""The Docker engine and the shared cluster, as in tests/docker."""

from tests.docker.conftest import base_images, docker_cluster, engine, new_docker_cluster

__all__ = ["base_images", "docker_cluster", "engine", "new_docker_cluster"]

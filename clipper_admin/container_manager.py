"""What ClipperConnection needs from whatever runs the cluster: processes, Docker, an orchestrator.

A container manager starts and stops things and knows where they listen; what is registered it does not know.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Component:
    """A service or a replica that a cluster is to have.

    Attributes:
        name: of its process or container.
        state: "running", or what has become of it.
        model_id: "name:version" of a replica; "" of a service.
    """

    name: str
    state: str
    model_id: str


class ContainerManager(ABC):
    """Runs a cluster and the replicas of its models.

    Every method raises ClipperException when it cannot do what it says.

    Attributes:
        cluster_identifier: the cluster's name.
    """

    cluster_identifier: str

    @abstractmethod
    def start_clipper(
        self,
        query_frontend_image: str,
        mgmt_frontend_image: str,
        frontend_exporter_image: str,
        cache_size: int,
        qf_http_thread_pool_size: int,
        qf_http_timeout_request: int,
        qf_http_timeout_content: int,
        num_frontend_replicas: int,
    ) -> None:
        """Starts the cluster, or finds it running, and is connected to it afterwards.

        Whoever else is just starting or stopping it is waited for. When it runs already, the log says so and which
        arguments had no effect because it was started with others. One that was killed, not stopped, has all that it
        had.

        Args:
            query_frontend_image: image of the query service.
            mgmt_frontend_image: image of the management service.
            frontend_exporter_image: image of the metrics exporter.
            cache_size: bytes of prediction cache in each query service.
            qf_http_thread_pool_size: without meaning here; existing callers pass it.
            qf_http_timeout_request: likewise.
            qf_http_timeout_content: likewise.
            num_frontend_replicas: how many query services to start.
        """

    @abstractmethod
    def connect(self) -> None:
        """Finds the running cluster."""

    @abstractmethod
    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str,
        container_registry: str | None,
        pkgs_to_install: Sequence[str] | None,
    ) -> str:
        """Makes an image of a model's files and the Python packages that they need; returns what names the image."""

    @abstractmethod
    def deploy_model(self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1) -> None:
        """Starts replicas of a model version and returns when each has loaded the model."""

    @abstractmethod
    def get_num_replicas(self, name: str, version: str) -> int:
        """How many replicas of a model version run."""

    @abstractmethod
    def set_num_replicas(self, name: str, version: str, input_type: str, image: str, num_replicas: int) -> None:
        """Starts replicas, as deploy_model does, or stops some until there are `num_replicas`."""

    @abstractmethod
    def get_components(self) -> list[Component]:
        """The services and replicas, whether they run or not."""

    @abstractmethod
    def get_logs(self, logging_dir: str) -> list[str]:
        """Copies the logs of everything that runs into a directory; returns the files' paths."""

    @abstractmethod
    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Stops all replicas of the model versions {name: [version]}."""

    @abstractmethod
    def stop_all_model_containers(self) -> None:
        """Stops all replicas."""

    @abstractmethod
    def stop_all(self, graceful: bool = True) -> None:
        """Stops replicas and services and forgets the cluster; without `graceful` nothing is waited for."""

    @abstractmethod
    def get_admin_addr(self) -> str:
        """Where the admin REST listens, host:port."""

    @abstractmethod
    def get_query_addr(self) -> str:
        """Where predictions are asked for, host:port."""

    @abstractmethod
    def get_metric_addr(self) -> str:
        """Where metrics are read in the Prometheus text format, host:port."""

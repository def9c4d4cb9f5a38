"""Clipper 0.1's handle to a cluster: one class that prints what it does and returns whether it worked.

Programs written for it run on a cluster of Docker containers of this machine's engine. New ones use ClipperConnection.

An application names its model when it is registered, and the model is deployed later: the link is made then, by the
same object. Model names may have underscores, as they always could here.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from clipper_admin.docker_container_manager import DockerContainerManager
from clipper_admin.exceptions import ClipperException, ClipperManagerException

_THIS_MACHINE = ("local", "localhost", "127.0.0.1")
_MANAGED_REDIS = "redis"
_DEFAULT_LABELS = ("DEFAULT",)
_LOGS_DIRECTORY = "clipper_logs/"


class _Connection(ClipperConnection):
    """One whose models may have names with underscores."""

    def _check_model_id(self, name: str, version: str | int | None) -> tuple[str, str | None]:
        return name, str(version)


class Clipper:
    """A cluster of Docker containers on this machine."""

    def __init__(
        self,
        host: str,
        user: str | None = None,
        key_path: str | None = None,
        sudo: bool = False,
        ssh_port: int = 22,
        check_for_docker: bool = True,
        redis_ip: str = _MANAGED_REDIS,
        redis_port: int = 6379,
        redis_persistence_path: str | None = None,
        restart_containers: bool = False,
    ) -> None:
        """Takes where the cluster is; it is neither started nor looked for yet.

        Args:
            host: "local", "localhost" or "127.0.0.1". DOCKER_HOST names another machine's engine.
            user: without effect, like all that served to reach other machines by SSH; existing programs pass it.
            key_path: likewise.
            sudo: likewise.
            ssh_port: likewise.
            check_for_docker: likewise; the engine has to answer.
            redis_ip: "redis" for a Redis of the cluster's own, else the host of one that outlives it.
            redis_port: its port.
            redis_persistence_path: not supported; redis_ip is the way to keep the configuration.
            restart_containers: without effect; what dies is always started again.

        Raises:
            ClipperManagerException: the host is another machine, or persistence was asked for.
            ClipperException: no Docker engine answers.
        """
        if host not in _THIS_MACHINE:
            raise ClipperManagerException(
                f"Clipper cannot reach {host} by SSH any more: set DOCKER_HOST and use "
                "ClipperConnection(DockerContainerManager(docker_ip_address=...))"
            )
        if redis_persistence_path is not None:
            raise ClipperManagerException("Give redis_ip instead of redis_persistence_path to keep the configuration")
        _say("Checking if Docker is running...")
        external = None if redis_ip == _MANAGED_REDIS else redis_ip
        manager = DockerContainerManager(redis_ip=external, redis_port=redis_port)
        self._connection = _Connection(manager)
        # Applications whose model is not deployed yet.
        self._unlinked: dict[str, str] = {}

    def start(self) -> bool:
        """Starts the cluster, or connects to it when it runs already."""
        if not _worked(self._connection.start_clipper):
            return False
        _say("Clipper is running")
        return True

    def stop_all(self) -> None:
        """Stops everything."""
        self._connection.stop_all()

    def register_application(
        self, name: str, model: str, input_type: str, default_output: str, slo_micros: int
    ) -> bool:
        """Registers an application of a model, which may be deployed later; prints "Success!"."""
        if not _worked(lambda: self._connection.register_application(name, input_type, default_output, slo_micros)):
            return False
        self._unlinked[name] = model
        if not self._link_to(model):
            return False
        _say("Success!")
        return True

    def deploy_predict_function(
        self,
        name: str,
        version: str | int,
        predict_function: Callable[..., Any],
        input_type: str,
        labels: Sequence[str] = _DEFAULT_LABELS,
        num_containers: int = 1,
    ) -> bool:
        """Deploys a function that takes a batch of inputs and returns one output an input, if it can be loaded."""
        return self._deploy(
            name,
            lambda: python_deployer.deploy_python_closure(
                self._connection,
                name,
                version,
                input_type,
                predict_function,
                labels=labels,
                num_replicas=num_containers,
            ),
        )

    def deploy_model(
        self,
        name: str,
        version: str | int,
        model_data: str,
        container_name: str,
        input_type: str,
        labels: Sequence[str] = _DEFAULT_LABELS,
        num_containers: int = 1,
    ) -> bool:
        """Deploys a model's files on a base image."""
        return self._deploy(
            name,
            lambda: self._connection.build_and_deploy_model(
                name, version, input_type, model_data, container_name, labels, num_replicas=num_containers
            ),
        )

    def register_app_and_deploy_predict_function(
        self,
        name: str,
        predict_function: Callable[..., Any],
        input_type: str,
        default_output: str = "None",
        model_version: str | int = 1,
        slo_micros: int = 100_000,
        labels: Sequence[str] = _DEFAULT_LABELS,
        num_containers: int = 1,
    ) -> bool:
        """Registers an application and deploys its model under the same name."""
        return self.register_application(
            name, name, input_type, default_output, slo_micros
        ) and self.deploy_predict_function(name, model_version, predict_function, input_type, labels, num_containers)

    def register_external_model(
        self, name: str, version: str | int, input_type: str, labels: Sequence[str] = _DEFAULT_LABELS
    ) -> bool:
        """Registers a version whose replicas somebody else starts."""
        registered = _worked(lambda: self._connection.register_model(name, version, input_type, labels=labels))
        return registered and self._link_to(name)

    def add_container(self, model_name: str, model_version: str | int) -> bool:
        """Starts one more replica."""
        return _worked(
            lambda: self._connection.set_num_replicas(
                model_name, self._connection.get_num_replicas(model_name, model_version) + 1, model_version
            )
        )

    def set_model_version(self, model_name: str, model_version: str | int, num_containers: int = 0) -> bool:
        """Makes a registered version current, and starts so many more replicas of it."""
        if not _worked(lambda: self._connection.set_model_version(model_name, model_version)):
            return False
        return all(self.add_container(model_name, model_version) for _ in range(num_containers))

    def remove_inactive_containers(self, model_name: str) -> bool:
        """Stops and unregisters all versions of a model but the current one."""
        return _worked(lambda: self._connection.stop_inactive_model_versions([model_name]))

    def get_all_apps(self, verbose: bool = False) -> list[Any]:
        """See ClipperConnection."""
        return self._connection.get_all_apps(verbose)

    def get_app_info(self, name: str) -> dict[str, Any] | None:
        """See ClipperConnection."""
        return self._connection.get_app_info(name)

    def get_all_models(self, verbose: bool = False) -> list[Any]:
        """See ClipperConnection."""
        return self._connection.get_all_models(verbose)

    def get_model_info(self, model_name: str, model_version: str | int) -> dict[str, Any] | None:
        """See ClipperConnection."""
        return self._connection.get_model_info(model_name, model_version)

    def get_all_containers(self, verbose: bool = False) -> list[Any]:
        """See ClipperConnection.get_all_model_replicas."""
        return self._connection.get_all_model_replicas(verbose)

    def get_container_info(self, model_name: str, model_version: str | int, replica_id: int) -> dict[str, Any] | None:
        """See ClipperConnection.get_model_replica_info."""
        return self._connection.get_model_replica_info(model_name, model_version, replica_id)

    def get_clipper_logs(self) -> list[str]:
        """See ClipperConnection."""
        return self._connection.get_clipper_logs(_LOGS_DIRECTORY)

    def inspect_instance(self) -> dict[str, Any]:
        """See ClipperConnection."""
        return self._connection.inspect_instance()

    def _deploy(self, model: str, deploy: Callable[[], object]) -> bool:
        """Deploys a model and links the applications that wait for it."""
        return _worked(deploy) and self._link_to(model)

    def _link_to(self, model: str) -> bool:
        """Links the applications that wait for a model, if it is registered."""
        if not any(each["model_name"] == model for each in self._connection.get_all_models(verbose=True)):
            return True
        waiting = [application for application, wanted in self._unlinked.items() if wanted == model]
        linked = [_worked(partial(self._connection.link_model_to_app, each, model)) for each in waiting]
        for application in waiting:
            del self._unlinked[application]
        return all(linked)


def _worked(action: Callable[[], object]) -> bool:
    """Whether the cluster did not refuse; prints what it says when it does."""
    try:
        action()
    except ClipperException as refused:
        _say(refused.msg)
        return False
    return True


def _say(sentence: str) -> None:
    print(sentence)  # noqa: T201 - a program of that time reads standard output

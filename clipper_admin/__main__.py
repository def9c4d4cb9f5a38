"""The few things that are wanted from a shell, about a cluster or about who is to work with one."""

import argparse
import json
import logging
import sys
from pathlib import Path

import requests

from clipper_admin import contracts, replay, status
from clipper_admin.conformance import command as check_container
from clipper_admin.connection import ClipperConnection
from clipper_admin.docker_container_manager import DockerContainerManager
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.process import environments
from clipper_admin.hosts.process.directory import clipper_home
from clipper_admin.process_container_manager import ProcessContainerManager


def main() -> None:
    """Runs one command, of `clipper` or `python -m clipper_admin`; ends with 1 and a sentence when it fails."""
    arguments = _parser().parse_args()
    try:
        arguments.command(arguments)
    except ClipperException as error:
        sys.exit(error.msg)
    except requests.RequestException as error:
        sys.exit(f"Cluster {arguments.cluster} does not answer: {error}")


def _start(arguments: argparse.Namespace) -> None:
    _connection(arguments).start_clipper()


def _stop(arguments: argparse.Namespace) -> None:
    _connection(arguments).stop_all(keep_state=arguments.keep_state)


def _status(arguments: argparse.Namespace) -> None:
    for line in status.lines(_connected(arguments)):
        sys.stdout.write(line + "\n")


def _events(arguments: argparse.Namespace) -> None:
    for event in replay.logged(_connected(arguments), arguments.application):
        sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")


def _replay(arguments: argparse.Namespace) -> None:
    events = replay.logged(_connected(arguments), arguments.application)
    for line in replay.lines(replay.compare(events)):
        sys.stdout.write(line + "\n")


def _packages(arguments: argparse.Namespace) -> None:
    name, _colon, version = arguments.model.partition(":")
    for requirement in _connected(arguments).get_model_packages(name, version or None):
        sys.stdout.write(requirement + "\n")


def _prune(arguments: argparse.Namespace) -> None:
    manager = DockerContainerManager() if arguments.docker else ProcessContainerManager()
    found = manager.prune(dry_run=arguments.dry_run)
    for each in found:
        sys.stdout.write(f"{each.kind} {each.name}: {_megabytes(each.size_bytes)}\n")
    verb = "Would free" if arguments.dry_run else "Freed"
    sys.stdout.write(f"{verb} {_megabytes(sum(each.size_bytes for each in found))}\n")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _environment(arguments: argparse.Namespace) -> None:
    sys.stdout.write(environments.provide(clipper_home(), arguments.packages, keep=True).python + "\n")


def _protos(arguments: argparse.Namespace) -> None:
    for file in contracts.write(arguments.directory):
        sys.stdout.write(f"{file}\n")


def _connection(arguments: argparse.Namespace) -> ClipperConnection:
    manager = DockerContainerManager if arguments.docker else ProcessContainerManager
    return ClipperConnection(manager(arguments.cluster))


def _connected(arguments: argparse.Namespace) -> ClipperConnection:
    """A connection to the running cluster, found without a word: what is asked for is printed alone."""
    logging.getLogger("clipper_admin").setLevel(logging.WARNING)
    connection = _connection(arguments)
    connection.connect()
    return connection


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="clipper", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, command, summary in (
        ("start", _start, "start a cluster"),
        ("status", _status, "print where a cluster listens, what runs in it and what is registered there"),
        ("stop", _stop, "stop a cluster"),
        ("packages", _packages, "print what is installed for a model, as a requirements file"),
        ("events", _events, "print an application's predictions and feedback, one JSON object a line"),
        ("replay", _replay, "print what other policies would have earned on an application's own traffic"),
    ):
        subparser = commands.add_parser(name, help=summary)
        subparser.add_argument("--cluster", default="default-cluster", help="the cluster's name")
        subparser.add_argument("--docker", action="store_true", help="a cluster of Docker containers, not of processes")
        subparser.set_defaults(command=command)
    kept = "what is registered and deployed comes back with the next start"
    commands.choices["stop"].add_argument("--keep-state", action="store_true", help=kept)
    commands.choices["packages"].add_argument("model", help="NAME, for its current version, or NAME:VERSION")
    for name in ("events", "replay"):
        commands.choices[name].add_argument("application", help="the application's name")
    prune = commands.add_parser("prune", help="remove the images and environments of models that nobody uses any more")
    prune.add_argument("--docker", action="store_true", help="those on the Docker engine, not those of processes")
    prune.add_argument("--dry-run", action="store_true", help="only print what would be removed")
    prune.set_defaults(command=_prune)
    environment = commands.add_parser("environment", help="prepare a model's environment and print its interpreter")
    environment.add_argument("packages", nargs="+", help="requirements as pip takes them")
    environment.set_defaults(command=_environment)
    protos = commands.add_parser("protos", help="write the contracts' .proto files, for programs in any language")
    protos.add_argument("directory", type=Path, help="where to; it is made, and has a README.md then")
    protos.set_defaults(command=_protos)
    check = commands.add_parser("check-container", help="tell whether a model container keeps its contract")
    check_container.add_arguments(check)
    check.set_defaults(command=check_container.run)
    return parser


if __name__ == "__main__":
    main()

"""`python -m clipper_admin`: the few things about a local cluster that are wanted from a shell."""

import argparse
import json
import sys

from clipper_admin import replay
from clipper_admin.connection import ClipperConnection
from clipper_admin.exceptions import ClipperException
from clipper_admin.local import environments
from clipper_admin.local.directory import clipper_home
from clipper_admin.process_container_manager import ProcessContainerManager


def main() -> None:
    """Runs one command; ends with 1 and a sentence when it fails."""
    arguments = _parser().parse_args()
    try:
        arguments.command(arguments)
    except ClipperException as error:
        sys.exit(error.msg)


def _start(arguments: argparse.Namespace) -> None:
    ClipperConnection(ProcessContainerManager(arguments.cluster)).start_clipper()


def _stop(arguments: argparse.Namespace) -> None:
    ClipperConnection(ProcessContainerManager(arguments.cluster)).stop_all()


def _environment(arguments: argparse.Namespace) -> None:
    sys.stdout.write(environments.provide(clipper_home(), arguments.packages) + "\n")


def _events(arguments: argparse.Namespace) -> None:
    connection = ClipperConnection(ProcessContainerManager(arguments.cluster))
    connection.connect()
    for event in replay.logged(connection, arguments.application):
        sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clipper_admin", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, command, summary in (
        ("start", _start, "start a cluster of local processes"),
        ("stop", _stop, "stop a cluster of local processes"),
        ("events", _events, "print an application's predictions and feedback, one JSON object a line"),
    ):
        subparser = commands.add_parser(name, help=summary)
        subparser.add_argument("--cluster", default="default-cluster", help="the cluster's name")
        subparser.set_defaults(command=command)
    commands.choices["events"].add_argument("application", help="the application's name")
    environment = commands.add_parser("environment", help="prepare a model's environment and print its interpreter")
    environment.add_argument("packages", nargs="+", help="requirements as pip takes them")
    environment.set_defaults(command=_environment)
    return parser


if __name__ == "__main__":
    main()

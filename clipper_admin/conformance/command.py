"""The command `clipper check-container`.

It ends with 0 when no clause of the contract is found to be broken, 1 when one is, and 2 when it cannot be carried out.
"""

import argparse
import contextlib
import math
import sys
from collections.abc import Generator
from pathlib import Path

from clipper_admin.conformance import kit, probes
from clipper_admin.conformance.report import Report
from clipper_admin.exceptions import ClipperException
from clipper_admin.naming import input_type_name

_HIGHEST_PORT = 65_535
_PATIENCE = kit.Patience()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument("address", metavar="HOST:PORT", type=_address, help="where the container serves")
    parser.add_argument("--input-type", required=True, metavar="TYPE", type=_input_type, help="what its model takes")
    parser.add_argument("--expect", metavar="FILE", type=Path, help="inputs and what is to come, a JSON object a line")
    starting = (
        "starts the container, at HOST:PORT (port 0: a free one), so that its lease and its end are looked at, too"
    )
    parser.add_argument("--start", metavar="COMMAND", default="", help=starting)
    answering = f"how long an answer may take ({_PATIENCE.answer_s:g})"
    parser.add_argument("--patience", metavar="SECONDS", type=_seconds, default=_PATIENCE.answer_s, help=answering)
    loading = f"how long a container that is started may take to serve ({_PATIENCE.load_s:g})"
    parser.add_argument("--load-timeout", metavar="SECONDS", type=_seconds, default=_PATIENCE.load_s, help=loading)
    names = [check.name for check in kit.CHECKS]
    skipping = f"leaves out a check; there are {', '.join(names)}"
    parser.add_argument("--skip", metavar="CHECK", action="append", default=[], choices=names, help=skipping)
    parser.set_defaults(parser=parser)


def run(arguments: argparse.Namespace) -> None:
    """Carries it out, printing one line a check as it is done, and a last one; ends the process."""
    report = Report()
    try:
        with contextlib.closing(_findings(arguments)) as findings:
            for finding in findings:
                sys.stdout.write(report.line(finding) + "\n")
                sys.stdout.flush()
    except ClipperException as error:
        arguments.parser.error(error.msg)
    sys.stdout.write(report.summary() + "\n")
    sys.exit(1 if report.is_broken else 0)


def _findings(arguments: argparse.Namespace) -> Generator[kit.Finding]:
    return kit.findings(
        arguments.address,
        arguments.input_type,
        expectations=probes.read(arguments.expect, arguments.input_type) if arguments.expect else (),
        command=arguments.start,
        patience=kit.Patience(answer_s=arguments.patience, load_s=arguments.load_timeout),
        skip=arguments.skip,
    )


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"'{text}' is not host:port")
    return text


def _input_type(text: str) -> str:
    name = input_type_name(text)
    if name not in probes.input_types():
        raise argparse.ArgumentTypeError(
            f"there is no input type '{text}'; there are {', '.join(probes.input_types())}"
        )
    return name


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds above 0")
    return seconds

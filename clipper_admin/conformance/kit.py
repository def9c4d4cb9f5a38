"""All checks, and how they are carried out: one after the other, each with what came of it.

A check that leaves the container dead or deaf has found that; those after it meet one that was started again, or are
not carried out.
"""

import contextlib
import shlex
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from clipper_admin.conformance import life, probes, refusals, serving, streams
from clipper_admin.conformance.management import Management
from clipper_admin.conformance.probes import Probe
from clipper_admin.conformance.program import Program
from clipper_admin.conformance.subject import MODEL_NAME, MODEL_VERSION, Started, Subject
from clipper_admin.conformance.verdicts import Broken, NotLookedAt
from clipper_admin.hosts.process.ports import free_ports


class Verdict(StrEnum):
    """What came of a check."""

    KEPT = "kept"
    BROKEN = "BROKEN"
    NOT_LOOKED_AT = "not looked at"


@dataclass(frozen=True, slots=True)
class Check:
    """One clause of the contract, and how it is looked at.

    Attributes:
        name: the clause's name in docs/containers.md.
        clause: what is asked, in a sentence.
        look: looks at a container, and raises what it finds.
        is_life: whether it is about a container that has not begun to answer, or ends.
    """

    name: str
    clause: str
    look: Callable[[Subject], None]
    is_life: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check.

    Attributes:
        check: which.
        verdict: what came of it.
        sentence: the clause where it is kept; else what is wrong, or why it could not be looked at.
    """

    check: Check
    verdict: Verdict
    sentence: str


CHECKS = (
    Check("start", "It says SERVING when it can answer, and not before", serving.start, is_life=True),
    Check("health", "Its health check says SERVING", serving.health, is_life=True),
    Check("single", "A batch of one input is answered with one output or failure", serving.single),
    Check("expected", "The outputs are those that are expected", serving.expected),
    Check("batch", "A batch has an output an input in order, whatever the inputs' lengths", serving.batch),
    Check("failures", "An input for which the model fails costs no other its output", serving.failures),
    Check("large", "The largest batches are answered", serving.large),
    Check("order", "Pipelined batches are answered in the order sent, each with its own outputs", streams.order),
    Check("ids", "All 64 bits of a batch_id come back", streams.ids),
    Check("streams", "Streams are served side by side, and an idle one is in nobody's way", streams.streams),
    Check("deadlines", "A batch whose time is over is answered in its turn", streams.deadlines),
    Check("half-close", "A stream that is half-closed ends well once its batches are answered", streams.half_close),
    Check("cancellation", "Streams that break cost others nothing", streams.cancellation),
    Check("types", "Inputs of another type fail, and the stream goes on", refusals.types),
    Check("lengths", "Inputs whose lengths do not add up fail, and the stream goes on", refusals.lengths),
    Check("no-inputs", "A batch without inputs is survived", refusals.no_inputs),
    Check("garbage", "A message that is no batch ends its stream", refusals.garbage),
    Check("pings", "An idle stream that is pinged stays open", streams.pings),
    Check("lease", "It asks for its lease once it serves, and renews it in time", life.lease),
    Check("lease-again", "A lease whose stream breaks is opened again, under its id", life.lease_again),
    Check("drain", "After SIGTERM it releases its lease and loses no batch", life.drain, is_life=True),
    Check("kill", "Killed, it breaks its streams at once, and can be started again", life.kill, is_life=True),
    Check("grace", "After SIGTERM it ends when its grace is over", life.grace, is_life=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things may take, in seconds.

    Attributes:
        answer_s: an answer, a release, an end.
        load_s: the load of the model.
        ping_interval_s: how often an idle stream is pinged; query services do it every 10 s.
        lease_s: how long the lease runs without a renewal; management's do so for 5 s, unless it is told otherwise.
    """

    answer_s: float = 10.0
    load_s: float = 300.0
    ping_interval_s: float = 10.0
    lease_s: float = 5.0


def findings(
    address: str,
    input_type: str,
    *,
    expectations: Sequence[Probe] = (),
    command: str = "",
    patience: Patience = Patience(),
    skip: Collection[str] = (),
) -> Generator[Finding]:
    """Carries out the checks, in order.

    Args:
        address: host:port of the container; with a command, port 0 is a free one.
        input_type: what its model takes.
        expectations: inputs for which it is known what comes, to be asked beside others.
        command: starts the container, in the words of a shell; "": it runs already.
        patience: how long things may take.
        skip: names of checks to leave out.

    Raises:
        ClipperException: the command cannot be started.
    """
    subject = Subject(
        address=_with_port(address),
        input_type=input_type,
        probes=[*expectations, *probes.own(input_type)],
        patience_s=patience.answer_s,
        load_timeout_s=patience.load_s,
        ping_interval_s=patience.ping_interval_s,
    )
    with _started(subject, shlex.split(command), patience.lease_s):
        for check in CHECKS:
            if check.name not in skip:
                yield _finding(check, subject)


def _finding(check: Check, subject: Subject) -> Finding:
    try:
        if check.is_life:
            check.look(subject)
        else:
            _look(check, subject)
    except Broken as broken:
        return Finding(check, Verdict.BROKEN, str(broken))
    except NotLookedAt as reason:
        return Finding(check, Verdict.NOT_LOOKED_AT, str(reason))
    return Finding(check, Verdict.KEPT, check.clause)


def _look(check: Check, subject: Subject) -> None:
    """Carries out a check on a container that answers, and sees whether it does so afterwards."""
    if not subject.is_answering:
        subject.revive()
    subject.is_answering = False
    check.look(subject)
    subject.is_answering = subject.answers()
    if not subject.is_answering:
        raise Broken(f"The container does not answer any more after this: {check.clause[0].lower()}{check.clause[1:]}")


@contextlib.contextmanager
def _started(subject: Subject, command: Sequence[str], lease_s: float) -> Iterator[None]:
    """Has the container started and ended here, if there is a command for it."""
    if not command:
        yield
        return
    with (
        Management(subject.is_serving, lease_s) as management,
        Program(command, _environment(subject, management)) as program,
    ):
        subject.started = Started(program, management)
        yield


def _environment(subject: Subject, management: Management) -> dict[str, str]:
    return {
        "CLIPPER_MODEL_NAME": MODEL_NAME,
        "CLIPPER_MODEL_VERSION": MODEL_VERSION,
        "CLIPPER_INPUT_TYPE": subject.input_type,
        "CLIPPER_ADDRESS": subject.address,
        "CLIPPER_ADVERTISED_HOST": subject.address.rpartition(":")[0],
        "CLIPPER_MANAGEMENT_ADDRESS": management.address,
    }


def _with_port(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"{host}:{free_ports(1)[0]}" if port == "0" else address

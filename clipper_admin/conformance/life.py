"""The checks of lease, drain and death, for a container that the kit starts itself."""

import itertools
from collections.abc import Sequence

from clipper_admin.conformance import batches
from clipper_admin.conformance.management import REPLICA_ID, Lease, Management
from clipper_admin.conformance.stream import Ending, Stream
from clipper_admin.conformance.subject import MODEL_NAME, MODEL_VERSION, Subject
from clipper_admin.conformance.verdicts import Broken, NotLookedAt

_RENEWALS = 3
# Three within the time to live are right; a pace of more than these within it keeps management busy.
_MOST_RENEWALS = 12
# Query services half-close their streams soon after the release, and not at once.
_OPEN_S = 0.5
_PIPELINED = 20
_SHORT_GRACE_S = 1.0
# A connection is reset at once when its process is killed.
_RESET_WITHIN_S = 2.0


def lease(subject: Subject) -> None:
    """It asks for a lease once it serves, as what it is, and renews it in time."""
    management, patience_s = subject.life.management, subject.patience_s
    held = management.lease(patience_s)
    if held is None:
        raise Broken(
            f"The container serves, and has not asked for a lease at CLIPPER_MANAGEMENT_ADDRESS within {patience_s:g} s"
        )
    _check_identity(subject, held)
    if not held.was_serving:
        raise Broken("The container asked for its lease before its health check said SERVING")
    _check_renewals(management, len(held.asked_s) - 1)


def lease_again(subject: Subject) -> None:
    """A lease whose stream breaks is opened again, as the replica that it was."""
    management, patience_s = subject.life.management, subject.patience_s
    held = management.lease(0)
    if held is None:
        raise NotLookedAt("the container has no lease that could break")
    opened = management.opened
    management.break_next()
    again = management.lease(management.time_to_live_s + patience_s, opened=opened + 1)
    if again is None and not held.is_broken:
        raise NotLookedAt("the lease is not renewed, so that management cannot end its stream then")
    if again is None:
        raise Broken(f"Management ended the stream of the lease, which was not opened again within {patience_s:g} s")
    _check_identity(subject, again)
    named = again.replica.model_replica_id if again.replica.HasField("model_replica_id") else "none"
    if named != REPLICA_ID:
        raise Broken(f"A lease is opened again under the model_replica_id that it was given, {REPLICA_ID}, not {named}")


def drain(subject: Subject) -> None:
    """After SIGTERM it releases its lease, answers until its streams are half-closed, and ends."""
    program = subject.life.program
    subject.revive()
    with subject.stream() as stream, subject.stream() as idle:
        for each in (stream, idle):
            _ask(each, subject, 1)
        program.terminate()
        _check_release(subject)
        try:
            _check_open(idle)
            _ask(stream, subject, _PIPELINED)
            stream.end()
            idle.end()
        except Broken as broken:
            raise Broken(f"After SIGTERM streams have to be served until they are half-closed: {broken}") from None
    if not program.ends_within(subject.patience_s):
        raise Broken(f"The container still runs {subject.patience_s:g} s after SIGTERM and the end of its last stream")


def kill(subject: Subject) -> None:
    """Killed amid batches, it leaves nothing that keeps its connections open, and can be started again."""
    program = subject.life.program
    subject.start()
    with subject.stream() as stream:
        _ask(stream, subject, 1)
        stream.send(*(stream.batch(subject.probes) for _ in range(_PIPELINED)))
        program.kill()
        if not _breaks(stream):
            raise Broken(
                f"The container was killed, and its connection is still open {_RESET_WITHIN_S:g} s later; what it "
                "starts must not inherit its sockets"
            )
    subject.start()
    _check_answers(subject)


def grace(subject: Subject) -> None:
    """After SIGTERM it ends when its grace is over, though a stream is still open."""
    program = subject.life.program
    subject.start(_SHORT_GRACE_S)
    with subject.stream() as stream:
        _ask(stream, subject, 1)
        program.terminate()
        if not program.ends_within(_SHORT_GRACE_S + subject.patience_s):
            raise Broken(
                f"With CLIPPER_DRAIN_GRACE_S={_SHORT_GRACE_S:g} and an open stream the container still runs "
                f"{_SHORT_GRACE_S + subject.patience_s:g} s after SIGTERM"
            )


def _check_identity(subject: Subject, held: Lease) -> None:
    replica = held.replica
    wanted: Sequence[tuple[str, object, object]] = (
        ("model_name", replica.model_name, MODEL_NAME),
        ("model_version", replica.model_version, MODEL_VERSION),
        ("input_type", replica.input_type, batches.INPUT_TYPES[subject.input_type]),
        ("address", replica.address, subject.address),
    )
    for field, said, told in wanted:
        if said != told:
            raise Broken(f"The container asked for a lease with the {field} {said!r}, and was told {told!r}")


def _check_renewals(management: Management, first: int) -> None:
    """Looks at those that follow the first one, in which nothing else is asked of the container or of this process."""
    time_to_live_s, last = management.time_to_live_s, first + _RENEWALS
    held = management.lease((_RENEWALS + 1) * time_to_live_s, lambda held: len(held.asked_s) > last)
    if held is None:
        raise Broken(f"A lease of {time_to_live_s:g} s was not renewed in time; a third of that is the pace")
    asked_s = held.asked_s[first:]
    longest_s = max(later - earlier for earlier, later in itertools.pairwise(asked_s))
    if longest_s > time_to_live_s:
        raise Broken(f"A lease of {time_to_live_s:g} s was renewed after {longest_s:.2f} s, when it had lapsed")
    renewals, spent_s = len(asked_s) - 1, asked_s[-1] - asked_s[0]
    if renewals * time_to_live_s > _MOST_RENEWALS * spent_s:
        raise Broken(f"A lease of {time_to_live_s:g} s was renewed {renewals} times within {spent_s:.2f} s")


def _check_release(subject: Subject) -> None:
    management = subject.life.management
    if management.lease(0) is None:
        return  # there is none, as another check tells
    if management.lease(subject.patience_s, lambda held: held.is_released) is None:
        raise Broken(f"The lease was not released within {subject.patience_s:g} s of SIGTERM")


def _check_open(stream: Stream) -> None:
    came = stream.next_within(_OPEN_S)
    if came is not None:
        raise Broken(f"an idle stream ended with {came}")


def _check_answers(subject: Subject) -> None:
    if not subject.answers():
        raise Broken("The container was killed and started again, and does not answer")


def _ask(stream: Stream, subject: Subject, count: int) -> None:
    stream.send(*(stream.batch(subject.probes) for _ in range(count)))
    for _ in range(count):
        stream.judge()


def _breaks(stream: Stream) -> bool:
    """Whether a stream ends soon, after whatever answers were under way."""
    while (came := stream.next_within(_RESET_WITHIN_S)) is not None:
        if isinstance(came, Ending):
            return True
    return False

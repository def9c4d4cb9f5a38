"""The faults: what is done to which part, whom that may cost what, and for how long."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.chaos.judgement import WAY_S
from tests.chaos.scenes import SUPERVISOR, Scene
from tests.chaos.traffic import SLO_S, Deadline, Feedback, Rest, Stream, Unary

# A sign of life is missed within a second and a quarter; what was asked of who is frozen is asked of the other then.
_ROUTED_ROUND_S = 1.5
# Nobody can answer for it.
_THE_EDGE = frozenset({Rest.name, Unary.name, Deadline.name, Stream.name, Feedback.name})


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens to a cluster.

    Attributes:
        name: what happens.
        effect: what clients notice, in words.
        strike: has it happen, and returns when the cluster has mended itself.
        refused: the lanes on which requests may be refused meanwhile.
        has_defaults: whether there may be default outputs meanwhile.
        longest_s: how long a request may take, refused or answered; feedback apart.
        over_within_s: after what time everything is as before.
    """

    name: str
    effect: str
    strike: Callable[[Scene], None]
    refused: frozenset[str] = frozenset()
    has_defaults: bool = False
    longest_s: float = SLO_S + WAY_S
    over_within_s: float = 1.0

    def __str__(self) -> str:
        return self.name


def _killed(name: str) -> Callable[[Scene], None]:
    return lambda scene: scene.kill(name)


def _killed_replica(index: int) -> Callable[[Scene], None]:
    return lambda scene: scene.kill(scene.replica(index))


def _frozen_replica(index: int) -> Callable[[Scene], None]:
    return lambda scene: scene.freeze(scene.replica(index))


def _frozen(name: str) -> Callable[[Scene], None]:
    return lambda scene: scene.freeze(name)


KILLS = (
    *(
        Fault(
            f"query service {index} of 2 killed",
            "Calls are tried on the other. Streams to it end, with what was asked on them; feedback that it may have "
            "learned from is refused and not told twice.",
            _killed(f"query-{index}"),
            refused=frozenset({Stream.name, Feedback.name}),
        )
        for index in (0, 1)
    ),
    *(
        Fault(
            f"replica {index} of 2 killed",
            "Nothing: what it had is computed by the other.",
            _killed_replica(index),
        )
        for index in (0, 1)
    ),
    Fault("management killed", "Nothing, but for whoever administers just then.", _killed("management")),
    Fault(
        "Redis killed",
        "Nothing for predictions of one model. Feedback is refused while Redis is away.",
        _killed("redis"),
        refused=frozenset({Feedback.name}),
    ),
    Fault(
        "Envoy killed",
        "All connections break: clients are refused until it is back.",
        _killed("envoy"),
        refused=_THE_EDGE,
        over_within_s=5.0,
    ),
    Fault(
        "supervisor killed",
        "Nothing. The next command replaces it; until then nobody starts what dies.",
        lambda scene: scene.kill_supervisor(),
    ),
)
FREEZES = (
    *(
        Fault(
            f"query service {index} of 2 frozen",
            "Its calls wait until it misses a sign of life, 1.25 s at most, and are tried on the other; "
            "its streams end then. A call's own deadline holds.",
            _frozen(f"query-{index}"),
            refused=frozenset({Deadline.name, Stream.name, Feedback.name}),
            longest_s=_ROUTED_ROUND_S,
            over_within_s=_ROUTED_ROUND_S + 1.0,
        )
        for index in (0, 1)
    ),
    *(
        Fault(
            f"replica {index} of 2 frozen",
            "What it has at that moment is tried on the other, and has its default by the deadline where that is too "
            "late; then it is asked no more.",
            _frozen_replica(index),
            has_defaults=True,
            over_within_s=SLO_S + 1.0,
        )
        for index in (0, 1)
    ),
    Fault("management frozen", "Nothing, but for whoever administers just then.", _frozen("management")),
    Fault(
        "Redis frozen",
        "Nothing for predictions of one model. Feedback is refused, or waits.",
        _frozen("redis"),
        refused=frozenset({Feedback.name}),
        over_within_s=4.0,
    ),
    Fault(
        "Envoy frozen",
        "Everything waits for as long as it is frozen; a call's own deadline holds.",
        _frozen("envoy"),
        refused=_THE_EDGE,
        has_defaults=True,
        longest_s=4.0,
        over_within_s=4.0,
    ),
    Fault(
        "supervisor frozen",
        "Nothing; commands that need it say which process it is.",
        _frozen(SUPERVISOR),
    ),
)
CHANGES = (
    Fault(
        "model deployed anew, in place of the version that serves",
        "Nothing: the new replicas are ready before they are asked, and the old ones finish what they have.",
        lambda scene: scene.redeploy(),
        over_within_s=0.0,
    ),
    Fault(
        "all processes killed, then start_clipper",
        "Clients are refused until it has returned; then everything is as before.",
        lambda scene: scene.cut_power(),
        refused=_THE_EDGE,
        has_defaults=True,
        over_within_s=30.0,
    ),
)
WORKERS = (
    Fault(
        "one of 2 processes of a query service killed",
        "Calls on its connections are tried on others. Streams on them end.",
        lambda scene: scene.kill_worker("query-0"),
        refused=frozenset({Stream.name, Feedback.name}),
    ),
    Fault(
        "one of 2 processes of a query service frozen",
        "It is ended when it has given no sign of life for three quarters of a second. Calls on its connections are "
        "tried on others then; streams on them end. A call's own deadline holds.",
        lambda scene: scene.freeze_worker("query-0"),
        refused=frozenset({Deadline.name, Stream.name, Feedback.name}),
        longest_s=_ROUTED_ROUND_S,
        over_within_s=_ROUTED_ROUND_S + 1.0,
    ),
    Fault(
        "the parent of a query service of 2 processes killed",
        "Its processes end, as with a query service that is killed.",
        _killed("query-1"),
        refused=frozenset({Stream.name, Feedback.name}),
        over_within_s=5.0,
    ),
)


def in_words(faults: Iterable[Fault]) -> str:
    """What faults do, as a list; those that differ in nothing but a number together."""
    effects = {re.sub(r"(query service|replica) \d", r"one \1", each.name): each.effect for each in faults}
    return "\n".join(f"- *{name[0].upper()}{name[1:]}.* {effect}" for name, effect in effects.items())

"""Policies that ask one arm for each query, drawn by shares.

Chance is in one place: whatever a policy is, it says with which probability each arm should be asked, and `select`
draws. So the probability of a choice is known exactly, which importance weighting needs, in `exp3` and in replays.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from random import Random

from services.query.engine.policies.memory import remembered
from services.query.engine.policies.policy import AdditivePolicy, Choice, SelectionPolicy, State

# So many observations make an arm one as the others.
_KNOWN_AFTER = 9.0
_NOTHING = 1e-12


class Drawing(SelectionPolicy):
    """Asks one arm.

    Its shares are computed once for each state, unless it looks at inputs.
    """

    @abstractmethod
    def shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        """The probability with which each arm is to be asked, in their order; they sum to 1."""

    def select(self, state: State, arms: Sequence[str], features: Sequence[float], random: Random) -> Choice:
        """Draws an arm."""
        shares = self._known_shares(state, arms, features)
        point = random.random()
        for arm, share in zip(arms, shares, strict=True):
            point -= share
            if point < 0.0:
                return Choice((arm,), share)
        # Rounding has left a little of the last one's share.
        share, arm = max(zip(shares, arms, strict=True))
        return Choice((arm,), share)

    def weights(self, state: State, arms: Sequence[str]) -> Mapping[str, float]:
        """The probability of each arm."""
        return dict(zip(arms, self._known_shares(state, arms, ()), strict=True))

    def _known_shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        return self.shares(state, arms, features) if self.uses_features else _shares(state, self, tuple(arms))


class Bandit(Drawing, AdditivePolicy):
    """Asks one arm, and what it observes adds up."""


@remembered(states=1024)
def _shares(state: State, policy: Drawing, arms: tuple[str, ...]) -> Sequence[float]:
    return policy.shares(state, arms, ())


def gradual(shares: Sequence[float], observed: Sequence[float]) -> Sequence[float]:
    """The same shares, but no more for an arm than the little that is known of it bears, as long as there are others.

    After n observations an arm gets at most (1 + n) / 10 of the queries: it gets known by its first feedback, and not
    all queries until that has come. What is left goes to the others, in proportion to `shares`, else to what they bear.
    """
    if min(observed) >= _KNOWN_AFTER:
        return shares
    most = [min(1.0, (1.0 + count) / (1.0 + _KNOWN_AFTER)) for count in observed]
    if sum(most) <= 1.0:
        return proportional(most)
    given = [min(share, limit) for share, limit in zip(shares, most, strict=True)]
    while (left := 1.0 - sum(given)) > _NOTHING:
        rooms = [limit - share for share, limit in zip(given, most, strict=True)]
        wishes = [share if room > 0.0 else 0.0 for share, room in zip(shares, rooms, strict=True)]
        parts = proportional(wishes if any(wishes) else rooms)
        given = [share + min(left * part, room) for share, part, room in zip(given, parts, rooms, strict=True)]
    return given


def equal(arms: int) -> list[float]:
    """The same share for each of so many arms."""
    return [1.0 / arms] * arms


def greedy(values: Sequence[float]) -> list[float]:
    """All for the highest value; if several are, the same for each of them."""
    highest = max(values)
    share = 1.0 / values.count(highest)
    return [share if value == highest else 0.0 for value in values]


def proportional(values: Sequence[float]) -> list[float]:
    """Shares in proportion to `values`, none negative and at least one positive."""
    total = sum(values)
    return [value / total for value in values]

"""One answer of many: votes and averages, and how far the arms agree with it.

Outputs are texts. Two that are numbers are equal if the numbers are: "1" and "1.0" agree.
"""

import math
from collections.abc import Mapping

from services.query.engine.policies.bandit import equal, proportional
from services.query.engine.policies.policy import Combination

Value = int | float | str

# From here on only an integer tells one number from the next.
_EXACT = 2.0**53


def number_of(text: str) -> int | float | None:
    """The finite number that a text is; None if it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    if abs(number) < _EXACT:
        return number
    if not math.isfinite(number):
        return None
    try:
        return int(text)
    except ValueError:
        return number


def agree(one: str, other: str) -> bool:
    """Whether two outputs are the same text or the same number."""
    return one == other or _value(one) == _value(other)


def vote(weights: Mapping[str, float], outputs: Mapping[str, str]) -> Combination:
    """The output with the most weight behind it.

    Among equals that of the heaviest single arm, then that of the arm that `weights` has first. Its text is that of the
    heaviest arm with this output. Arms that did not answer do not vote.

    Args:
        weights: of all arms.
        outputs: of the arms that answered.

    Returns:
        The output, and the share of all arms whose output it is: an arm that did not answer does not agree.
    """
    values = {text: _value(text) for text in set(outputs.values())}
    totals: dict[Value, float] = {}
    for arm, text in outputs.items():
        value = values[text]
        totals[value] = totals.get(value, 0.0) + weights[arm]
    voters = [arm for arm in weights if arm in outputs]
    winner = max(voters, key=lambda arm: (totals[values[outputs[arm]]], weights[arm]))
    said = values[outputs[winner]]
    agreeing = sum(values[text] == said for text in outputs.values())
    return Combination(outputs[winner], agreeing / len(weights))


def average(weights: Mapping[str, float], outputs: Mapping[str, str], tolerance: float) -> Combination:
    """The weighted mean of the outputs.

    An arm that did not answer, or not with a finite number, is taken to have said the mean of the others, which is the
    same as leaving it out. Where the others weigh nothing, all of them weigh the same. Without any number it is a vote.

    Args:
        weights: of all arms.
        outputs: of the arms that answered.
        tolerance: an output within this of the mean agrees with it.

    Returns:
        The mean, and the share of all arms that agree with it; what was imputed does not.
    """
    numbers = {arm: number for arm, output in outputs.items() if (number := number_of(output)) is not None}
    if not numbers:
        return vote(weights, outputs)
    shares = [weights[arm] for arm in numbers]
    shares = proportional(shares) if any(shares) else equal(len(shares))
    mean = math.fsum(share * number for share, number in zip(shares, numbers.values(), strict=True))
    agreeing = sum(abs(number - mean) <= tolerance for number in numbers.values())
    return Combination(repr(mean), agreeing / len(weights))


def _value(output: str) -> Value:
    number = number_of(output)
    return output if number is None else number

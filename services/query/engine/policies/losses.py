"""Losses: how wrong an output is, from 0 to 1."""

from services.common.errors import InvalidInput
from services.query.engine.policies.voting import agree, number_of


def loss(kind: str, label: str, output: str, scale: float) -> float:
    """The loss of an output whose truth is `label`.

    Args:
        kind: one of names.LOSSES: "zero_one" is 0 where both are the same text or the same number, and 1 elsewhere;
            "squared" and "absolute" are those of the error in units of `scale`, at most 1.
        label: the truth.
        output: a model's.
        scale: the error that is a loss of 1; above 0.

    Returns:
        From 0 to 1; 1 for an output that is no number where one is needed.

    Raises:
        InvalidInput: the label is no number where one is needed.
    """
    if kind == "zero_one":
        return float(not agree(label, output))
    true, said = number_of(label), number_of(output)
    if true is None:
        raise InvalidInput(f"The label '{label}' is no finite number, which the loss '{kind}' needs")
    if said is None:
        return 1.0
    error = min(1.0, abs(float(said) - float(true)) / scale)
    return error * error if kind == "squared" else error

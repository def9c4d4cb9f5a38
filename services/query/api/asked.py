"""What is asked for, whichever way it came."""

from collections.abc import Sequence
from typing import NamedTuple


class Asked(NamedTuple):
    """A request for predictions, decoded.

    Attributes:
        inputs: packed.
        version: the model version wanted; None for the current one, or whichever the selection policy chooses.
        context: on whose behalf; empty for nobody in particular.
        explain: whether the answer is to tell where the time went.
        forbid_default: whether an error is wanted rather than the default output.
    """

    inputs: Sequence[bytes]
    version: str | None
    context: str
    explain: bool
    forbid_default: bool

"""What is asked for, whichever way it came."""

from collections.abc import Sequence
from typing import NamedTuple


class Options(NamedTuple):
    """What is asked beside a REST body, whatever that is.

    Attributes:
        version, context, explain, forbid_default: as in Asked.
    """

    version: str | None
    context: str
    explain: bool
    forbid_default: bool

    def besides(self, asked: "Asked") -> "Asked":
        """What is asked with that; what the body itself says of version and context counts."""
        return Asked(
            asked.inputs,
            asked.version if asked.version is not None else self.version,
            asked.context or self.context,
            asked.explain or self.explain,
            asked.forbid_default or self.forbid_default,
        )


class RestQuestion(NamedTuple):
    """A REST request for predictions, not read yet.

    Attributes:
        application: the application's name.
        content_type: what the body is said to be; empty when nothing is said.
        body: the body.
        options: what is asked beside it; None: nothing.
    """

    application: str
    content_type: str
    body: bytes
    options: Options | None


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

"""How much one request may hold. That is found out before anything is made of it.

Messages are bounded in bytes, but a byte or two can be an input, which costs a kilobyte and microseconds of the one
thread. So inputs are counted. Decoding can make much of little as well, a hundred bytes of two. So a message's parts
are counted before it is decoded, unless it is too short to have too many.
"""

from services.common.errors import LimitExceeded

# An input may have so many parts besides its numbers: feedback that is an object has its keys, texts and an array.
_PARTS_AN_INPUT = 16
# Whatever the limit of inputs, there is room for keys that nobody reads.
_LEAST_PARTS = 65_536


class RequestLimits:
    """The limits of a request.

    Attributes:
        max_inputs: most inputs, or items of feedback.
        max_parts: most strings, arrays and objects in its JSON, or fields and elements in its message.
    """

    __slots__ = ("max_inputs", "max_parts")

    def __init__(self, max_inputs: int) -> None:
        self.max_inputs = max_inputs
        self.max_parts = max(_LEAST_PARTS, _PARTS_AN_INPUT * max_inputs)

    def check_inputs(self, count: int) -> None:
        """Returns if a request may have so many inputs.

        Raises:
            LimitExceeded: it may not.
        """
        if count > self.max_inputs:
            raise self._exceeded(f"but this one has {count}")

    def check_feedback(self, count: int) -> None:
        """Returns if a request may have so many items of feedback.

        Raises:
            LimitExceeded: it may not.
        """
        if count > self.max_inputs:
            raise self._exceeded(f"and as many items of feedback, but this one has {count}")

    def check_parts(self, count: int) -> None:
        """Returns if a request may have so many parts, or more that were not counted.

        Raises:
            LimitExceeded: it may not.
        """
        if count > self.max_parts:
            raise self._exceeded(
                f"and {self.max_parts} strings, arrays, objects and fields in all, but this one has at least {count}"
            )

    def _exceeded(self, how: str) -> LimitExceeded:
        return LimitExceeded(
            f"A request has at most {self.max_inputs} inputs, {how}. Divide it into several requests, or have "
            "CLIPPER_MAX_INPUTS of the query service raised"
        )

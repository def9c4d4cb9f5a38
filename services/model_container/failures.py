"""Failures: what is told of a model's mistake to the query service, and from there to the application."""

_LONGEST_MESSAGE = 1000


def describe(error: BaseException) -> str:
    """The exception's type and text, such as "ValueError: too small", in at most 1,000 characters of valid Unicode."""
    try:
        text = str(error)
    except BaseException:  # the text is the model's code too
        text = ""
    kind = type(error).__name__
    message = f"{kind}: {text}" if text else kind
    return message[:_LONGEST_MESSAGE].encode(errors="replace").decode()


def every_input(count: int, message: str) -> tuple[list[str], dict[int, str]]:
    """The outputs and the failures of a batch of `count` inputs that all failed for the same reason."""
    return [""] * count, dict.fromkeys(range(count), message)

"""How long the texts and lists of admin requests may be. Redis keeps them, and every query service holds them.

A default output is answered once for each input of a request, thousands of times.
"""

from services.common.errors import LimitExceeded

LONGEST_DEFAULT_OUTPUT = 65_536
# Where a model's files lie, and the image or environment of its replicas.
LONGEST_PATH = 4_096
LONGEST_LABEL = 255
MOST_LABELS = 64
LONGEST_POLICY = 255
LONGEST_PARAMETER = 255
MOST_PARAMETERS = 256
# To one application, and in one request.
MOST_LINKS = 64
# A host's name has at most 253.
LONGEST_ADDRESS = 260
MOST_EVENTS = 1_000


def check_length(kind: str, text: str, longest: int) -> None:
    """Checks the length of a text ("default output", "label").

    Raises:
        LimitExceeded: it is too long.
    """
    if len(text) > longest:
        raise LimitExceeded(f"A {kind} has at most {longest} characters, but this one has {len(text)}")


def check_count(kind: str, count: int, most: int) -> None:
    """Checks the length of a list of `kind` ("labels", "models").

    Raises:
        LimitExceeded: it is too long.
    """
    if count > most:
        raise LimitExceeded(f"A request has at most {most} {kind}, but this one has {count}")

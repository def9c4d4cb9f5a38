"""How a process that has loaded a model ends, by its exit code, so that whoever started it knows what to do."""

from services.common.errors import CallerError, InvalidInput
from services.model_runtime.loading import MissingModule, UnusableModel

MODEL_HANGS = 5

_EXIT_CODES: dict[type[CallerError], int] = {InvalidInput: 2, MissingModule: 3, UnusableModel: 4}


def exit_code(error: CallerError) -> int:
    """The exit code of a process that cannot work for this reason."""
    return _EXIT_CODES[type(error)]

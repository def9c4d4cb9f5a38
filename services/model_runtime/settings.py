"""Settings of what runs the model."""

import logging
import math
from dataclasses import dataclass
from enum import StrEnum

from services.common.errors import InvalidInput


class NonFinite(StrEnum):
    """What becomes of NaN and of infinite numbers, which JSON does not have, inside an output."""

    NULL = "null"
    TEXT = "text"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """What can be set, each from the environment variable CLIPPER_ and its name.

    Raises:
        InvalidInput: a value cannot be worked with.
    """

    model_path: str = "/model"
    """The model directory."""

    log_level: str = "INFO"
    """The least level that is logged."""

    predict_timeout_s: float = 60.0
    """A model that has not returned for so long, and for which nobody waits, ends its process. 0: none does."""

    non_finite: str = "null"
    """What becomes of NaN and of infinite numbers inside an output: null, text ("NaN", "Infinity") or error."""

    def __post_init__(self) -> None:
        if self.log_level.upper() not in logging.getLevelNamesMapping():
            raise InvalidInput(f"CLIPPER_LOG_LEVEL must be a log level: '{self.log_level}'")
        if not 0 <= self.predict_timeout_s < math.inf:
            raise InvalidInput(
                f"CLIPPER_PREDICT_TIMEOUT_S must be a number of seconds, or 0 for no limit: '{self.predict_timeout_s}'"
            )
        if self.non_finite not in tuple(NonFinite):
            raise InvalidInput(f"CLIPPER_NON_FINITE must be one of {', '.join(NonFinite)}: '{self.non_finite}'")

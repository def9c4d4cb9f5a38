"""The error tree: who is at fault decides the branch, what a caller can do about it decides the class.

    ClipperError
    ├── CallerError                the caller must change the request
    │   ├── InvalidInput           it can never succeed
    │   │   ├── LimitExceeded      in several smaller ones it can
    │   │   ├── SchemaMismatch     an input is not as its application's schema wants it
    │   │   ├── UnsupportedMediaType  its body is of a kind that is not read
    │   │   └── NotAcceptable      its answer would be of a kind that it does not accept
    │   ├── NotFound               it names what is not there
    │   ├── AlreadyExists          it would register twice
    │   └── Conflict               what is registered does not allow it
    ├── ServiceError               the caller may try again
    │   ├── StoreUnavailable       Redis cannot be reached
    │   │   └── StoreReplaced      it is not the store that it was
    │   ├── NotServing             the service starts or drains
    │   ├── NoCapacity             no replica could take it in time
    │   └── DeadlineMissed         its answer was not there in time
    └── ModelFailed                the model must change
        └── ModelsDisagree         its answers and those of others are too far apart

Messages of these classes are written for callers and reach them. Any other exception reaches a caller only as
UNEXPECTED; its text goes to the log. `status.py` turns both into gRPC statuses, and nothing else does.
"""

UNEXPECTED = "An unexpected error occurred!"
_LONGEST_DESCRIPTION = 1_000


def describe(error: BaseException) -> str:
    """An exception that somebody's code raised, in words: "ValueError: too small".

    At most 1,000 characters of valid Unicode, whatever the exception is.
    """
    try:
        text = str(error)
    # The text is somebody's code, too.
    except BaseException:
        text = ""
    kind = type(error).__name__
    message = f"{kind}: {text}" if text else kind
    return message[:_LONGEST_DESCRIPTION].encode(errors="replace").decode()


class ClipperError(Exception):
    """An error whose message is meant for the caller.

    Attributes:
        reason: a constant in UPPER_SNAKE_CASE that programs can test (google.rpc.ErrorInfo.reason).
    """

    reason = "INTERNAL"


class CallerError(ClipperError):
    """The caller is at fault."""


class InvalidInput(CallerError):
    """The request is malformed; repeating it cannot help."""

    reason = "INVALID_INPUT"


class LimitExceeded(InvalidInput):
    """The request holds more than one request may."""

    reason = "LIMIT_EXCEEDED"


class SchemaMismatch(InvalidInput):
    """An input is of the application's type, but not as its schema wants it."""

    reason = "SCHEMA_MISMATCH"


class UnsupportedMediaType(InvalidInput):
    """The body is of a kind that is not read."""


class NotAcceptable(InvalidInput):
    """The caller accepts no kind of answer that there is."""


class NotFound(CallerError):
    """The request names something that is not registered."""

    reason = "NOT_FOUND"


class AlreadyExists(CallerError):
    """The request registers what is registered already."""

    reason = "ALREADY_EXISTS"


class Conflict(CallerError):
    """What is registered does not allow the request."""

    reason = "CONFLICT"


class ServiceError(ClipperError):
    """A service is at fault; the same request may succeed later."""


class StoreUnavailable(ServiceError):
    """Redis cannot be reached, or it refused."""

    reason = "STORE_UNAVAILABLE"


class StoreReplaced(StoreUnavailable):
    """Redis holds another store than the one that was worked with, or an older copy of it."""

    reason = "STORE_REPLACED"


class NotServing(ServiceError):
    """The service is starting or draining."""

    reason = "NOT_SERVING"


class NoCapacity(ServiceError):
    """There was no replica to make a prediction in time.

    Attributes:
        retry_after_s: when trying again makes sense, in seconds from now.
    """

    def __init__(self, message: str, reason: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class DeadlineMissed(ServiceError):
    """A prediction was not there by its deadline."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ModelFailed(ClipperError):
    """The model failed on an input; the message is the model's own."""

    reason = "MODEL_ERROR"


class ModelsDisagree(ModelFailed):
    """The models agree too little for a prediction."""

    reason = "LOW_CONFIDENCE"

"""What clipper_admin raises.

    ClipperException            the cluster refused, or what was asked for cannot be done
    ├── ClipperManagerException the class Clipper cannot do it any more
    └── UnconnectedException    the connection is to no cluster yet

Network errors of `requests` are not wrapped: they say which address did not answer.
"""


class ClipperException(Exception):
    """Something that a user of the cluster can act upon.

    Attributes:
        msg: the message.
    """

    def __init__(self, msg: str, *args: object) -> None:
        super().__init__(msg, *args)
        self.msg = msg


class ClipperManagerException(ClipperException):
    """The class Clipper was asked for what it no longer does."""


class UnconnectedException(ClipperException):
    """The method needs a connection to a cluster.

    Attributes:
        message: the message.
    """

    def __init__(self, *args: object) -> None:
        # The wording, its typing error included, is the published one; programs may compare it.
        self.message = (
            "No connection to Clipper cluster. Call ClipperConnection.connect to connect to an existing cluster "
            "or ClipperConnnection.start_clipper to create a new one"
        )
        super().__init__(self.message, *args)

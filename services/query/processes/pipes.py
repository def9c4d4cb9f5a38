"""What is said on the two pipes between the parent of a service of several processes and each of its children.

On one pipe the parent orders, on the other the child asks. Whoever listens answers in turn, so that both sides may want
something at the same time.
"""

from enum import Enum, auto

CHILD = "--child"
"""The argument that makes a process a child; its index, its parent's process id, and its ends of the pipes of orders,
questions and signs of life follow."""


class Order(Enum):
    """What the parent says."""

    COUNT = auto()
    """Answered with the child's `Counts`. Given only to a child that serves."""

    DRAIN = auto()
    """Not answered: the child drains and ends; at once when it does not serve yet."""

    ALL_FOLLOW = auto()
    """Not answered: no process of the service is behind."""

    ONE_IS_BEHIND = auto()
    """Not answered: one does not follow the configuration. Connections are spread over all, so all say NOT_SERVING."""


class Question(Enum):
    """What the child says."""

    SERVES = auto()
    """Not answered: the child serves from now on."""

    FOLLOWS = auto()
    """Not answered: the child follows the configuration, as is taken for granted at first."""

    IS_BEHIND = auto()
    """Not answered: it does not."""

    TOTAL = auto()
    """Answered with the `Counts` of all the service."""

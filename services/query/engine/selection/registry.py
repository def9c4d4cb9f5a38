"""Policies by name: the built-in ones, those of installed packages, and any class by its path.

A package offers a policy by an entry point of the group "clipper.selection_policies"; without one a policy is named by
its path, "package.module:Class". Either way its module must be importable where query services run.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points

from services.common.errors import InvalidInput
from services.common.names import SELECTION_POLICY_GROUP
from services.common.records import Application
from services.query.engine.selection.ensembles import Average, Majority
from services.query.engine.selection.epsilon_greedy import EpsilonGreedy
from services.query.engine.selection.exp3 import Exp3
from services.query.engine.selection.exp4 import Exp4
from services.query.engine.selection.linucb import LinUcb
from services.query.engine.selection.policy import SelectionPolicy
from services.query.engine.selection.static import Single, Static
from services.query.engine.selection.thompson import Thompson
from services.query.engine.selection.ucb1 import Ucb1

_BUILT_IN: Mapping[str, type[SelectionPolicy]] = {
    "single": Single,
    "static": Static,
    "epsilon_greedy": EpsilonGreedy,
    "ucb1": Ucb1,
    "thompson": Thompson,
    "exp3": Exp3,
    "exp4": Exp4,
    "majority": Majority,
    "average": Average,
    "linucb": LinUcb,
}


def make(application: Application) -> SelectionPolicy:
    """The policy that an application asks for; the same object for equal wishes.

    Raises:
        InvalidInput: there is no such policy, or it refuses its parameters.
    """
    return _make(application.selection_policy, application.policy_parameters, application.combine)


@lru_cache(maxsize=1024)
def _make(name: str, parameters: tuple[tuple[str, float], ...], combine: str) -> SelectionPolicy:
    policy = load(name)
    try:
        return policy(dict(parameters), combine)
    except InvalidInput:
        raise
    # The class is somebody else's, perhaps not even complete.
    except Exception as error:
        raise InvalidInput(f"The selection policy '{name}' cannot be made: {error}") from error


def load(name: str) -> type[SelectionPolicy]:
    """The class of a policy: a built-in one, an entry point's, or that at "package.module:Class".

    Raises:
        InvalidInput: there is none, it cannot be imported, or it is something else than a policy.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    found = _at_path(name) if ":" in name else _at_entry_point(name)
    if not (isinstance(found, type) and issubclass(found, SelectionPolicy)):
        raise InvalidInput(f"The selection policy '{name}' is no subclass of SelectionPolicy")
    return found


def _at_path(path: str) -> object:
    module, _, attribute = path.partition(":")
    return _imported(path, lambda: getattr(import_module(module), attribute))


def _at_entry_point(name: str) -> object:
    for entry_point in entry_points(group=SELECTION_POLICY_GROUP, name=name):
        return _imported(name, entry_point.load)
    known = ", ".join(f"'{known}'" for known in _BUILT_IN)
    raise InvalidInput(
        f"Unknown selection policy '{name}'. It must be one of {known}, an entry point of the group "
        f"'{SELECTION_POLICY_GROUP}' or a class written 'package.module:Class'"
    )


def _imported(name: str, load: Callable[[], object]) -> object:
    try:
        return load()
    # The module is somebody else's: whatever it raises, the caller is told that it cannot be used.
    except Exception as error:
        raise InvalidInput(f"The selection policy '{name}' cannot be imported: {error}") from error

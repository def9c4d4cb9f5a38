"""Policies by name: the built-in ones, those of installed packages, and classes by their path where that is allowed.

A package offers a policy by an entry point of the group "clipper.selection_policies". A class is named by its path,
"package.module:Class", if its module lies under a prefix that the operator has listed: whoever may register an
application may not import whatever he likes. Either way the module must be importable where query services run.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from random import Random

from services.common.errors import InvalidInput, describe
from services.common.names import SELECTION_POLICY_GROUP, check_policy_path
from services.common.records import Application
from services.query.engine.policies.discounted_thompson import DiscountedThompson
from services.query.engine.policies.ensembles import Average, Majority
from services.query.engine.policies.epsilon_greedy import EpsilonGreedy
from services.query.engine.policies.exp3 import Exp3
from services.query.engine.policies.exp4 import Exp4
from services.query.engine.policies.linucb import LinUcb
from services.query.engine.policies.policy import Choice, Observation, SelectionPolicy, State
from services.query.engine.policies.static import Single, Static
from services.query.engine.policies.thompson import Thompson
from services.query.engine.policies.ucb1 import Ucb1

_BUILT_IN: Mapping[str, type[SelectionPolicy]] = {
    "single": Single,
    "static": Static,
    "epsilon_greedy": EpsilonGreedy,
    "ucb1": Ucb1,
    "thompson": Thompson,
    "discounted_thompson": DiscountedThompson,
    "exp3": Exp3,
    "exp4": Exp4,
    "majority": Majority,
    "average": Average,
    "linucb": LinUcb,
}


# What Selector and Feedback look at without a guard.
_FLAGS = ("additive", "uses_features", "asks_all")
# Beyond this many, policies that nobody asks for any more are forgotten.
_MOST_KEPT = 1024

_Wish = tuple[str, tuple[tuple[str, float], ...], str]


class MissingPolicy(SelectionPolicy):
    """Stands for a policy that this query service cannot have: it fails at everything, and says why.

    Attributes:
        why: that.
    """

    def __init__(self, why: str) -> None:
        super().__init__({})
        self.why = why

    def select(self, state: State, arms: Sequence[str], features: Sequence[float], random: Random) -> Choice:
        """Fails with `why`."""
        raise InvalidInput(self.why)

    def observe(self, state: State, arms: Sequence[str], observation: Observation) -> State:
        """Fails with `why`."""
        raise InvalidInput(self.why)

    def weights(self, state: State, arms: Sequence[str]) -> Mapping[str, float]:
        """Fails with `why`."""
        raise InvalidInput(self.why)


class Policies:
    """The policies of applications: equal wishes are granted with the same object, and vain ones with a MissingPolicy.

    Args:
        prefixes: a class by its path is taken if its module is one of these, or under one.
    """

    def __init__(self, prefixes: Sequence[str] = ()) -> None:
        self._prefixes = tuple(prefixes)
        self._made: dict[_Wish, SelectionPolicy] = {}
        # Somebody's code that failed is not run again for the same record.
        self._missing: dict[Application, MissingPolicy] = {}

    def prepare(self, applications: Iterable[Application]) -> dict[str, str]:
        """Makes what applications ask for, so that `policy_of` runs nobody's code; for one thread, which may take long.

        Returns:
            Why an application has no policy, by its name.
        """
        asking = list(applications)
        if len(self._made) + len(self._missing) > _MOST_KEPT:
            self._forget_all_but(asking)
        policies = {application.name: self.policy_of(application) for application in asking}
        return {name: policy.why for name, policy in policies.items() if isinstance(policy, MissingPolicy)}

    def policy_of(self, application: Application) -> SelectionPolicy:
        """The policy of an application; made now unless it was prepared."""
        wish = _wish(application)
        policy = self._made.get(wish) or self._missing.get(application)
        if policy is None:
            try:
                policy = self._made[wish] = make(application, self._prefixes)
            except InvalidInput as error:
                policy = self._missing[application] = MissingPolicy(str(error))
        return policy

    def _forget_all_but(self, asking: Sequence[Application]) -> None:
        wishes = set(map(_wish, asking))
        self._made = {wish: policy for wish, policy in self._made.items() if wish in wishes}
        self._missing = {each: self._missing[each] for each in asking if each in self._missing}


def make(application: Application, prefixes: Sequence[str] = ()) -> SelectionPolicy:
    """A policy as an application asks for it.

    Raises:
        InvalidInput: there is no such policy, it is not allowed, or it refuses its parameters.
    """
    name, parameters, combine = _wish(application)
    policy_class = load(name, prefixes)
    try:
        policy = policy_class(dict(parameters), combine)
        if not isinstance(policy, SelectionPolicy):
            raise TypeError(f"it makes an object of type {type(policy).__name__}")
        return policy
    # The class is somebody else's, perhaps not even complete.
    except BaseException as error:
        if type(error) is InvalidInput:
            raise
        raise InvalidInput(f"The selection policy '{name}' cannot be made: {describe(error)}") from error


def load(name: str, prefixes: Sequence[str] = ()) -> type[SelectionPolicy]:
    """The class of a policy: a built-in one, an entry point's, or that at "package.module:Class".

    Args:
        name: which.
        prefixes: a module by its path is imported if it is one of these, or under one.

    Raises:
        InvalidInput: there is none, it is not allowed, cannot be imported, or is something else than a policy.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if ":" in name:
        check_policy_path(name, prefixes)
        module, _, attribute = name.partition(":")
        return _imported(name, lambda: getattr(import_module(module), attribute))
    for entry_point in entry_points(group=SELECTION_POLICY_GROUP, name=name):
        return _imported(name, entry_point.load)
    known = ", ".join(f"'{known}'" for known in _BUILT_IN)
    raise InvalidInput(
        f"Unknown selection policy '{name}'. It must be one of {known}, an entry point of the group "
        f"'{SELECTION_POLICY_GROUP}' that is installed with the query service, or a class written "
        "'package.module:Class'"
    )


def _imported(name: str, load: Callable[[], object]) -> type[SelectionPolicy]:
    try:
        found = load()
        is_policy = isinstance(found, type) and issubclass(found, SelectionPolicy)
        undecided = [flag for flag in _FLAGS if is_policy and not isinstance(getattr(found, flag), bool)]
    # The module is somebody else's: whatever it raises, the caller is told that it cannot be used.
    except BaseException as error:
        raise InvalidInput(f"The selection policy '{name}' cannot be imported: {describe(error)}") from error
    if not is_policy:
        raise InvalidInput(f"The selection policy '{name}' is no subclass of SelectionPolicy")
    if undecided:
        raise InvalidInput(f"The selection policy '{name}' must have True or False as its {undecided[0]}")
    return found  # type: ignore[return-value]


def _wish(application: Application) -> _Wish:
    return application.selection_policy, application.policy_parameters, application.combine

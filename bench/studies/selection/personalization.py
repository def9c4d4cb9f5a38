"""Figure 10 of the paper: users whose best models differ, and a policy that learns about each of them.

Everybody's images are displaced by one pixel, each group's in another of the eight directions. There is a model for
each group, which has mostly seen images of its own.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.svm import SVC

from bench.rig.bench import Bench
from bench.rig.client import Client
from bench.rig.models import PACKAGES, Images, Model
from bench.rig.report import Check, Finding
from bench.studies.selection import digits, plots
from bench.studies.selection.digits import PIXELS, SIDE, Labelled

_DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
_GROUPS = len(_DIRECTIONS)
_USERS = 100
_FEEDBACKS = 8
# Images that each user asks about between two feedbacks, to see how good the answers are.
_ASKED = 8
_JUDGED_AFTER = 3
_OWN, _OTHERS = 300, 20
_SLO_S = 5.0
_FILE = "selection-users.svg"


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to serve all users.

    Attributes:
        name: of its application.
        title: what the tables call it.
        eta: its learning rate.
        is_personal: whether each user is a context.
    """

    name: str
    title: str
    eta: float
    is_personal: bool


_PERSONAL = Contender("personal", "a state for each user, eta 2", 2.0, is_personal=True)
_CONTENDERS = (
    _PERSONAL,
    Contender("common-fast", "one state for all, eta 2", 2.0, is_personal=False),
    Contender("common-slow", "one state for all, eta 0.1", 0.1, is_personal=False),
)


@dataclass(frozen=True, slots=True)
class Personalization(Finding):
    """What was found.

    Attributes:
        users: how many there are.
        errors: by contender, after 0, 1, 2, ... feedbacks a user.
        own: the error where everybody is asked of the model of the group.
    """

    users: int
    errors: Mapping[str, Sequence[float]]
    own: float

    def checks(self) -> list[Check]:
        after = {name: errors[_JUDGED_AFTER] for name, errors in self.errors.items()}
        personal = after.pop(_PERSONAL.name)
        return [
            Check(
                f"a state for each user, after {_JUDGED_AFTER} feedbacks, against the better one for all",
                personal / min(after.values()),
                most=0.9,
            )
        ]

    @property
    def rows(self) -> list[tuple[str, Sequence[float]]]:
        """Of each contender: its title and its errors."""
        return [(contender.title, self.errors[contender.name]) for contender in _CONTENDERS]

    @property
    def images(self) -> int:
        """How many are asked about after each feedback."""
        return self.users * _ASKED

    def draw(self, directory: Path) -> None:
        """Errors over feedbacks."""
        with plots.figure(directory / _FILE) as (axes,):
            for contender in _CONTENDERS:
                axes.plot(self.errors[contender.name], marker="o", label=contender.title)
            axes.axhline(self.own, color="0.5", linestyle="--", label="the group's own model")
            axes.set(xlabel="feedbacks a user", ylabel="error", ylim=(0.0, 0.7))
            axes.legend(loc="upper left", ncols=2)


@dataclass(frozen=True, slots=True)
class _User:
    context: str
    asks: Sequence[Labelled]
    tells: Labelled


def measure(bench: Bench) -> Personalization:
    """Asks and tells, in turn; all contenders are asked and told the same."""
    users, cluster = bench.amount(_USERS), bench.cluster
    models = [_model(group) for group in range(_GROUPS)]
    population = [_user(number) for number in range(users)]
    errors: dict[str, list[float]] = {contender.name: [] for contender in _CONTENDERS}
    with ExitStack() as stack:
        stack.enter_context(cluster.serving(*models))
        clients = {}
        for contender in _CONTENDERS:
            application = stack.enter_context(
                cluster.application(contender.name, models, _SLO_S, "exp4", policy_parameters={"eta": contender.eta})
            )
            clients[contender] = stack.enter_context(Client(cluster.query.address, application))
        for told in range(_FEEDBACKS + 1):
            for contender, client in clients.items():
                errors[contender.name].append(_error(client, contender, population, told))
                if told < _FEEDBACKS:
                    _tell(client, contender, population, told)
    return Personalization(users, errors, _own_error(models, population))


def _error(client: Client, contender: Contender, population: Sequence[_User], told: int) -> float:
    """Of the answers to all users' images of this turn."""
    asking = [
        client.predicting(user.asks[told].images, user.context if contender.is_personal else "") for user in population
    ]
    wrong = [
        prediction.output != label
        for user, future in zip(population, asking, strict=True)
        for prediction, label in zip(future.result().predictions, user.asks[told].labels, strict=True)
    ]
    return float(np.mean(wrong))


def _tell(client: Client, contender: Contender, population: Sequence[_User], told: int) -> None:
    """What each user's next image shows."""
    client.learn_from_inputs(
        np.vstack([user.tells.images[told] for user in population]),
        [user.tells.labels[told] for user in population],
        [user.context if contender.is_personal else "" for user in population],
    )


def _own_error(models: Sequence[Model], population: Sequence[_User]) -> float:
    wrong = [
        output != label
        for number, user in enumerate(population)
        for asked in user.asks
        for output, label in zip(models[_group(number)].outputs(asked.images), asked.labels, strict=True)
    ]
    return float(np.mean(wrong))


def _user(number: int) -> _User:
    group = _group(number)
    seeds = range(1_000 * (number + 1), 1_000 * (number + 1) + _FEEDBACKS + 1)
    asks = [_displaced(digits.queries(_ASKED, seed), group) for seed in seeds]
    return _User(f"user-{number}", asks, _displaced(digits.queries(_FEEDBACKS, 1_000_000 + number), group))


def _group(number: int) -> int:
    return number % _GROUPS


def _model(group: int) -> Model:
    seen = [
        _displaced(digits.training(_OWN if other == group else _OTHERS, _GROUPS * group + other), other)
        for other in range(_GROUPS)
    ]
    examples = Labelled(np.vstack([each.images for each in seen]), np.concatenate([each.digits for each in seen]))
    return Model(f"group-{group}", digits.classifying(SVC(gamma="scale"), examples), PACKAGES)


def _displaced(drawn: Labelled, group: int) -> Labelled:
    """Images as the group's are."""
    down, right = _DIRECTIONS[group]
    padded = np.pad(drawn.images.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    moved: Images = padded[:, 1 - down : 1 - down + SIDE, 1 - right : 1 - right + SIDE]
    return Labelled(moved.reshape(-1, PIXELS), drawn.digits)

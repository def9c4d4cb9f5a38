"""How the models of a prediction were chosen, as clients are told: the fields of `clipper.v1.Selection`."""

from typing import NotRequired, TypedDict

from services.query.engine.choosing.selected import Pick, Selection


class ArmAnswer(TypedDict):
    """The fields of one model's part; without an output when it was not asked, or did not answer in time."""

    model: str
    weight: float
    asked: bool
    output: NotRequired[str]


class Choice(TypedDict):
    """The fields."""

    probability: float
    arms: list[ArmAnswer]


def choice(selection: Selection, pick: Pick) -> Choice:
    """The fields for what the engine has chosen for one query."""
    weights = selection.selector.weights(selection.state)
    arms = []
    for arm in selection.selector.arms:
        answer = ArmAnswer(model=arm, weight=weights.get(arm, 0.0), asked=arm in pick.choice.arms)
        if arm in pick.outputs:
            answer["output"] = pick.outputs[arm]
        arms.append(answer)
    return Choice(probability=pick.choice.probability, arms=arms)

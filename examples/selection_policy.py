"""A selection policy of one's own: models are asked the more often, the better they have been lately.

Run it with `python -m examples.selection_policy`: it plays in simulation, so there is no need of a cluster. To use it,
make it importable in the query services, allow it (docs/selection-policies.md) and name it when registering:

    clipper_conn.register_application(
        name="digits", input_type="doubles", default_output="-1", slo_micros=100_000,
        selection_policy="examples.selection_policy:Lately", policy_parameters={"memory": 100.0},
    )
"""

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import ClassVar

from services.query.engine.policies.policy import Choice, Observation, Parameter, Parameters, SelectionPolicy, State
from services.query.engine.policies.registry import load
from simulation.bandits import World, classifiers, phases, play


class Lately(SelectionPolicy):
    """Keeps `recent:{arm}`, the mean loss of each arm's last answers: about `memory` of them.

    Arms are asked in proportion to exp(-recent / temperature). An arm without feedback passes for one without fault.
    It is not additive, as a loss counts for less the more have followed.
    """

    PARAMETERS: ClassVar[Parameters] = {
        "memory": Parameter(50.0, 1.0, 1e6),
        "temperature": Parameter(0.05, 0.001, 10.0),
    }

    def select(self, state: State, arms: Sequence[str], features: Sequence[float], random: Random) -> Choice:
        """Draws one arm by its weight."""
        weights = self.weights(state, arms)
        (arm,) = random.choices(arms, [weights[arm] for arm in arms])
        return Choice((arm,), weights[arm])

    def observe(self, state: State, arms: Sequence[str], observation: Observation) -> State:
        """Moves the mean of each arm that answered a little towards its loss."""
        step = 1.0 / self.parameters["memory"]
        moved = {
            f"recent:{arm}": (1.0 - step) * state.get(f"recent:{arm}", 0.0) + step * loss
            for arm, loss in observation.losses.items()
        }
        return {**state, **moved}

    def weights(self, state: State, arms: Sequence[str]) -> Mapping[str, float]:
        """The probability with which each arm is asked."""
        recent = {arm: state.get(f"recent:{arm}", 0.0) for arm in arms}
        least, temperature = min(recent.values()), self.parameters["temperature"]
        heights = {arm: math.exp((least - loss) / temperature) for arm, loss in recent.items()}
        total = sum(heights.values())
        return {arm: height / total for arm, height in heights.items()}


def degrading() -> World:
    """Three models; the best one guesses from query 2,000 to query 4,000."""
    well = {"forest": 0.95, "net": 0.8, "svm": 0.7}
    return phases({0: classifiers(well), 2_000: classifiers({**well, "forest": 0.1}), 4_000: classifiers(well)})


def main() -> None:
    """Compares it with others where the best model degrades for a while."""
    others = {name: load(name)({}) for name in ("epsilon_greedy", "thompson", "exp3", "exp4")}
    for name, policy in {"Lately": Lately({}), **others}.items():
        history = play(policy, ["forest", "net", "svm"], degrading(), queries=6_000, seed=1)
        print(
            f"{name:15} {history.mean_loss():.1%} wrong, the best model alone {history.best_arm_loss():.1%};", end=" "
        )
        print(f"forest left after {history.queries_to_leave('forest', 2_000)} queries")


if __name__ == "__main__":
    main()

"""What is counted of selection policies, added up over processes, and how it is shown."""

import pickle
from collections.abc import Mapping
from dataclasses import replace

import pytest
from prometheus_client.core import Metric

from services.common.lessons import FeedbackStatus
from services.common.names import InputType
from services.common.records import Application
from services.query.engine.feedback import Feedback, FeedbackItem, FeedbackRequest
from services.query.engine.requests import NOBODY
from services.query.engine.versions import Route
from services.query.telemetry.counts import Counts
from services.query.telemetry.exposition import CountsCollector, as_json
from services.query.telemetry.selection_counts import SelectionCounts

_LEARNED = FeedbackStatus.LEARNED
_ROUTE = Route(Application("app", InputType.DOUBLES, "", 1_000), {})


def _feedback(
    status: FeedbackStatus, losses: Mapping[str, float] | None = None, answer_loss: float | None = None
) -> Feedback:
    """Feedback, and what became of it."""
    (feedback,) = FeedbackRequest(_ROUTE, [FeedbackItem(query_id=1, label="x")], 0, NOBODY).feedback
    feedback.status, feedback.losses, feedback.answer_loss = status, losses or {}, answer_loss
    return feedback


def _counts() -> SelectionCounts:
    """Two models, of which the better one was asked half of the time."""
    counts = SelectionCounts()
    for model, loss in (("good", 0.0), ("bad", 1.0), ("good", 0.5), ("bad", 0.5)):
        counts.chosen([model])
        counts.learned(_feedback(_LEARNED, losses={model: loss}, answer_loss=loss))
    return counts


def _shown(counts: SelectionCounts) -> Counts:
    return replace(Counts.total([], 0.0), selections={"app": counts}, unrecorded=3)


def _samples(metrics: list[Metric]) -> dict[tuple[str, ...], float]:
    return {(sample.name, *sample.labels.values()): sample.value for metric in metrics for sample in metric.samples}


def test_each_model_has_its_selections_and_rewards() -> None:
    good = _counts().arms["good"]
    assert (good.selections, good.feedbacks, good.rewards, good.mean_reward) == (2, 2, 1.5, 0.75)


def test_the_regret_is_what_the_best_model_alone_would_have_earned_more() -> None:
    assert _counts().regret == pytest.approx(4 * 0.75 - 2.0)


def test_without_feedback_there_is_no_regret() -> None:
    counts = SelectionCounts()
    counts.chosen(["a", "b"])
    assert counts.regret == 0.0
    assert counts.arms["a"].mean_reward == 0.0


def test_feedback_on_no_answer_judges_the_models_and_causes_no_regret() -> None:
    counts = _counts()
    counts.learned(_feedback(_LEARNED, losses={"good": 0.25, "bad": 0.25}))
    assert counts.arms["good"].feedbacks == 3
    assert counts.regret == pytest.approx(4 * 0.75 - 2.0)


def test_feedback_is_counted_by_what_became_of_it() -> None:
    counts = _counts()
    counts.learned(_feedback(FeedbackStatus.UNKNOWN_QUERY))
    counts.learned(_feedback(FeedbackStatus.ALREADY_LEARNED))
    assert counts.feedbacks == {"learned": 4, "unknown_query": 1, "already_learned": 1}


def test_a_total_adds_processes_up_and_has_the_newest_weights() -> None:
    old, new = _counts(), _counts()
    old.weights, old.weighed_s = {"good": 0.5, "bad": 0.5}, 1.0
    new.weights, new.weighed_s = {"good": 0.9, "bad": 0.1}, 2.0
    old.forgotten, new.forgotten = 3, 4
    total = Counts.total([_shown(new), _shown(old), Counts.total([], 0.0)], 3.0)
    selection = total.selections["app"]
    assert (selection.arms["good"].selections, selection.arms["good"].rewards) == (4, 3.0)
    assert selection.feedbacks == {"learned": 8}
    assert selection.regret == pytest.approx(2.0)
    assert selection.weights["good"] == 0.9
    assert selection.forgotten == 7
    assert total.unrecorded == 6


def test_they_are_shown_as_json() -> None:
    counts = _counts()
    counts.weights = {"good": 0.9, "bad": 0.1}
    shown = as_json(_shown(counts), 1.0)
    counters = {name: value for entry in shown["counters"] for name, value in entry.items()}
    ratios = {name: value for entry in shown["ratio_counters"] for name, value in entry.items()}
    assert counters["app:app:arm:good:num_selections"] == {"count": 2}
    assert counters["app:app:arm:good:num_feedbacks"] == {"count": 2}
    assert counters["app:app:arm:good:sum_rewards"] == {"count": 1.5}
    assert counters["app:app:num_feedbacks:learned"] == {"count": 4}
    assert counters["app:app:regret"] == {"count": pytest.approx(1.0)}
    assert counters["internal:num_unrecorded_predictions"] == {"count": 3}
    assert ratios["app:app:arm:good:mean_reward"] == {"ratio": 0.75}
    assert ratios["app:app:arm:good:weight"] == {"ratio": 0.9}


def test_they_are_shown_to_prometheus() -> None:
    counts = pickle.loads(pickle.dumps(_counts()))
    counts.weights, counts.forgotten = {"good": 0.9, "bad": 0.1}, 5
    samples = _samples(list(CountsCollector(lambda: _shown(counts)).collect()))
    assert samples["clipper_arm_selections_total", "app", "good"] == 2
    assert samples["clipper_arm_feedbacks_total", "app", "bad"] == 2
    assert samples["clipper_arm_rewards_total", "app", "bad"] == 0.5
    assert samples["clipper_arm_weight", "app", "good"] == 0.9
    assert samples["clipper_selection_regret", "app"] == pytest.approx(1.0)
    assert samples["clipper_feedbacks_total", "app", "learned"] == 4
    assert samples["clipper_forgotten_predictions_total", "app"] == 5
    assert samples[("clipper_unrecorded_predictions_total",)] == 3

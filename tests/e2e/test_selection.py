"""Applications that choose among several models and learn: a cluster of processes, through REST and native gRPC."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import requests
from clipper.v1 import query_service_pb2

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import PATIENCE_S, Answer, NativeClient, RestClient, doubles
from tests.fixtures.model_containers import packed
from tests.fixtures.stalls import StallMeter
from tests.fixtures.waiting import wait_until

_MODELS = ("right", "often", "wrong")
_DEFAULT = "none"
_SLO_S = 0.1
_OVERDUE_S = 0.010
_SINGLE_CHOICE = ("static", "epsilon_greedy", "ucb1", "thompson", "exp3", "linucb")
_ENSEMBLES = ("exp4", "majority", "average")


def parity(wrong_every: int) -> Callable[[Sequence[Any]], list[str]]:
    """A model that tells odd numbers from even ones, but for one in so many."""

    def predict(inputs: Sequence[Any]) -> list[str]:
        numbers = [int(row[0]) for row in inputs]
        return [str((number + (number % wrong_every == 0)) % 2) for number in numbers]

    return predict


def sleep(inputs: Sequence[Any]) -> list[str]:
    time.sleep(1.0)
    return ["1"] * len(inputs)


@pytest.fixture(scope="module")
def query_port(cluster: ClipperConnection) -> Iterator[str]:
    """The query port of a cluster with three models, a slow one, and an application for each policy."""
    for name, function in zip(_MODELS, (parity(10**9), parity(3), parity(1)), strict=True):
        python_deployer.deploy_python_closure(cluster, name, 1, "doubles", function, check=False)
    python_deployer.deploy_python_closure(cluster, "sleeper", 1, "doubles", sleep, check=False)
    for policy in (*_SINGLE_CHOICE, *_ENSEMBLES):
        register(cluster, f"by-{policy}", *_MODELS, selection_policy=policy)
    register(cluster, "wary", *_MODELS, selection_policy="majority", confidence_threshold=0.9)
    register(cluster, "slow-member", "right", "often", "sleeper", slo_s=_SLO_S, selection_policy="majority")
    register(cluster, "learner", *_MODELS, selection_policy="exp3", policy_parameters={"eta": 1.0}, use_cache=False)
    register(cluster, "alone", "right")
    yield cluster.get_query_addr()
    cluster.stop_models([*_MODELS, "sleeper"])


def register(cluster: ClipperConnection, name: str, *models: str, slo_s: float = PATIENCE_S, **options: Any) -> None:
    cluster.register_application(name, "doubles", _DEFAULT, round(slo_s * 1e6), **options)
    for model in models:
        cluster.link_model_to_app(name, model)


def post(address: str, path: str, **body: Any) -> requests.Response:
    return requests.post(f"http://{address}/{path}", json=body, timeout=PATIENCE_S)


def predict(address: str, application: str, number: float, **options: Any) -> dict[str, Any]:
    answer = post(address, f"{application}/predict", input=[float(number)], **options)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def told(address: str, application: str, **feedback: Any) -> Any:
    answer = post(address, f"{application}/update", **feedback)
    assert answer.status_code == 200, answer.text
    return answer.json()["feedback"]


@pytest.mark.parametrize("policy", [*_SINGLE_CHOICE, *_ENSEMBLES])
def test_every_policy_answers_and_takes_feedback_over_rest_and_native_grpc(query_port: str, policy: str) -> None:
    application = f"by-{policy}"
    answers = [predict(query_port, application, number) for number in range(6)]
    assert all(not each["default"] for each in answers)
    assert all(("confidence" in each) is (policy in _ENSEMBLES) for each in answers)
    outcomes = [
        told(query_port, application, query_id=each["query_id"], label=str(number % 2))
        for number, each in enumerate(answers)
    ]
    assert outcomes == ["learned"] * 6

    with NativeClient(query_port, application) as client:
        response = client.stub.Predict(doubles(application, [[7.0], [8.0]]), timeout=PATIENCE_S)
        items = [
            query_service_pb2.FeedbackItem(query_id=each.query_id, label=label)
            for each, label in zip(response.predictions, ("1", "0"), strict=True)
        ]
        items.append(query_service_pb2.FeedbackItem(input=packed("doubles", [[9.0]]), label="1"))
        request = query_service_pb2.FeedbackRequest(application=application, feedback=items)
        results = client.stub.Feedback(request, timeout=PATIENCE_S).results
    assert [each.status for each in results] == [query_service_pb2.FEEDBACK_STATUS_LEARNED] * 3


def test_feedback_makes_the_best_model_the_one_that_is_asked(cluster: ClipperConnection, query_port: str) -> None:
    numbers = itertools.count()

    def relies_on_the_best() -> bool:
        number = next(numbers)
        answer = predict(query_port, "learner", number, explain=True)
        told(query_port, "learner", query_id=answer["query_id"], label=number % 2)
        return any(arm["model"] == "right" and arm["weight"] > 0.6 for arm in answer["selection"]["arms"])

    wait_until(relies_on_the_best)
    state = cluster.get_selection_state("learner")
    assert state["selection_policy"] == "exp3"
    assert state["arms"] == sorted(_MODELS)
    assert {f"log_weight:{model}" for model in _MODELS} <= set(state["state"])


def test_contexts_learn_apart_and_can_be_forgotten(cluster: ClipperConnection, query_port: str) -> None:
    # For this user the model that is always wrong is right.
    for number in range(150):
        assert told(query_port, "learner", input=[float(number)], label=(number + 1) % 2, uid="contrary") == "learned"
    state = cluster.get_selection_state("learner", "contrary")["state"]
    assert state["log_weight:wrong"] > state["log_weight:right"]
    assert cluster.get_selection_state("learner", "nobody")["state"] == {}
    explained = predict(query_port, "learner", 1.0, uid="contrary", explain=True)["selection"]["arms"]
    assert max(explained, key=lambda arm: float(arm["weight"]))["model"] == "wrong"
    cluster.delete_selection_state("learner", "contrary")
    assert cluster.get_selection_state("learner", "contrary")["state"] == {}


def test_feedback_counts_once_wherever_it_arrives(query_port: str) -> None:
    query_id = predict(query_port, "learner", 5.0)["query_id"]
    outcomes = [told(query_port, "learner", query_id=query_id, label=1) for _ in range(6)]
    assert outcomes == ["learned"] + ["already learned"] * 5


def test_an_unknown_query_is_404_with_a_sentence_and_in_a_batch_a_word(query_port: str) -> None:
    answer = post(query_port, "learner/update", query_id=2**52, label=1)
    assert answer.status_code == 404
    assert str(2**52) in answer.json()["message"]
    known = predict(query_port, "learner", 6.0)["query_id"]
    batch = [{"query_id": 2**52, "label": 1}, {"query_id": known, "label": 0}]
    assert told(query_port, "learner", feedback=batch) == ["unknown query", "learned"]


def test_bad_feedback_is_400(query_port: str) -> None:
    for body in ({"label": 1}, {"query_id": 1}, {"query_id": 1, "reward": 7}, {"query_id": "x", "label": 1}):
        answer = requests.post(f"http://{query_port}/learner/update", json=body, timeout=PATIENCE_S)
        assert answer.status_code == 400, answer.text


def test_an_ensemble_tells_how_sure_it_is_and_what_each_said(query_port: str) -> None:
    answer = predict(query_port, "by-majority", 4.0, explain=True)
    assert (answer["output"], answer["confidence"]) == (0, pytest.approx(2 / 3))
    assert [(arm["model"], arm["asked"], arm["output"]) for arm in answer["selection"]["arms"]] == [
        ("often", True, 0),
        ("right", True, 0),
        ("wrong", True, 1),
    ]


def test_when_the_models_disagree_too_much_the_default_is_answered(query_port: str) -> None:
    answer = predict(query_port, "wary", 4.0)
    assert (answer["output"], answer["default"], answer["confidence"]) == (_DEFAULT, True, pytest.approx(2 / 3))
    assert "confidence threshold" in answer["default_explanation"]


@pytest.mark.alone
@pytest.mark.parametrize("client_of", [RestClient, NativeClient], ids=["rest", "grpc"])
def test_a_slow_member_makes_no_answer_late(
    cluster: ClipperConnection, query_port: str, client_of: Callable[[str, str], Any]
) -> None:
    with client_of(query_port, "slow-member") as client, StallMeter(cluster) as meter:
        answers: list[Answer] = [client.ask([1_004 + 6 * number]) for number in range(20)]
    assert all(answer.is_prediction and int(answer.output) == 0 for answer in answers)
    assert statistics.median(answer.latency_s for answer in answers) <= _SLO_S + _OVERDUE_S
    assert meter.late(answers, _SLO_S + _OVERDUE_S) == []


@pytest.mark.alone
def test_a_member_that_was_killed_makes_no_answer_wait(cluster: ClipperConnection, query_port: str) -> None:
    cluster.set_num_replicas("sleeper", 0)
    answer = predict(query_port, "slow-member", 2_000.0)
    wait_until(lambda: predict(query_port, "slow-member", 2_000.0)["output"] == 0)
    with RestClient(query_port, "slow-member") as client:
        answers = [client.ask([3_000 + 2 * number]) for number in range(10)]
    assert answer["default"] is False
    assert statistics.median(answer.latency_s for answer in answers) < _SLO_S / 2


def test_an_application_with_one_model_is_as_it_was(query_port: str) -> None:
    assert set(predict(query_port, "alone", 1.0, uid=7)) == {"query_id", "output", "default"}
    assert told(query_port, "alone", input=[1.0], label=1) == "learned"


def test_what_happened_can_be_read(cluster: ClipperConnection, query_port: str) -> None:
    query_id = predict(query_port, "by-ucb1", 11.0)["query_id"]
    told(query_port, "by-ucb1", query_id=query_id, label=1)

    def events() -> list[Any]:
        return list(cluster.get_selection_events("by-ucb1")["events"])

    wait_until(
        lambda: {each["event"] for each in events() if each["query_id"] == query_id} == {"prediction", "feedback"}
    )


def test_the_metrics_tell_of_each_model(query_port: str) -> None:
    seen: set[str] = set()

    def told_of_all() -> bool:
        metrics = requests.get(f"http://{query_port}/metrics", timeout=PATIENCE_S).json()
        seen.update(name for entry in metrics["counters"] + metrics["ratio_counters"] for name in entry)
        return all(f"app:learner:arm:{model}:mean_reward" in seen for model in _MODELS)

    wait_until(told_of_all)
    assert "app:learner:regret" in seen

"""A selection policy of one's own in a cluster of processes: how it gets there, and what it cannot do to others."""

import os
from pathlib import Path

import pytest
import requests

from clipper_admin import ClipperException
from clipper_admin.deployers import python as python_deployer
from tests.e2e.conftest import NewCluster
from tests.fixtures.clients import PATIENCE_S
from tests.fixtures.processes import send, wait_for_another
from tests.fixtures.waiting import wait_until

_POLICIES = """
import sys
from services.query.engine.policies.policy import Choice, SelectionPolicy

class Last(SelectionPolicy):
    def select(self, state, arms, features, random):
        return Choice(arms[-1:], 1.0)

    def observe(self, state, arms, observation):
        return state

    def weights(self, state, arms):
        return dict.fromkeys(arms, 0.0) | {arms[-1]: 1.0}

class Exits(Last):
    def select(self, state, arms, features, random):
        sys.exit(1)
"""


def test_it_is_named_by_its_path_under_a_prefix_and_one_that_exits_costs_its_own_application_alone(
    new_cluster: NewCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mypackage"
    package.mkdir()
    (package / "policies.py").write_text(_POLICIES)
    (package / "exiting.py").write_text("import sys\nsys.exit(1)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("CLIPPER_POLICY_PREFIXES", "mypackage")
    cluster = new_cluster("own-policy")
    cluster.start_clipper()
    for model in ("one", "two"):
        python_deployer.deploy_python_closure(
            cluster, model, 1, "doubles", lambda xs, word=model: [word] * len(xs), check=False
        )
    for name, policy in (("last", "policies:Last"), ("exits", "policies:Exits"), ("unimportable", "exiting:Own")):
        cluster.register_application(name, "doubles", "none", 5_000_000, selection_policy=f"mypackage.{policy}")
        for model in ("one", "two"):
            cluster.link_model_to_app(name, model)
    with pytest.raises(ClipperException, match="is not allowed"):
        cluster.register_application("near", "doubles", "none", 5_000_000, selection_policy="mypackage2:Last")

    def output(name: str) -> str:
        url = f"http://{cluster.get_query_addr()}/{name}/predict"
        answer = requests.post(url, json={"input": [1.0]}, timeout=PATIENCE_S)
        return str(answer.json().get("output"))

    assert [output(name) for name in ("exits", "unimportable", "last")] == ["none", "none", "two"]
    pid, _ = send(cluster, "query-0")
    wait_for_another(cluster, "query-0", pid)
    wait_until(lambda: output("last") == "two")
    assert [output(name) for name in ("exits", "unimportable", "last")] == ["none", "none", "two"]

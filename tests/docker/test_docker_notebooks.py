"""What a script does it does in a container, too: on one thread, as `__main__`, with all that is its own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from clipper_admin import ClipperConnection
from tests.fixtures.docker_clusters import NETWORK, crash, of_role
from tests.fixtures.waiting import wait_until

NAME = "notebook"
WITH_HOLES = "notebook-with-holes"
PATIENCE_S = 60.0

SCRIPT = """
import asyncio, concurrent.futures, functools, multiprocessing, pickle, signal, sqlite3, sys, threading
import numpy as np
from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.deployers import python as python_deployer
from services import features

class Scaler:
    def __init__(self, factor):
        self.factor = factor

    def scale(self, number):
        return number * self.factor

class Square:
    def __init__(self, side):
        self.side = side

    @functools.cached_property
    def area(self):
        return self.side ** 2

def doubled(number):
    return 2 * number

@functools.lru_cache(maxsize=10)
def halved(number):
    return number / 2

@functools.singledispatch
def kind(value):
    return "something"

@kind.register
def _(value: float):
    return "a float"

class Model:
    def __init__(self):
        self.database = sqlite3.connect(":memory:")
        self.database.execute("create table numbers (number)")
        self.local = threading.local()
        self.local.offset = 0.25

    def warm_up(self):
        self.database.execute("insert into numbers values (0.5)")

    def predict(self, inputs):
        return [{name: outcome(does, float(row[-1])) for name, does in self.deeds().items()} for row in inputs]

    def deeds(self):
        return {name: getattr(self, name) for name in vars(Model) if name.startswith("does_")}

    def does_ask_a_database(self, number):
        ((stored,),) = self.database.execute("select number from numbers").fetchall()
        return stored + number

    def does_keep_what_is_its_threads(self, number):
        return self.local.offset + number

    def does_set_an_alarm(self, number):
        def ring(*_):
            raise TimeoutError
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        try:
            threading.Event().wait(30)
        except TimeoutError:
            return number
        return "no alarm"

    def does_use_the_loop(self, number):
        return asyncio.get_event_loop().run_until_complete(asyncio.sleep(0, number))

    def does_map_in_a_pool(self, number):
        with multiprocessing.Pool(1) as pool:
            return pool.map(doubled, [number])[0]

    def does_map_in_an_executor(self, number):
        with concurrent.futures.ProcessPoolExecutor(1) as executor:
            return list(executor.map(doubled, [number]))[0]

    def does_unpickle_an_object(self, number):
        with open("scaler.pkl", "rb") as file:
            return pickle.load(file).scale(number)

    def does_call_a_cached_function(self, number):
        return halved(number)

    def does_call_a_dispatching_function(self, number):
        return kind(number)

    def does_cache_a_property(self, number):
        return Square(number).area

    def does_use_a_package_named_services(self, number):
        return features.weighted(number)

    def does_import_when_it_runs(self, number):
        from plugins import halves
        return halves.half(number)

    def does_return_what_is_no_json(self, number):
        return {1: (number, float("nan")), "tenth": np.float32(0.1)}

def outcome(does, number):
    try:
        return does(number)
    except Exception as error:
        return f"{type(error).__name__}: {error}"

with open("scaler.pkl", "wb") as file:
    pickle.dump(Scaler(3.0), file)
cluster, network, name = sys.argv[1:]
connection = ClipperConnection(DockerContainerManager(cluster, docker_network=network))
connection.connect()
python_deployer.create_endpoint(
    connection, name, "doubles", Model, slo_micros=20_000_000, files=["scaler.pkl"], sample_input=[1.0]
)
"""


def done_with(number: float) -> dict[str, Any]:
    """What the script's model does with a number."""
    return {
        "does_ask_a_database": 0.5 + number,
        "does_keep_what_is_its_threads": 0.25 + number,
        "does_set_an_alarm": number,
        "does_use_the_loop": number,
        "does_map_in_a_pool": 2 * number,
        "does_map_in_an_executor": 2 * number,
        "does_unpickle_an_object": 3 * number,
        "does_call_a_cached_function": number / 2,
        "does_call_a_dispatching_function": "a float",
        "does_cache_a_property": number**2,
        "does_use_a_package_named_services": 7 * number,
        "does_import_when_it_runs": number / 2,
        "does_return_what_is_no_json": {"1": [number, None], "tenth": 0.1},
    }


@pytest.fixture
def notebook(docker_cluster: ClipperConnection, tmp_path: Path) -> Iterator[ClipperConnection]:
    """The cluster, with what the script has deployed to it and has gone."""
    program = tmp_path / "program"
    for file, text in (
        ("script.py", SCRIPT),
        ("services/__init__.py", "WEIGHT = 7"),
        ("services/features.py", "import services\n\ndef weighted(number):\n    return services.WEIGHT * number\n"),
        ("plugins/halves.py", "def half(number):\n    return number / 2\n"),
    ):
        (program / file).parent.mkdir(parents=True, exist_ok=True)
        (program / file).write_text(text)
    command = [sys.executable, "script.py", docker_cluster.cm.cluster_identifier, NETWORK, NAME]
    subprocess.run(command, check=True, cwd=program)
    docker_cluster.register_application(WITH_HOLES, "doubles", "none", 20_000_000, missing="nan")
    docker_cluster.link_model_to_app(WITH_HOLES, NAME)
    yield docker_cluster
    docker_cluster.stop_models([NAME])
    for application in (NAME, WITH_HOLES):
        docker_cluster.unregister_application(application)


def answer(connection: ClipperConnection, application: str, *numbers: float | None) -> Any:
    url = f"http://{connection.get_query_addr()}/{application}/predict"
    return requests.post(url, json={"input": numbers}, timeout=PATIENCE_S).json()["output"]


def test_a_model_does_in_a_container_what_it_does_in_its_script_whichever_service_asks_it(
    engine: docker.DockerClient, notebook: ClipperConnection
) -> None:
    for number in (1.0, 2.0, 3.5):
        assert answer(notebook, NAME, number) == done_with(number)
    assert answer(notebook, WITH_HOLES, None, 4.0) == done_with(4.0)

    # Whoever comes anew must not bring another thread.
    for service in of_role(engine, notebook, "query"):
        crash(service)
    wait_until(lambda: answer(notebook, NAME, 5.0) == done_with(5.0), within_s=PATIENCE_S)

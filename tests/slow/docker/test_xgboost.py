"""A program that was written for Clipper and XGBoost runs on Docker as it stands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from clipper_admin import ClipperConnection
from tests.fixtures.docker_clusters import NETWORK

WHERE_XGBOOST_IS = "import pathlib, xgboost; print(pathlib.Path(xgboost.__file__).parents[1])"

# As people have it in their notebooks. What differs is said in the test.
XGBOOST_PROGRAM = """
import sys
import logging, xgboost as xgb, numpy as np
from clipper_admin import ClipperConnection, DockerContainerManager
cl = ClipperConnection(DockerContainerManager(sys.argv[1], docker_network=sys.argv[2]))
cl.connect()
cl.register_application('xgboost-test', 'integers', 'default_pred', 100000)

def get_test_point():
    return [np.random.randint(255) for _ in range(784)]

# Create a training matrix.
dtrain = xgb.DMatrix([get_test_point()], label=[0])

# We then create parameters, watchlist, and specify the number of rounds
# This is code that we use to build our XGBoost Model, and your code may differ.
param = {'max_depth': 2, 'eta': 1, 'silent': 1, 'objective': 'binary:logistic'}
watchlist = [(dtrain, 'train')]
num_round = 2
bst = xgb.train(param, dtrain, num_round, watchlist)

def predict(xs):
    return bst.predict(xgb.DMatrix(xs))

from clipper_admin.deployers import python as python_deployer
# We specify which packages to install in the pkgs_to_install arg.
# For example, if we wanted to install xgboost and psycopg2, we would use
# pkgs_to_install = ['xgboost', 'psycopg2']
python_deployer.deploy_python_closure(cl, name='xgboost-model', version=1,
     input_type="integers", func=predict, pkgs_to_install=['xgboost'])
cl.link_model_to_app('xgboost-test', 'xgboost-model')

import requests, json
# Get Address
addr = cl.get_query_addr()

def ask(point):
    # Post Query
    response = requests.post(
         "http://%s/%s/predict" % (addr, 'xgboost-test'),
         headers={"Content-type": "application/json"},
         data=json.dumps({
             'input': point
         }))
    result = response.json()
    if response.status_code == requests.codes.ok and result["default"]:
         print('A default prediction was returned.')
    elif response.status_code != requests.codes.ok:
        print(result)
        raise BenchmarkException(response.text)
    else:
        print('Prediction Returned:', result)
    return result

def agreed(point):
    result = ask(point)
    while result["default"]:
        result = ask(point)
    return result["output"], float(predict([point])[0])

first = agreed(get_test_point())
# One row teaches to answer one thing; of several, a second version learns to tell them apart.
rows = [get_test_point() for _ in range(20)]
bst = xgb.train(param, xgb.DMatrix(rows, label=[0, 1] * 10), num_round)
python_deployer.deploy_python_closure(cl, name='xgboost-model', version=2,
     input_type="integers", func=predict, pkgs_to_install=['xgboost'])
pairs = [first] + [agreed(row) for row in rows]
cl.stop_models(['xgboost-model'])
print(json.dumps(pairs))
"""


@pytest.fixture
def xgboost_here(engine: docker.DockerClient, docker_cluster: ClipperConnection, tmp_path: Path) -> Path:
    """A directory to import XGBoost from: that of an image, so that its hundreds of megabytes are installed once."""
    installed = tmp_path / "site-packages"
    for directory in (installed, tmp_path / "no-model"):
        directory.mkdir()
    image = docker_cluster.build_model("xgboost-base", 1, str(tmp_path / "no-model"), "default", None, ["xgboost"])
    where = engine.containers.run(image, ["python", "-c", WHERE_XGBOOST_IS], remove=True).decode().strip()
    container = engine.containers.create(image)
    try:
        for part in ("xgboost", "xgboost.libs"):
            subprocess.run(("docker", "cp", f"{container.id}:{where}/{part}", str(installed)), check=True)
    finally:
        container.remove()
    return installed


@pytest.mark.timeout(300)
def test_xgboost_answers_as_it_does_here(docker_cluster: ClipperConnection, xgboost_here: Path) -> None:
    """The program runs as it was written for XGBoost 0.8, but for what XGBoost 3.2 refuses and what tests need.

    XGBoost refuses `DMatrix(get_test_point(), label=[0])`, a list of one dimension ("Please reshape the input data into
    2-dimensional matrix"); `[get_test_point()]` it takes. It still takes `silent`, with a warning that it is not used,
    and the watch list by position, with a warning that it should have a name.

    The program connects to a cluster that runs, asks again while a busy machine misses the tenth of a second, and
    trains a second version.
    """
    command = (sys.executable, "-c", XGBOOST_PROGRAM, docker_cluster.cm.cluster_identifier, NETWORK)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(xgboost_here), *sys.path])}

    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, timeout=200)

    said = done.stdout.splitlines()
    assert any(line.startswith("Prediction Returned: {'query_id': ") for line in said)
    pairs = json.loads(said[-1])
    assert [output for output, _here in pairs] == [pytest.approx(here, rel=1e-6) for _output, here in pairs]
    assert len({output for output, _here in pairs[1:]}) > 1

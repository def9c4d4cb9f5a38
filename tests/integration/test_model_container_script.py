"""What the script of a model called `__main__` is the container's `__main__`."""

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.model_containers import ContainerProcess, Stream, each_arrangement, request

__all__ = ["each_arrangement"]
pytestmark = pytest.mark.usefixtures("each_arrangement")

_SCRIPT = """
import concurrent.futures, dataclasses, enum, functools, multiprocessing, pickle, shutil, sys
from pathlib import Path

class Scaler:
    def __init__(self, factor):
        self.factor = factor

    def scale(self, number):
        return number * self.factor

class Colour(enum.Enum):
    RED = "red"

@dataclasses.dataclass
class Point:
    x: float
    colour: Colour

def doubled(number):
    return 2 * number

def logged(function):
    @functools.wraps(function)
    def wrapper(number):
        return function(number)
    return wrapper

@logged
def tripled(number):
    return 3 * number

def pointed(number):
    return Point(number, Colour.RED)

def scaled_in_a_pool(context, function, numbers):
    with multiprocessing.get_context(context).Pool(2) as pool:
        return pool.map(function, numbers)

count = 0

def counted():
    global count
    count += 1

Path(sys.argv[1]).mkdir()
(Path(sys.argv[1]) / "scaler.pkl").write_bytes(pickle.dumps(Scaler(2.0)))
"""

_SAVE = """
if __name__ == "__main__":
    from clipper_admin import closures
    with closures.saved(predict) as directory:
        shutil.copytree(directory, sys.argv[1], dirs_exist_ok=True)
"""

_MODELS = {
    "a pool of forked processes": """
def predict(inputs):
    return scaled_in_a_pool("fork", doubled, [float(row[0]) for row in inputs])
""",
    "a pool of spawned processes": """
def predict(inputs):
    return scaled_in_a_pool("spawn", doubled, [float(row[0]) for row in inputs])
""",
    "a pool of processes of a server": """
def predict(inputs):
    return scaled_in_a_pool("forkserver", doubled, [float(row[0]) for row in inputs])
""",
    "an executor of processes": """
def predict(inputs):
    with concurrent.futures.ProcessPoolExecutor(2) as executor:
        return list(executor.map(doubled, [float(row[0]) for row in inputs]))
""",
    "an executor made while it was loaded": """
class predict:
    def __init__(self):
        self.executor = concurrent.futures.ProcessPoolExecutor(2)

    def predict(self, inputs):
        return list(self.executor.map(doubled, [float(row[0]) for row in inputs]))
""",
    "a pool for a decorated function": """
def predict(inputs):
    return [2 * tripled / 3 for tripled in scaled_in_a_pool("fork", tripled, [float(row[0]) for row in inputs])]
""",
    "a pool that returns objects of the script": """
def predict(inputs):
    points = scaled_in_a_pool("fork", pointed, [float(row[0]) for row in inputs])
    assert all(point.colour is Colour.RED and type(point) is Point for point in points)
    return [2 * point.x for point in points]
""",
    "spawned processes that return objects of the script": """
def predict(inputs):
    points = scaled_in_a_pool("spawn", pointed, [float(row[0]) for row in inputs])
    assert all(point.colour is Colour.RED and type(point) is Point for point in points)
    return [2 * point.x for point in points]
""",
    "a pickle in a file with a class of the script": """
def predict(inputs, file=Path(sys.argv[1]) / "scaler.pkl"):
    scaler = pickle.loads(file.read_bytes())
    return [scaler.scale(float(row[0])) for row in inputs]
""",
    "the script as a module": """
def predict(inputs):
    script = sys.modules["__main__"]
    assert script.doubled is doubled and script.predict is predict and script.Scaler(1).scale(1) == 1
    assert vars(script) is globals()
    counted()
    assert script.count == count > 0
    return [script.doubled(float(row[0])) for row in inputs]
""",
    "a guard of the main program": """
def predict(inputs):
    if __name__ == "__main__":
        return [2.0 * float(row[0]) for row in inputs]
    return ["imported"] * len(inputs)
""",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where a model is saved, by a script that is there no more; once, for both arrangements."""

    @functools.cache
    def save(model: str) -> Path:
        directory = tmp_path_factory.mktemp("script")
        script = directory / "script.py"
        script.write_text(_SCRIPT + _MODELS[model] + _SAVE)
        subprocess.run([sys.executable, script, directory / "model"], check=True)
        script.unlink()
        return directory / "model"

    return save


@pytest.mark.parametrize("model", _MODELS)
def test_a_model_finds_what_its_script_called_main(saved: Callable[[str], Path], model: str) -> None:
    directory = saved(model)
    with ContainerProcess(directory, model_path=str(directory)) as container:
        with Stream(container.address()) as stream:
            for _ in range(2):
                (answer,) = stream.ask(request([[1.0], [2.5]]))
                assert [failure.message for failure in answer.failures] == []
                assert list(answer.outputs) == ["2.0", "5.0"]
        container.process.terminate()
        assert container.end()[0] == 0

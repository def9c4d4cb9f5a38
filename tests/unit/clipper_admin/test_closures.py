"""Functions as files: what is pickled here is loaded by an interpreter that knows nothing of here."""

import functools
import importlib
import json
import os
import pickle
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipper_admin import ClipperException, closures

OWN_MODULES = {
    "my_features.py": """
import functools
import statistics

OFFSET = 10

def centre(numbers):
    return statistics.median(numbers) + OFFSET

@functools.lru_cache(maxsize=8)
def doubled(number):
    return 2 * number

@functools.singledispatch
def kind(value):
    return "something"

@kind.register
def _(value: list):
    return [kind(each) for each in value]

@kind.register
def _(value: int):
    return "number"

class Scaler:
    @functools.cached_property
    def factor(self):
        return 3
""",
    "my_package/__init__.py": "from my_package import first\nfrom my_package import second\n",
    "my_package/first.py": """
import my_package

def scaled(number):
    from . import second
    from my_package.third import LIMIT
    return min(number * second.FACTOR, LIMIT)
""",
    "my_package/second.py": "from my_package import first\nFACTOR = 2\n",
    "my_package/third.py": "LIMIT = 100\n",
    "my_namespace/part.py": "def scaled(number):\n    return number * 7\n",
    "my_lock.py": "import threading\nLOCK = threading.Lock()\n",
    "my_script.py": "import sys\nsys.exit('Usage: my_script FILE')\n",
}


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules that only this interpreter can import."""
    for name, text in OWN_MODULES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


@pytest.fixture
def own_modules_have_been_imported(own_modules: None) -> None:
    """They are known before anything is pickled."""
    for name in ("my_features", "my_package", "my_namespace.part"):
        importlib.import_module(name)


def loaded_elsewhere(function: Callable[..., Any], arguments: str, preamble: str = "") -> Any:
    """What the function returns in an interpreter that is told nothing but where Python's own modules are."""
    with closures.saved(function) as directory:
        program = (
            f"{preamble}\nimport json, pickle\nwith open({str(directory / 'func.pkl')!r}, 'rb') as file:\n"
            f"    function = pickle.load(file)\nprint(json.dumps(function({arguments})))"
        )
        command = [sys.executable, "-I", "-c", program]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_function_travels_with_modules_of_the_users_own_and_without_installed_ones(
    own_modules_have_been_imported: None,
) -> None:
    my_features = importlib.import_module("my_features")
    centre = my_features.centre

    assert loaded_elsewhere(lambda inputs: [centre(numbers) for numbers in inputs], "[[1, 2, 3]]") == [12]
    with closures.saved(centre) as directory:
        assert b"geometric_mean" not in (directory / "func.pkl").read_bytes()
    assert not directory.exists()


def test_data_travels_with_the_function() -> None:
    weights = np.arange(100_000.0)

    assert loaded_elsewhere(lambda factor: float(weights.sum()) * factor, "2") == 2 * weights.sum()


def fibonacci_with(cache: Callable[..., Any]) -> Any:
    @cache
    def fibonacci(number: int) -> int:
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    return fibonacci


@pytest.mark.parametrize(
    "cache", [functools.cache, functools.lru_cache, functools.lru_cache(maxsize=2), functools.lru_cache(None, True)]
)
def test_a_cached_function_travels_and_so_does_who_calls_it(cache: Callable[..., Any]) -> None:
    fibonacci = fibonacci_with(cache)

    assert loaded_elsewhere(fibonacci, "30") == 832_040
    assert loaded_elsewhere(lambda numbers: [fibonacci(number) for number in numbers], "[10, 20]") == [55, 6765]


def test_the_size_of_a_cache_is_kept() -> None:
    fibonacci = fibonacci_with(functools.lru_cache(maxsize=2))

    assert loaded_elsewhere(lambda number: (fibonacci(number), fibonacci.cache_parameters()), "9") == [
        34,
        {"maxsize": 2, "typed": False},
    ]


def test_methods_and_properties_that_keep_what_they_computed_travel() -> None:
    class Model:
        @functools.cached_property
        def weight(self) -> int:
            return 5

        @functools.lru_cache(maxsize=4)  # noqa: B019 - as people write it
        def scaled(self, number: int) -> int:
            return self.weight * number

        @functools.singledispatchmethod
        def predict(self, inputs: Any) -> list[int]:
            return []

        @predict.register
        def _(self, inputs: list) -> list[int]:  # type: ignore[type-arg]
            return [self.scaled(number) for number in inputs]

    assert loaded_elsewhere(Model().predict, "[1, 2]") == [5, 10]


def test_a_function_with_implementations_by_type_travels() -> None:
    @functools.singledispatch
    def kind(value: Any) -> Any:
        return "something"

    @kind.register(list)
    def _(value: list[Any]) -> Any:
        return [kind(each) for each in value]

    kind.register(int, lambda value: "number")

    assert loaded_elsewhere(kind, "[1, [2, 'a']]") == ["number", ["number", "something"]]


def test_what_is_decorated_in_a_module_of_ones_own_travels(own_modules_have_been_imported: None) -> None:
    my_features = importlib.import_module("my_features")
    doubled, kind, scaler = my_features.doubled, my_features.kind, my_features.Scaler()

    assert loaded_elsewhere(lambda n: [doubled(n), kind([n]), scaler.factor], "2") == [4, ["number"], 3]


def importing(inputs: list[int]) -> list[object]:
    import my_features  # type: ignore[import-not-found]
    import my_namespace.part  # type: ignore[import-not-found]
    from my_package.second import first  # type: ignore[import-not-found]

    def inner(number: int) -> object:
        from my_features import doubled

        return doubled(number)

    return [
        (my_features.centre([number]), my_namespace.part.scaled(number), first.scaled(number), inner(number))
        for number in inputs
    ]


@pytest.mark.usefixtures("own_modules")
def test_modules_that_are_imported_when_the_function_runs_travel() -> None:
    assert loaded_elsewhere(importing, "[1, 99]") == [[11, 7, 2, 2], [109, 693, 100, 198]]


@pytest.mark.usefixtures("own_modules")
def test_a_module_that_is_there_only_perhaps_is_no_obstacle() -> None:
    def careful(inputs: list[int]) -> list[int]:
        try:
            import my_absent_module  # type: ignore[import-not-found]
        except ImportError:
            return inputs
        return [my_absent_module.f(number) for number in inputs]

    assert loaded_elsewhere(careful, "[1]") == [1]


@pytest.mark.usefixtures("own_modules")
@pytest.mark.parametrize("statement", ["import my_script", "from . import my_features", "from .. import my_features"])
def test_an_import_that_cannot_be_followed_is_no_obstacle(statement: str) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    program = f"def careful(inputs):\n    if not inputs:\n        {statement}\n    return inputs\n"
    exec(program, namespace)  # noqa: S102 - a function of a script, which is in no package

    assert loaded_elsewhere(namespace["careful"], "[1]") == [1]


def test_modules_that_refer_to_each_other_travel(own_modules_have_been_imported: None) -> None:
    my_package = importlib.import_module("my_package")

    assert loaded_elsewhere(lambda number: my_package.first.scaled(number), "3") == 6


def test_a_package_without_a_file_of_its_own_travels(own_modules_have_been_imported: None) -> None:
    my_namespace = importlib.import_module("my_namespace")

    assert loaded_elsewhere(lambda number: my_namespace.part.scaled(number), "3") == 21


PACKAGE_NAMED_LIKE_OURS = """
import sys
from clipper_admin import closures
from services.features import doubled
import services

def predict(inputs):
    from services import units
    import services.units as same
    return [doubled(each) + units.ONE + services.TWO + (units is not same) for each in inputs]

with closures.saved(predict) as directory:
    data = (directory / "func.pkl").read_bytes()
sys.stdout.buffer.write(data)
"""


def test_a_package_of_ones_own_may_be_named_like_one_of_the_containers(tmp_path: Path) -> None:
    files = {"__init__.py": "TWO = 2", "features.py": "def doubled(x):\n    return 2 * x\n", "units.py": "ONE = 1\n"}
    (tmp_path / "services").mkdir()
    for name, text in files.items():
        (tmp_path / "services" / name).write_text(text)
    (tmp_path / "program.py").write_text(PACKAGE_NAMED_LIKE_OURS)
    ours = str(Path(closures.__file__).parents[2])
    deployed = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env={"PYTHONPATH": ours}, capture_output=True, check=True
    )
    (tmp_path / "func.pkl").write_bytes(deployed.stdout)
    program = (
        f"import sys; sys.path.insert(0, {ours!r}); import services.common.errors, pickle\n"
        f"function = pickle.load(open('func.pkl', 'rb')); print(function([5]))\n"
        "import services.common.names; assert services.common.errors"
    )
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (loaded.stdout, loaded.stderr) == ("[13]\n", "")


def uses(value: Any) -> Callable[[], Any]:
    held = [{"lock": value}]
    return lambda: held


def test_a_variable_that_has_no_value_yet_does_not_hide_the_obstacle() -> None:
    lock = threading.Lock()

    def predict(inputs: list[Any]) -> list[Any]:
        return [later for _ in inputs] if lock else []

    with pytest.raises(ClipperException, match=r"the variable 'lock' of"), closures.saved(predict):
        pass
    later = 1


class Holder:
    def __init__(self, value: Any) -> None:
        self.session = value

    def predict(self, inputs: list[Any]) -> list[Any]:
        return inputs


@pytest.mark.parametrize(
    ("function", "obstacle"),
    [
        (uses(threading.Lock()), r"the item 'lock' of the item 0 of the variable 'held' of 'uses.<locals>.<lambda>'"),
        (Holder(threading.Lock()).predict, "the attribute 'session' of the method's object"),
        (Holder(threading.RLock()), "the attribute 'session'"),
        (functools.partial(print, end=threading.Lock()), "an argument"),
        (fibonacci_with(lambda function: Holder(threading.Event())), "the attribute '_lock' of"),
    ],
    ids=["in a closure", "in a method", "in an object", "in a partial", "in what stands for a function"],
)
def test_what_cannot_travel_is_named_with_what_to_do(function: Callable[..., Any], obstacle: str) -> None:
    with pytest.raises(ClipperException, match=obstacle) as refused, closures.saved(function):
        pass
    assert "cannot be serialised: " in refused.value.msg
    assert "deploy a class that makes it in its __init__" in refused.value.msg


@pytest.mark.parametrize(
    "make",
    [socket.socket, lambda: sqlite3.connect(":memory:"), lambda: open(os.devnull, "rb")],  # noqa: SIM115
    ids=["a socket", "a session of a library", "an open file"],
)
def test_what_belongs_to_a_process_is_named_by_the_variable_that_holds_it(make: Callable[[], Any]) -> None:
    with closing(make()) as held:

        def predict(inputs: list[Any]) -> list[Any]:
            return [held for _ in inputs]

        with pytest.raises(ClipperException, match="the variable 'held' of") as refused, closures.saved(predict):
            pass
    assert "deploy a class that makes it in its __init__" in refused.value.msg


@pytest.mark.usefixtures("own_modules")
def test_what_cannot_travel_of_a_module_of_ones_own_is_named() -> None:
    def locked(inputs: list[Any]) -> list[Any]:
        import my_lock  # type: ignore[import-not-found]

        with my_lock.LOCK:
            return inputs

    with pytest.raises(ClipperException, match=r"the variable 'LOCK' of the module 'my_lock'"), closures.saved(locked):
        pass


def test_a_compiled_module_of_ones_own_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = importlib.util.find_spec("_csv")
    assert installed is not None
    assert installed.origin is not None
    if not installed.origin.endswith(".so"):
        pytest.skip("this Python has no module of machine code in a file")
    own = tmp_path / Path(installed.origin).name
    own.write_bytes(Path(installed.origin).read_bytes())
    spec = importlib.util.spec_from_file_location("_csv", own)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "_csv", module)
    reader = module.reader

    for function in (lambda lines: reader(lines), lambda lines: module.reader(lines)):
        with pytest.raises(ClipperException, match=r"compiled .* build a wheel"), closures.saved(function):
            pass


def test_the_packages_that_bring_the_modules_in_use_are_written_beside_the_function() -> None:
    def predict(inputs: list[Any]) -> list[Any]:
        import yaml  # type: ignore[import-untyped,unused-ignore]

        return [yaml.dump(each) for each in inputs]

    with closures.saved(predict) as directory:
        packages = json.loads((directory / "func.packages.json").read_text())
    assert packages["numpy"].startswith("numpy==")
    assert "statistics" not in packages


def test_functions_are_pickled_by_several_threads_at_once() -> None:
    with ThreadPoolExecutor(8, thread_name_prefix="deployer") as threads:
        pickles = threads.map(lambda number: closures.pickled(lambda: number).data, range(100))

    assert [pickle.loads(data)() for data in pickles] == [*range(100)]

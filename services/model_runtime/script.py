"""The script: the module that a model's functions know as `__main__`, made anew of what travelled with them.

cloudpickle gives functions globals of their own when it makes them anew. Here those of the script share the namespace
of one module, and that is this process's `__main__`. So whatever refers to something by where it is defined finds it:
multiprocessing, which sends functions by their names, a pickle in a file with a class of the script in it, and a
function that sets a global which another one reads.

What the script defined besides, and nothing refers to by its name, lies in a file beside the function's: it is loaded
when somebody asks the module for it, since it may need packages that only the script has.
"""

import io
import pickle
import sys
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import IO, Any

from cloudpickle import __version__ as cloudpickle_version
from cloudpickle import cloudpickle, cloudpickle_fast

FUNCTION_FILE = "func.pkl"
DEFINITIONS_FILE = "main.pkl"

_MAIN = "__main__"
# What is in one of them in one version of cloudpickle is in the other one in another.
_CLOUDPICKLE = {module.__name__: module for module in (cloudpickle, cloudpickle_fast)}
# multiprocessing runs this module as the `__main__` of processes that it starts anew.
_SPEC = ModuleSpec("services.model_runtime.spawned", loader=None)


class Script:
    """The script that the model in a directory comes from; its module is `__main__` from now on.

    Attributes:
        module: the module.
    """

    def __init__(self, directory: Path) -> None:
        self.module = ModuleType(_MAIN)
        self.module.__spec__ = _SPEC
        vars(self.module)["__getattr__"] = self._definition
        self._directory = directory
        self._definitions: dict[str, bytes] | None = None
        sys.modules[_MAIN] = self.module

    def load(self) -> Any:
        """What `func.pkl` holds; raises whatever loading it does."""
        with (self._directory / FUNCTION_FILE).open("rb") as file:
            return self._unpickle(file)

    def _unpickle(self, file: IO[bytes]) -> Any:
        unpickler = _Unpickler(file, vars(self.module))
        loaded = unpickler.load()
        # Of things of one name, as a decorated function and what it was made of, the outermost comes first.
        self._define([loaded, *unpickler.made])
        return loaded

    def _define(self, things: Iterable[Any]) -> None:
        for thing in things:
            name = getattr(thing, "__qualname__", None)
            if isinstance(name, str) and name.isidentifier() and getattr(thing, "__module__", None) == _MAIN:
                vars(self.module).setdefault(name, thing)

    def _definition(self, name: str) -> Any:
        """What the module has under a name that nothing in `func.pkl` gave it; AttributeError when it has nothing."""
        if self._definitions is None:
            file = self._directory / DEFINITIONS_FILE
            self._definitions = pickle.loads(file.read_bytes()) if file.is_file() else {}
        if name not in self._definitions:
            raise AttributeError(f"module '{_MAIN}' has no attribute '{name}'")
        loaded = self._unpickle(io.BytesIO(self._definitions[name]))
        return vars(self.module).setdefault(name, loaded)


class _Unpickler(pickle.Unpickler):
    """Makes functions of the script in the script's namespace.

    Attributes:
        made: the functions and classes that were made, in order.
    """

    def __init__(self, file: IO[bytes], namespace: dict[str, Any]) -> None:
        super().__init__(file)
        self.made: list[Any] = []
        self._namespace = namespace
        self._makers: dict[str, Callable[..., Any]] = {
            "_make_function": self._make_function,
            "_function_setstate": self._set_state,
            "_make_skeleton_class": self._noting(_of_cloudpickle("_make_skeleton_class")),
            "_make_skeleton_enum": self._noting(_of_cloudpickle("_make_skeleton_enum")),
        }

    def find_class(self, module_name: str, global_name: str) -> Any:
        """What a pickle refers to by its name."""
        if module_name in _CLOUDPICKLE:
            return self._makers.get(global_name) or _of_cloudpickle(global_name)
        return super().find_class(module_name, global_name)

    def _make_function(self, code: Any, namespace: dict[str, Any], *rest: Any) -> FunctionType:
        if namespace.get("__name__") == _MAIN:
            for name, value in namespace.items():
                self._namespace.setdefault(name, value)
            namespace = self._namespace
        function: FunctionType = _of_cloudpickle("_make_function")(code, namespace, *rest)
        self.made.append(function)
        return function

    def _set_state(self, function: FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
        if function.__globals__ is self._namespace:
            attributes, slots = state
            # What others see already stays what it is.
            known = {name: self._namespace[name] for name in slots["__globals__"] if name in self._namespace}
            state = attributes, {**slots, "__globals__": {**slots["__globals__"], **known}}
        _of_cloudpickle("_function_setstate")(function, state)

    def _noting(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            made = make(*arguments)
            self.made.append(made)
            return made

        return noted


def _of_cloudpickle(name: str) -> Any:
    """What cloudpickle, in the version that is here, has under a name, wherever the version that pickled had it."""
    for module in _CLOUDPICKLE.values():
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"cloudpickle {cloudpickle_version} has no {name}; install the version that pickled the model")

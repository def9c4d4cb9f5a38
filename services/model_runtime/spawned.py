"""The `__main__` of processes that a model spawned: the model's script, made anew there by multiprocessing."""

import os
from pathlib import Path

from services.common.settings import from_environment
from services.model_runtime.script import Script
from services.model_runtime.settings import ModelSettings

_script = Script(Path(from_environment(ModelSettings, os.environ).model_path))
_script.load()
globals().update({name: value for name, value in vars(_script.module).items() if name not in globals()})
globals()["__getattr__"] = vars(_script.module)["__getattr__"]

"""Checks a model before anybody depends on it: `python -m services.model_runtime.check`, with a container's settings.

The model is entered, loaded and warmed up as in the container that it would be served by, and called once if there is a
sample. Whoever asks for the check is at the other end of the standard streams:

1. On standard input comes one line of JSON: {"timeout_s": 300, "input_type": "doubles", "sample": {"data": BASE64,
   "lengths": [3]}}, the sample packed as `clipper.v1.Inputs` are, or null. When the input ends after that, so does the
   check.
2. On standard output go lines of JSON: {"step": "loaded"} and {"step": "asked"} before each, and in the end
   {"failure": SENTENCE} or {"outputs": [...]}, the outputs as REST embeds them, but for texts, which stay texts.
3. On standard error goes what the model prints, to either stream, and the stack of whatever kills it or takes too long.
"""

import asyncio
import base64
import faulthandler
import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.common import logs
from services.common.errors import ClipperError, ModelFailed, describe
from services.common.lifecycle import end_forks_with_this_process
from services.common.names import parse_input_type
from services.common.settings import from_environment
from services.model_runtime.loading import ModelFunction, enter, load, missing_module
from services.model_runtime.outcomes import Outcomes
from services.model_runtime.outputs import Outputs
from services.model_runtime.prediction import Batch
from services.model_runtime.remedies import remedy
from services.model_runtime.settings import ModelSettings, NonFinite

_LOG = logging.getLogger("services.model_runtime")


class _Deployer:
    """Who asked for the check; the model has other standard streams from then on."""

    def __init__(self) -> None:
        self._input = os.dup(0)
        self._output = os.fdopen(os.dup(1), "wb", buffering=0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)

    def request(self) -> dict[str, Any]:
        """What is to be checked; from then on this process ends when the deployer does."""
        with os.fdopen(self._input, "rb", closefd=False) as lines:
            request: dict[str, Any] = json.loads(lines.readline())
        threading.Thread(target=self._end_with_it, name="deployer", daemon=True).start()
        return request

    def tell(self, **report: object) -> None:
        self._output.write(json.dumps(report).encode() + b"\n")

    def _end_with_it(self) -> None:
        while os.read(self._input, 1):
            pass
        os._exit(1)


def main() -> int:
    """Tells what becomes of the model; whatever that is, the check itself has worked."""
    deployer = _Deployer()
    request = deployer.request()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a file
    faulthandler.enable()
    # Also when the model never leaves the interpreter to other threads.
    faulthandler.dump_traceback_later(request["timeout_s"], exit=True)
    end_forks_with_this_process()
    logs.configure("model_container", "INFO")
    try:
        deployer.tell(outputs=_outputs(deployer, request))
    except ClipperError as error:
        _LOG.error("the model failed", exc_info=error.__cause__)
        deployer.tell(failure=str(error))
    return 0


def _outputs(deployer: _Deployer, request: dict[str, Any]) -> list[Any]:
    """What the model answers the sample, without one nothing, once it is loaded."""
    settings = from_environment(ModelSettings, os.environ)
    directory = enter(settings.model_path)
    with asyncio.Runner() as runner:
        runner.get_loop()
        outcomes = Outcomes(runner)
        deployer.tell(step="loaded")
        function = load(directory, outcomes)
        sample = request["sample"]
        if sample is None:
            return []
        deployer.tell(step="asked")
        batch = Batch(parse_input_type(request["input_type"]), base64.b64decode(sample["data"]), sample["lengths"])
        return _asked(function, Outputs(outcomes, NonFinite(settings.non_finite)), batch, directory)


def _asked(function: ModelFunction, outputs: Outputs, batch: Batch, directory: Path) -> list[Any]:
    try:
        returned = outputs.settled(function(batch.inputs()))
        texts, failures = outputs.to_texts(returned, len(batch))
    except ImportError as error:
        raise missing_module(error, directory) from error
    except BaseException as error:  # a model that calls sys.exit has not answered
        failure = f"The model failed on the sample input: {describe(error)}"
        raise ModelFailed(". ".join(filter(None, (failure, remedy(error, directory))))) from error
    if failures:
        raise ModelFailed(f"The model failed on the sample input: {next(iter(failures.values()))}")
    return _embedded(texts, returned)


def _embedded(texts: Sequence[str], returned: object) -> list[Any]:
    outputs = list(returned) if isinstance(returned, list | tuple | np.ndarray) else [None] * len(texts)
    return [text if isinstance(output, str) else _of_json(text) for text, output in zip(texts, outputs, strict=True)]


def _of_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    sys.exit(main())

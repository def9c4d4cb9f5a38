"""What goes on beside the load: readings once a second, and predictions by REST that are told how good they were."""

import http.client
import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from bench.studies.soak.readings import Readable, Reading

_READ_EVERY_S = 1.0
_TOLD_EVERY_S = 0.05
_TIMEOUT_S = 10.0
# Of a refusal.
_TOLD_CHARACTERS = 100


class _Companion:
    """Does something again and again for as long as the context lasts; what it raises is raised there."""

    def __init__(self, name: str, every_s: float, do: Callable[[], None]) -> None:
        self._every_s = every_s
        self._do = do
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._failure is not None and raised is None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._over.wait(self._every_s):
                self._do()
        except BaseException as failure:
            self._failure = failure


class Watcher(_Companion):
    """Reads a cluster.

    Attributes:
        readings: oldest first; the first is of before the context.
    """

    def __init__(self, cluster: Readable) -> None:
        self.readings: list[Reading] = [cluster.read()]
        super().__init__("watcher", _READ_EVERY_S, lambda: self.readings.append(cluster.read()))


class Teacher(_Companion):
    """Asks an application that learns about inputs that nobody has asked about, and tells it how good each answer was.

    Attributes:
        ends: how exchanges ended, by what went wrong; "" for those that went well.
    """

    def __init__(self, edge: str, application: str) -> None:
        """Takes Envoy's address, host:port."""
        self._application = application
        self.ends: Counter[str] = Counter()
        self._numbers = itertools.count()
        self._connection = http.client.HTTPConnection(edge, timeout=_TIMEOUT_S)
        super().__init__("teacher", _TOLD_EVERY_S, self._teach)

    def _teach(self) -> None:
        number = next(self._numbers)
        try:
            answer = self._post("predict", {"input": [number, 0.5], "uid": f"user {number % 100}"})
            if answer["default"]:
                self.ends[answer["default_explanation"]] += 1
                return
            self._post("update", {"query_id": answer["query_id"], "reward": 1.0})
            self.ends["" if answer["output"] == number + 0.5 else "wrong"] += 1
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self.ends[repr(error)] += 1

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"content-type": "application/json"}
        self._connection.request("POST", f"/{self._application}/{path}", json.dumps(body), headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"{response.status} {text.decode()[:_TOLD_CHARACTERS]}")
        return json.loads(text)

"""The replicas of a cluster: started, awaited, counted and stopped, by what they run.

Whoever starts or stops some under `claim` is the only one who does for that version. So what runs of a version that is
not registered then belongs to nobody: a deployment has left it that did not come to its end.
"""

import logging
import math
import time
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager

from clipper_admin.cluster import readiness
from clipper_admin.cluster.host import Artefact, Component, Host, version_claim
from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter
from clipper_admin.naming import input_type_name, model_id

_LOG = logging.getLogger(__name__)
# Models may take minutes to load.
LOAD_TIMEOUT_S = 300.0
# Who has died so often without ever having served is not waited for.
_HOPELESS_DEATHS = 5
_POLL_INTERVAL_S = 0.05


class Replicas:
    """The replicas of one cluster's models."""

    def __init__(self, cluster_name: str, host: Host) -> None:
        self._host = host
        self._logger = ClusterAdapter(_LOG, cluster_name)

    def claim(self, name: str, version: str) -> AbstractContextManager[None]:
        """Is, for as long as the context lasts, the only program that deploys or scales a version; waits for others."""
        return self._host.claim(version_claim(name, version))

    def numbering(self, name: str) -> AbstractContextManager[None]:
        """Is, likewise, the only program that gives versions of a model their numbers."""
        return self._host.claim(version_claim(name, ""))

    def artefact(self, name: str, version: str, input_type: str, image: str) -> Artefact:
        """What replicas of this image would run.

        Raises:
            ClipperException: there is no such image.
        """
        return Artefact(name, version, input_type_name(input_type), self._host.identify(image))

    def count(self, version: str) -> int:
        """How many of a "name:version" run or are just being started again."""
        return len(self._kept(version))

    def deploy(self, artefact: Artefact, count: int, load_timeout_s: float = LOAD_TIMEOUT_S) -> None:
        """Has `count` replicas of this artefact serve and none that run anything else under its version.

        Raises:
            ClipperException: a replica died or took too long; nothing of the artefact runs.
        """
        others = self.others(artefact)
        if others:
            self._logger.warning(
                "Stopping %d replicas of %s, which an unfinished deployment has left", len(others), artefact.model_id
            )
            self._host.stop(others)
        try:
            self._scale(artefact, count, load_timeout_s)
            # Also those that another program has started, which may be loading still.
            self._see_through(artefact, [each.name for each in self._kept(artefact.model_id)], load_timeout_s)
        except BaseException:
            self.undo(artefact)
            raise

    def add(self, artefact: Artefact, count: int, load_timeout_s: float) -> list[str]:
        """Has `count` replicas of this artefact serve beside whatever else runs; returns those that it has started.

        Raises:
            ClipperException: a replica died or took too long; no more run than before.
        """
        running = [each for each in self._kept(artefact.model_id) if each.artefact == artefact]
        return self._start(artefact, count - len(running), load_timeout_s) if len(running) < count else []

    def others(self, artefact: Artefact) -> list[str]:
        """The names of all there are of an artefact's version that run something else, dead or alive."""
        return [each.name for each in self._host.components(artefact.model_id) if each.artefact != artefact]

    def images(self, version: str) -> set[str]:
        """The identities of the images that replicas of a "name:version" run."""
        return {each.artefact.image for each in self._host.components(version) if each.artefact is not None}

    def scale(
        self,
        name: str,
        version: str,
        input_type: str,
        image: str,
        count: int,
        load_timeout_s: float = LOAD_TIMEOUT_S,
    ) -> None:
        """Starts or stops replicas until `count` serve; new ones run what those run that there are, if there are any.

        Raises:
            ClipperException: there is no such image, or a replica died or took too long; no more run than before.
        """
        running = self._kept(model_id(name, version))
        artefact = running[-1].artefact if running else None
        self._scale(artefact or self.artefact(name, version, input_type, image), count, load_timeout_s)

    def named(self, versions: Collection[str]) -> list[str]:
        """The names of all there are of these "name:version", dead or alive."""
        return [each.name for each in self._host.components() if each.model_id in versions]

    def stop(self, names: Collection[str]) -> None:
        """Lets these finish what they have and ends them."""
        self._host.stop(names)

    def undo(self, artefact: Artefact) -> None:
        """Stops what runs this artefact, and nothing else."""
        self._host.stop([each.name for each in self._host.components(artefact.model_id) if each.artefact == artefact])

    def stop_all(self) -> None:
        """Stops all replicas."""
        self._host.stop([each.name for each in self._host.components() if each.model_id])

    def wait_until_back(self, since_s: float) -> None:
        """Waits until the replicas that an earlier life has left are in use again.

        One that does not come back, or dies again and again, does not hold up the others; the log says which and why.

        Args:
            since_s: when this life began, on time.monotonic()'s clock.
        """
        waiting = {each.name for each in self._host.components() if each.model_id}
        deadline = time.monotonic() + LOAD_TIMEOUT_S
        while waiting:
            if time.monotonic() > deadline:
                self._logger.warning("Not yet back after %.0f s: %s", LOAD_TIMEOUT_S, ", ".join(sorted(waiting)))
                return
            time.sleep(_POLL_INTERVAL_S)
            unready = self._unready(self._host.components(), waiting, since_s)
            for each in unready:
                if not each.is_kept:
                    self._logger.warning("%s", self._host.failure(each, f"{each.ending} and is not started any more"))
                elif each.deaths >= _HOPELESS_DEATHS:
                    self._logger.warning("%s", self._host.failure(each, f"has died {each.deaths} times since"))
            waiting = {each.name for each in unready if each.is_kept and each.deaths < _HOPELESS_DEATHS}

    def _kept(self, version: str) -> list[Component]:
        return [each for each in self._host.components(version) if each.is_kept]

    def _scale(self, artefact: Artefact, count: int, load_timeout_s: float) -> None:
        """Also clears away what is dead of the version."""
        there = self._host.components(artefact.model_id)
        kept = [each.name for each in there if each.is_kept]
        missing = count - len(kept)
        if missing > 0:
            self._logger.info("Found %d replicas for %s. Adding %d", len(kept), artefact.model_id, missing)
            self._start(artefact, missing, load_timeout_s)
        elif missing < 0:
            self._logger.info("Found %d replicas for %s. Removing %d", len(kept), artefact.model_id, -missing)
            self._host.stop(kept[missing:])
        self._host.stop([each.name for each in there if not each.is_kept], graceful=False)

    def _start(self, artefact: Artefact, count: int, load_timeout_s: float) -> list[str]:
        """Starts more and returns them when each serves; when one dies before, all of them are stopped."""
        started = self._host.run(artefact, count, load_timeout_s)
        try:
            self._see_through(artefact, started, load_timeout_s)
        except BaseException:
            self._host.stop(started)
            raise
        return started

    def _see_through(self, artefact: Artefact, names: Collection[str], timeout_s: float) -> None:
        """Returns when each of these serves, from when on it is kept; raises when one dies before."""
        waiting = set(names)
        deadline = time.monotonic() + timeout_s
        while waiting:
            there = self._host.components(artefact.model_id)
            if gone := waiting.difference(each.name for each in there):
                raise ClipperException(f"Another program has stopped {', '.join(sorted(gone))} before it was ready")
            unready = self._unready(there, waiting)
            for each in unready:
                if each.ending:
                    raise self._host.failure(each, f"{each.ending} before it was ready")
                if time.monotonic() > deadline:
                    raise self._host.failure(each, f"did not become ready within load_timeout_s={timeout_s:g}")
            waiting = {each.name for each in unready}
            if waiting:
                time.sleep(_POLL_INTERVAL_S)
        self._host.keep(names)

    def _unready(
        self, there: Iterable[Component], waiting: Collection[str], since_s: float = -math.inf
    ) -> list[Component]:
        """Those among `waiting` that hold no lease yet, or none that is of the life which began at `since_s`."""
        leased = readiness.leased(self._host.addresses().admin, since_s)
        return [each for each in there if each.name in waiting and each.address not in leased]

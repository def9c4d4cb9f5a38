"""What deployments have left under a home and nobody uses: images of models, and environments that no image needs.

An image is used while a cluster has it registered, or has a replica of it, running or not; those of a cluster that does
not run but can be started again all are. Whoever deploys a version has the claim on it: its images are left alone.
"""

import fcntl
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipper_admin.cluster import registrations
from clipper_admin.cluster.host import Leftover
from clipper_admin.hosts.process import environments, images
from clipper_admin.hosts.process.directory import ClusterDirectory
from clipper_admin.hosts.process.state import ClusterState, UnreadableState

_BLOCK_BYTES = 512
# What is just being removed, or was when its remover was killed.
_REMOVED = ".removed"


class Leftovers:
    """The images and environments under one home."""

    def __init__(self, home: Path) -> None:
        self._clusters = home / "clusters"
        self._environments = home / "environments"
        self._home = home

    def free(self, candidates: Iterable[Path]) -> None:
        """Removes those of these images that nobody uses, and then the environments that only they needed."""
        self.free_environments(self._remove_unused(candidates))

    def free_environments(self, candidates: Collection[Path]) -> None:
        """Removes those of these that no image needs and nobody keeps; while an image is being built `prune` has to."""
        with images.no_builds(self._home, wait=False) as are_none:
            if are_none:
                for environment in self._unneeded(candidates):
                    if not environments.is_kept(environment):
                        _remove(environment)

    def prune(self, *, dry_run: bool) -> list[Leftover]:
        """Removes all that nobody uses, what was never finished included, or only tells of it with `dry_run`."""
        if not self._home.exists():
            return []
        with images.no_builds(self._home):
            unused = [image for image in self._images() if self._is_left(image)]
            unneeded = self._unneeded(self._all_environments(), unused)
            found = [_leftover(path) for path in (*unused, *unneeded)]
            if not dry_run:
                self._remove_unused(unused)
                for environment in self._unneeded(unneeded):
                    _remove(environment)
        return found

    def environments_of(self, *of: Path) -> set[Path]:
        """The environments that these images need."""
        texts = (text for image in of for text in _texts(images.description(image)))
        paths = (Path(text) for text in texts if text.startswith(f"{self._environments}/"))
        return {self._environments / path.relative_to(self._environments).parts[0] for path in paths}

    def _images(self) -> list[Path]:
        return sorted(self._clusters.glob("*/images/*"))

    def _all_environments(self) -> list[Path]:
        return sorted(path for path in self._environments.glob("*") if path.is_dir())

    def _unneeded(self, candidates: Collection[Path], gone: Collection[Path] = ()) -> list[Path]:
        """Those of these environments that no image needs but those that are gone."""
        needed = self.environments_of(*(image for image in self._images() if image not in gone)) if candidates else ()
        return [environment for environment in candidates if environment.exists() and environment not in needed]

    def _remove_unused(self, candidates: Iterable[Path]) -> set[Path]:
        """Returns the environments that the removed images needed."""
        needed: set[Path] = set()
        for image in candidates:
            with self._left(image) as is_left:
                if is_left:
                    needed |= self.environments_of(image)
                    _remove(image)
        return needed

    @contextmanager
    def _left(self, image: Path) -> Iterator[bool]:
        """Whether nobody uses an image, nor will for as long as the context lasts."""
        with self._claimed(image) as is_ours:
            is_used = any(_uses(ClusterDirectory(root), image) for root in self._clusters.glob("*"))
            yield is_ours and image.exists() and not is_used

    def _is_left(self, image: Path) -> bool:
        with self._left(image) as is_left:
            return is_left

    @contextmanager
    def _claimed(self, image: Path) -> Iterator[bool]:
        """Whether nobody else deploys the version that an image was built for, for as long as the context lasts."""
        purpose = images.description(image).get("claim")
        directory = ClusterDirectory(image.parents[1])
        if purpose is None or not directory.state_file.exists():
            yield True
            return
        with directory.claim_file(purpose).open("w") as claim:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def _uses(directory: ClusterDirectory, image: Path) -> bool:
    """Whether a cluster has it registered, as far as that can be told, or has a replica of it."""
    try:
        state = ClusterState.read(directory.state_file)
    except UnreadableState:
        return image.parent == directory.images
    if state is None or directory.runs(image):
        return state is not None
    registered = registrations.images(state.addresses.admin) if state.is_supervised() else None
    return image.parent == directory.images if registered is None else str(image) in registered


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from _texts(each)
        case dict():
            yield from _texts([*value.values()])


def _leftover(path: Path) -> Leftover:
    kind = "image" if path.parent.name == "images" else "environment"
    size = sum(file.lstat().st_blocks for file in (path, *path.rglob("*"))) * _BLOCK_BYTES
    return Leftover(str(path), kind, size)


def _remove(path: Path) -> None:
    """Removes a directory; one that is removed in part is taken for a whole one by nobody."""
    doomed = path if path.name.endswith(_REMOVED) else path.rename(path.with_name(f"{path.name}{_REMOVED}"))
    shutil.rmtree(doomed)

"""What model images are based on: images that have the model container, each with one Python.

The name of ours says which Python it has, because a function that one Python has pickled is not for another.
"""

import re
import sys
from dataclasses import dataclass
from typing import Self

import docker
from docker.errors import ImageNotFound
from docker.models.images import Image

from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.docker import labels
from clipper_admin.hosts.docker.engine import explained, provide_image
from clipper_admin.release import __registry__, __version__

DEFAULT = "default"
_PYTHONS = ("3.11", "3.12", "3.13")


@dataclass(frozen=True, slots=True)
class Base:
    """An image to base a model's on.

    Attributes:
        name: its name.
        user: whom it runs as; empty: root.
        constraints: the path in it of the pins that the container is made of; empty: it does not say.
        foreign_python: the model's Python, if it has another; else empty.
    """

    name: str
    user: str
    constraints: str
    foreign_python: str = ""

    @classmethod
    def of(cls, image: Image, name: str, foreign_python: str = "") -> Self:
        """What the engine knows of it."""
        config = image.attrs["Config"]
        return cls(
            name=name,
            user=config.get("User", ""),
            constraints=(config.get("Labels") or {}).get(labels.CONSTRAINTS, ""),
            foreign_python=foreign_python,
        )


def choose(client: docker.DockerClient, name: str, python: str) -> Base:
    """The base of a model.

    Args:
        client: of the engine.
        name: as the user gave it; "default" is ours for the model's Python or, where there is none, for another.
        python: the model's, as in "3.12"; empty: this interpreter's.

    Raises:
        ClipperException: there is none, or the Python is not written like that.
    """
    python = python or "{}.{}".format(*sys.version_info)
    if not re.fullmatch(r"\d+\.\d+", python):
        raise ClipperException(f"In an image a Python is named by its version, as in '3.12', not '{python}'")
    if name != DEFAULT:
        return Base.of(provide_image(client, name), name)
    try:
        return Base.of(provide_image(client, default(python)), default(python))
    except ClipperException:
        for other in map(default, _PYTHONS):
            if (image := _at_hand(client, other)) is not None:
                return Base.of(image, other, python)
        raise


def default(python: str) -> str:
    """The name of our image with this Python."""
    return f"{__registry__}/model-container:{__version__}-py{python}"


def _at_hand(client: docker.DockerClient, name: str) -> Image | None:
    with explained(f"look for the image {name}"):
        try:
            return client.images.get(name)
        except ImageNotFound:
            return None

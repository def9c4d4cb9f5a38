"""Installed packages: which one brings a module, and which version of it is installed here."""

import json
import logging
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOG = logging.getLogger(__name__)
# A name, perhaps with extras and a marker, and neither a version nor an address.
_BARE = re.compile(
    r"\s*(?P<name>[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?)\s*(?P<extras>\[[^\]]*\])?\s*(?P<marker>;.*)?\Z", re.I
)
_NAME = re.compile(r"\s*([A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?)\s*(?:[\[;=<>~!@,]|\Z)", re.I)
_SEPARATORS = re.compile(r"[._-]+")


def as_json(imported_later: Iterable[str]) -> str:
    """By the top-level module, for all that are imported or will be: the package and its version, as pip takes them."""
    used = {name.partition(".")[0] for name in (*sys.modules, *imported_later)}
    packages = packages_distributions()
    return json.dumps({module: _pinned(packages[module][0]) for module in sorted(used & packages.keys())})


def pinned(requirements: Sequence[str]) -> list[str]:
    """Requirements as pip takes them, those without a version with the one that is installed here.

    What is not installed here, or only here, stays as it is; the log says what to do about the latter. A package that
    is named as its module is gets its own name.
    """
    return [_with_version(requirement) for requirement in requirements]


def package_of(module: str, usual: str = "") -> str:
    """The package that brings a module here; the usual one where that is installed, or none is."""
    if usual:
        with suppress(PackageNotFoundError):
            return distribution(usual).name
    return next(iter(packages_distributions().get(module, ())), usual)


def together(asked: Sequence[str], needed: Sequence[str], *, pin: bool) -> list[str]:
    """What was asked for, and of what is needed besides whatever was not; with `pin` each as `pinned` has it."""
    wanted, others = (pinned(asked), pinned(needed)) if pin else (list(asked), list(needed))
    named = set(map(_name, wanted))
    return [*wanted, *(each for each in dict.fromkeys(others) if _name(each) not in named)]


def _name(requirement: str) -> str:
    """The package that a requirement is of, in one spelling; "" where it is an address or a path."""
    found = _NAME.match(requirement)
    return _SEPARATORS.sub("-", found[1]).lower() if found else ""


def _with_version(requirement: str) -> str:
    bare = _BARE.match(requirement)
    installed = _installed(bare["name"]) if bare else None
    if bare is None or installed is None:
        return requirement
    if obstacle := _only_here(installed):
        _LOG.warning(
            "%s is not pinned to the version that is installed here, as %s. If the model needs that very one, build a "
            "wheel of it, and name where that is in pkgs_to_install",
            bare["name"],
            obstacle,
        )
        return requirement
    # What follows a plus sign is known to whoever has built it, and to no index.
    public = installed.version.partition("+")[0]
    return f"{installed.name}{bare['extras'] or ''}=={public}{bare['marker'] or ''}"


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        bringing = packages_distributions().get(name, [])
    if not bringing:
        return None
    _LOG.warning("'%s' is a module, and the package that brings it is %s, which is installed", name, bringing[0])
    return distribution(bringing[0])


def _only_here(installed: Distribution) -> str:
    """Why no index has what is installed here; empty when one most probably does."""
    if ".dev" in installed.version:
        return f"{installed.version} is not a release"
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    address = urlsplit(origin.get("url", ""))
    if "vcs_info" in origin:
        return f"it was installed from {origin['url']}"
    # Some distributors leave in it where they have built a package; that is not on this machine.
    if address.scheme == "file" and Path(unquote(address.path)).exists():
        return f"it was installed from {unquote(address.path)}"
    return ""


def _pinned(package: str) -> str:
    return f"{package}=={version(package)}"

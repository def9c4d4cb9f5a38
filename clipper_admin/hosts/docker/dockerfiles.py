"""The Dockerfiles of model images; their context has the model's files in `model`.

The model's packages go where the container's are, and have to agree with these or else, in a second Dockerfile, into an
environment of the model's own, which the container is told of. Each leaves a lock of what is installed in the image.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from clipper_admin.cluster.plan import MODEL_PYTHON, RUNTIME_PACKAGES
from clipper_admin.hosts.docker.bases import Base

MODEL = "model"
ARGUMENT = "CLIPPER_MODELS_{}"
LOCK = "/opt/model/requirements.lock"

_PIP = "pip install --no-cache-dir --progress-bar off --no-input"
_UV = "uv pip install --no-cache --no-progress"

# Packages are a shell's arguments and no part of its program, so that it reads neither ">" nor spaces in one.
_TOGETHER = f"""set -e; mkdir -p /opt/model
if command -v uv > /dev/null; then {_UV} --python "$(command -v python)" "$@"; else {_PIP} "$@"; fi
pip freeze > {LOCK}"""

# The first argument is the interpreter. One that is not there uv finds or fetches, which pip brings if need be.
_APART = f"""set -e; python="$1"; shift; mkdir -p /opt/model
if ! command -v uv > /dev/null && ! command -v "$python" > /dev/null; then
  {_PIP} --target /tmp/uv uv; PATH="/tmp/uv/bin:$PATH"; fi
if command -v uv > /dev/null; then
  UV_PYTHON_INSTALL_DIR=/opt/python uv venv --no-project --allow-existing --python "$python" /opt/model || {{
    echo "The model needs $python, which is neither in the base image nor can be fetched. Build a base image with it: \
make images BASE_IMAGE=python:${{python#python}}"; exit 1; }}
  {_UV} --python /opt/model/bin/python "$@"
else
  "$python" -m venv --without-pip /opt/model
  pip --python /opt/model/bin/python {_PIP.removeprefix("pip ")} "$@"; fi
rm -rf /tmp/uv
PIP_PYTHON= pip --python /opt/model/bin/python freeze > {LOCK}"""


def without_packages(base: Base) -> str:
    """The base, and the model's files."""
    return _dockerfile(base, [])


def together(base: Base, packages: Sequence[str]) -> str:
    """With packages beside the container's; where they do not agree its build fails."""
    constraints = ["--constraint", base.constraints] if base.constraints else []
    return _dockerfile(base, [_run(base, _TOGETHER, *constraints, *packages)])


def apart(base: Base, packages: Sequence[str]) -> str:
    """With packages, or another Python than the base's, in an environment of the model's own."""
    python = f"python{base.foreign_python}"
    told = f"ENV {MODEL_PYTHON}=/opt/model/bin/python"
    return _dockerfile(base, [_run(base, _APART, python, *packages, *RUNTIME_PACKAGES), told])


def variables(names: Iterable[str]) -> str:
    """The end of a Dockerfile: environment variables, of which each is also an argument with its value, by ARGUMENT."""
    # A value in the Dockerfile itself could not have more than one line.
    lines = (f'ARG {ARGUMENT.format(name)}\nENV {name}="${{{ARGUMENT.format(name)}}}"\n' for name in names)
    return "".join(lines)


def labels(values: Mapping[str, str]) -> str:
    """The end of a Dockerfile: labels, all of them in one step, as every step costs the engine a container."""
    quoted = (f"{name}={_quoted(value)}" for name, value in values.items())
    return f"LABEL {' '.join(quoted)}\n"


def _quoted(value: str) -> str:
    """A value that an engine reads as it is."""
    return json.dumps(value, ensure_ascii=False).replace("$", "\\$")


def _dockerfile(base: Base, lines: Sequence[str]) -> str:
    return "\n".join([f"FROM {base.name}", *lines, f"COPY {MODEL}/ /{MODEL}/"]) + "\n"


def _run(base: Base, program: str, *arguments: str) -> str:
    command = ["sh", "-c", program, "sh", *arguments]
    return f"USER root\nRUN {json.dumps(command)}\nUSER {base.user or 'root'}"

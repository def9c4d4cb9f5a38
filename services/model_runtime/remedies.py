"""What to change when a model fails for want of something that did not travel with it: one sentence for each kind.

Beside the function's file there may be `func.packages.json`: which package brings each of the modules that were in use
where the model was deployed, {"sklearn": "scikit-learn==1.7.2"}.
"""

import json
import os
from pathlib import Path

PACKAGES_FILE = "func.packages.json"


def remedy(error: BaseException, directory: Path) -> str:
    """What the deployer can do about an error of the model's; empty where its own words have to do.

    Args:
        error: what the model raised.
        directory: the model directory.
    """
    match error:
        case ImportError():
            return _for_module((error.name or "").partition(".")[0], directory / PACKAGES_FILE)
        case FileNotFoundError() if isinstance(error.filename, str):
            return _for_file(error.filename)
        case KeyError() if _is_of_the_environment(error):
            return f"If it is to have this environment variable, deploy it with env={{{error.args[0]!r}: ...}}"
    return ""


def _for_module(module: str, packages_file: Path) -> str:
    packages = json.loads(packages_file.read_text()) if packages_file.is_file() else {}
    if module in packages:
        return f"Deploy it with pkgs_to_install=['{packages[module]}']"
    if packages and module:
        return (
            f"No package that is installed where it was deployed brings '{module}'. If it is a module of your own, "
            "import it where the function is defined, and deploy it again: it then travels with the function. If it is "
            "a package's, name that package in pkgs_to_install"
        )
    return "Deploy it with pkgs_to_install=[...], naming the package that brings the module"


def _for_file(name: str) -> str:
    if os.path.isabs(name) or ".." in Path(name).parts:
        return (
            "Files travel by their paths below the directory that the deploying program runs in: open it by such a "
            "path, and name it in files=[...]"
        )
    return f"If it is a file of yours, deploy the model with files=[{name!r}]"


def _is_of_the_environment(error: KeyError) -> bool:
    """Whether it was raised by looking a variable up in `os.environ`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == os.__name__

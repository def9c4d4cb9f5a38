"""Functions as files: what a model container loads is what was defined here, with everything it refers to.

Installed packages are referred to by name and must be in the container too (pkgs_to_install). What only exists here,
the notebook and modules of the user's own, travels inside the file: also modules that are imported when the function
runs. Files that it reads lie beside it, where they were named.
"""

from clipper_admin.closures.file import FUNCTION_FILE, SURROUNDINGS, NotSerializable, saved
from clipper_admin.closures.packages import package_of, pinned, together
from clipper_admin.closures.pickler import pickled
from clipper_admin.closures.sameness import fingerprint

__all__ = [
    "FUNCTION_FILE",
    "SURROUNDINGS",
    "NotSerializable",
    "fingerprint",
    "package_of",
    "pickled",
    "pinned",
    "saved",
    "together",
]

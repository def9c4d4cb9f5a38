"""Which release this is, and where its images are published."""

import os
from importlib.metadata import version

__version__ = version("clipper")
__registry__ = os.environ.get("CLIPPER_REGISTRY", "clipper")

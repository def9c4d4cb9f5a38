"""Benchmarks: what Clipper costs and what it brings, measured on one machine in one run."""

import os

# Before anything imports numpy: a model is to have one core, here where it is timed and in the containers that inherit
# this, and not to fight for all of them with everybody else.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

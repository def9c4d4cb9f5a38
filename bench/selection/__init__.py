"""The benchmark of the selection layer: the paper's figures about several models, with real models and feedback."""

import os

# Before anything imports numpy, and for the containers too: as in bench.slo, a model has one core.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

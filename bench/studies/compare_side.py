"""A cluster of another tree of the repository, run by that tree's own code: `python compare_side.py NAME`.

Nothing but the public interface of `clipper_admin` is imported, whichever comes first on the path. It prints a line
once all answers, and ends when it is told to by SIGTERM, or when its standard input ends, as with its parent.
"""

import signal
import sys
from collections.abc import Sequence

from clipper_admin import ClipperConnection, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer

READY = "all is deployed"
MODEL = "adaptive"
BANDIT = "exp3"
ARMS = ("arm-1", "arm-2", "arm-3", "arm-4")
_TYPE = "doubles"
# Far away, so that nothing is answered with the default output.
_SLO_MICROS = 2_000_000


def main() -> None:
    """Starts the cluster, waits, and stops it."""
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit())
    manager = ProcessContainerManager(sys.argv[1], query_port=0, management_port=0, metrics_port=0)
    connection = ClipperConnection(manager)
    try:
        connection.start_clipper(cache_size=0)
        _serve(connection, MODEL, [MODEL], "single")
        _serve(connection, BANDIT, ARMS, "exp3")
        print(READY, flush=True)
        sys.stdin.read()
    finally:
        connection.stop_all(graceful=False)


def _serve(connection: ClipperConnection, application: str, models: Sequence[str], policy: str) -> None:
    connection.register_application(application, _TYPE, "none", _SLO_MICROS, selection_policy=policy)
    for model in models:
        python_deployer.deploy_python_closure(connection, model, 1, _TYPE, lambda inputs: ["1"] * len(inputs))
        connection.link_model_to_app(application, model)


if __name__ == "__main__":
    main()

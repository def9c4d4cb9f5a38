"""The quickstart: a cluster, an application, a model that sums its inputs, and a first prediction.

Run it with `python examples/quickstart.py`, in an environment that has `clipper[local]`. The cluster keeps running, and
`python -m clipper_admin stop` ends it.
"""

from collections.abc import Iterable

import requests

from clipper_admin import ClipperConnection, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer


def feature_sum(xs: Iterable[Iterable[float]]) -> list[str]:
    """Sums each vector of a batch."""
    return [str(sum(x)) for x in xs]


def main() -> None:
    """Starts a cluster or finds it running, deploys and predicts."""
    clipper_conn = ClipperConnection(ProcessContainerManager())
    clipper_conn.start_clipper()
    forget_earlier_run(clipper_conn)
    clipper_conn.register_application(
        name="hello-world", input_type="doubles", default_output="-1.0", slo_micros=100_000
    )
    print("Applications:", clipper_conn.get_all_apps())
    python_deployer.deploy_python_closure(
        clipper_conn, name="sum-model", version=1, input_type="doubles", func=feature_sum
    )
    clipper_conn.link_model_to_app(app_name="hello-world", model_name="sum-model")
    url = f"http://{clipper_conn.get_query_addr()}/hello-world/predict"
    print(requests.post(url, json={"input": [1.1, 2.2, 3.3]}, timeout=5).json())


def forget_earlier_run(clipper_conn: ClipperConnection) -> None:
    """Takes away what an earlier run has left on the cluster."""
    if "hello-world" in clipper_conn.get_all_apps():
        clipper_conn.unregister_application("hello-world")
    clipper_conn.stop_models(["sum-model"])


if __name__ == "__main__":
    main()

"""`python deploy/envoy/render.py DIRECTORY`: Envoy's configuration for a network where services are found by name."""

import sys
from pathlib import Path

from clipper_admin import edge

_DESCRIPTOR = "clipper.binpb"


def main() -> None:
    """Writes the configuration that the edge image has."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _DESCRIPTOR).write_bytes(edge.descriptor_set())
    configuration = edge.configuration(
        listen_address="0.0.0.0",  # noqa: S104 - a container's address is known when it has started
        query_port=1337,
        admin_port=1338,
        envoy_admin_port=9901,
        descriptor=str(directory / _DESCRIPTOR),
        query_services=["query:7000"],
        management_service="management:7000",
    )
    (directory / "envoy.yaml").write_text(configuration)


if __name__ == "__main__":
    main()

"""`python deploy/envoy/render.py DIRECTORY`: Envoy's configuration for a network where services are found by name."""

import sys
from pathlib import Path

from clipper_admin import edge
from clipper_admin.edge import EdgeSettings

_DESCRIPTOR = "clipper.binpb"


def main() -> None:
    """Writes the configuration that the edge image has, with marks for what start.sh sets, and what it sets them to."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    defaults = EdgeSettings().placeholders
    (directory / _DESCRIPTOR).write_bytes(edge.descriptor_set())
    configuration = edge.configuration(
        listen_address="0.0.0.0",  # noqa: S104 - a container's address is known when it has started
        query_port=1337,
        admin_port=1338,
        envoy_admin_port=9901,
        descriptor=str(directory / _DESCRIPTOR),
        query_services=["query:7000"],
        management_service="management:7000",
        settings={name: f"@{name}@" for name in defaults},
    )
    (directory / "envoy.yaml").write_text(configuration)
    variables = [f': "${{{edge.variable(name)}:={default}}}"\n' for name, default in defaults.items()]
    (directory / "defaults.sh").write_text("".join(variables))


if __name__ == "__main__":
    main()

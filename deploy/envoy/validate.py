"""`python deploy/envoy/validate.py DIRECTORY`: fills the template in and has Envoy check it; starts nothing."""

import os
import sys
from pathlib import Path

from clipper_admin.edge import EdgeSettings
from clipper_admin.hosts.process import edge, executables


def main() -> None:
    """Replaces this process by Envoy's own check."""
    directory = Path(sys.argv[1]).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    configuration = edge.write_configuration(
        directory,
        query_port=1337,
        admin_port=1338,
        envoy_admin_port=9901,
        query_services=["127.0.0.1:7001", "127.0.0.1:7002"],
        management_service="127.0.0.1:7000",
        settings=EdgeSettings(cors_origins=("https://shop.example",)),
    )
    envoy = executables.envoy()
    os.execv(envoy, [envoy, "--mode", "validate", "-l", "error", "-c", str(configuration)])  # noqa: S606


if __name__ == "__main__":
    main()

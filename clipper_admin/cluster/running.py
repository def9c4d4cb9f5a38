"""What start_clipper tells its user when the cluster runs already."""

from collections.abc import Mapping

from clipper_admin.logs import ClusterAdapter


def tell(logger: ClusterAdapter, asked: Mapping[str, object], found: Mapping[str, object]) -> None:
    """Says that the cluster was running, and which arguments had no effect because it was started with others.

    Args:
        logger: the cluster's.
        asked: arguments of this start, by name; what is empty or 0 is no wish.
        found: what the running cluster has instead of each; what is empty or 0 is not known.
    """
    logger.info("The cluster runs already; connecting to it")
    ineffective = [
        f"{name}={value} (it has {found[name]})"
        for name, value in asked.items()
        if value and found[name] and value != found[name]
    ]
    if ineffective:
        logger.warning(
            "Without effect, because the running cluster was started otherwise: %s. To change it, call stop_all, then "
            "start_clipper",
            ", ".join(ineffective),
        )

"""The management service: the only writer of configuration, and the keeper of the leases of replicas."""

"""A cluster of Docker containers: what runs where, and how a later interpreter finds it again.

Nothing is written down outside the engine: every container and network bears labels, and the engine itself starts again
what dies. All of it is asked for through one client of the engine.

Query services, management, Envoy, Prometheus and the replicas share a network, on which programs of the user's own may
reach them, and the replicas a feature store. Redis is on a network of its own with management and the query services:
whoever reaches it owns the cluster.
"""

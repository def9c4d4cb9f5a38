"""A cluster, wherever it runs: what it consists of, how it is started, and how its replicas come and go.

What differs between one place and another is behind the port in `host`; the places are in clipper_admin.hosts.
"""

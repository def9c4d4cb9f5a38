"""What a query service counts and logs of its work.

recorder.py          told of every answer and batch
counts.py            the counts, which can be added up
selection_counts.py  those of selection policies
exposition.py        how they are shown: as JSON with the names that Clipper has always used, and to Prometheus
metrics_port.py      the port that Prometheus asks
default_log.py       the log of default outputs
"""

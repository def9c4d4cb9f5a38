"""The benchmark: ratios between Clipper and a bare server, measured on one machine in one run."""

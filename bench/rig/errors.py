"""What makes a benchmark worthless."""


class BenchmarkError(Exception):
    """Something failed or was answered wrongly, so the figures would mean nothing."""

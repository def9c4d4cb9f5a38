"""Clipper against a bare server: rates, latencies, processor time and memory, with floors."""

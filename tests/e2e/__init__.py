"""Whole clusters of processes. A package, so that the cluster which its tests share ends with the last of them."""

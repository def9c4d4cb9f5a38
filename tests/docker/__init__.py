"""Whole clusters of containers. A package, so that the clusters which its tests share end with the last of them."""

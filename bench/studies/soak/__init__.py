"""The soak: a cluster under the same load for a long time, and whether its memory and its logs stay as they are."""

"""What is between a batch and its answer: the model, loaded and called, and the texts of what it returns.

It runs in the model container's process or, where the model has an environment of its own, in one beside it. So it
imports nothing but the standard library, numpy, cloudpickle and orjson, each in whatever version the model wants.
"""

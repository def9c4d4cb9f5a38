"""The JSON of the public REST endpoint: request bodies in, answers out, byte for byte as documented.

documents.py    what all bodies share: how they are read, and what is said of bad ones
inputs.py       inputs in JSON, packed
predictions.py  what is asked, and the answers
feedback.py     what is told of predictions, and what became of that
"""

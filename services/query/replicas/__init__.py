"""The replicas, as the query service is connected to them.

link.py           the connection to one replica: dialled, watched, and dialled again
stream_client.py  a stream of messages both ways, read by a thread of the caller's own
"""

"""The engine: everything that decides in the query service, as a pure machine.

Events come in as method calls that carry the time; effects come out as lists that the caller takes and carries out.
There is no socket, no thread, no clock, no Redis and no protobuf in here, so the code that serves production also runs
under virtual time in simulations.

    engine.py     the machine: events, effects, and how the parts below play together
    requests.py   what is asked: requests, their queries, and why an answer is a default
    versions.py   what can answer: model versions with their queue, and their replicas with what is in flight
    queue.py      tasks that wait for a replica: a lane for each application, by deadline
    dispatcher.py when what waits is looked at, and what is sent
    batching/     how large the next batch of a replica is, and when it goes
    cache.py      predictions already made or on their way
    deadlines.py  requests by deadline, for the timer
"""

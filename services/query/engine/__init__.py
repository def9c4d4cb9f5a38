"""The engine: everything that decides in the query service, as a pure machine.

Events come in as method calls that carry the time; effects come out as lists that the caller takes and carries out.
There is no socket, no thread, no clock, no Redis and no protobuf in here, so the code that serves production also runs
under virtual time in simulations.

    admission.py  who is let in to it, when messages come faster than they can be looked at
    engine.py     the machine: its events, and how the parts below play together
    effects.py    what it wants done
    requests.py   what is asked: requests, their queries, and why an answer is a default
    versions.py   what can answer: model versions with their queue, and their replicas with what is in flight
    inventory.py  the routes, versions and replicas that are registered
    answers.py    how a query gets its answer
    cache.py      predictions already made or on their way
    queue.py      tasks that wait for a replica: a lane for each application, by deadline
    demand.py     what is asked of a model version: how much, and how soon it is wanted
    deadlines.py  requests by deadline, for the timer
    dispatcher.py when what waits is looked at, and what is sent
    batching/     how large the next batch of a replica is, and when it goes
    choosing/     whom to ask, where an application chooses among models
    policies/     the policies that choose
    recent.py     the predictions of the last seconds
    feedback.py   what clients tell of predictions, and what that teaches
    learning.py   how it is learned
    refusal.py    what there is instead of a default output for who forbids that
"""

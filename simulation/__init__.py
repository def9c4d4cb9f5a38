"""The query service's real engine among simulated clients and replicas, in virtual time.

What production decides is decided here by the same code; only sockets, clocks and models are made up. The tests in
tests/simulation assert what must hold, `python -m bench simulation` shows how the batching policies compare.

    simulator.py  the events by time, and what is registered
    front.py      the thread that serves calls, between the clients and the engine, so that it can be overloaded
    loads.py      when clients ask, and for what
    clients.py    the clients of a load, asking
    replicas.py   how long a batch takes, what a model answers, and what a crash takes along
    referee.py    fails a run at the first broken promise
    report.py     what became of the queries
    scenarios.py  what the batching policies are compared in
    rules.py      what plans batches and is told what a policy has to learn
    oracle.py     how many queries could have been answered in time by who knew everything before
    store.py      what Redis keeps of predictions and of what was learned
    bandits.py    selection policies, without time: models that are right now and then, and feedback
"""

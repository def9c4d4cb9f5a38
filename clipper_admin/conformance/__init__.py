"""Whether a model container keeps its contract, seen from outside; docs/containers.md has the clauses.

command.py     the command `clipper check-container`
report.py      the findings as text
kit.py         the table of all checks, and how they are carried out
serving.py     the checks of health and of single batches
streams.py     the checks of what holds for a stream and among several
refusals.py    the checks of what no model can answer
life.py        the checks of lease, drain and death, for a container that the kit starts itself
judging.py     what is wrong with an answer
subject.py     the container that is looked at, and what is known of it
stream.py      a stream of batches, as a query service opens it
management.py  the keeper of leases, as the container's management service
program.py     the container's process
batches.py     the messages of batches
probes.py      the inputs, and what is expected for them
verdicts.py    what a check comes to
"""

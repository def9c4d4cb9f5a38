"""A query service of several processes on one port.

parent.py         the process that starts the others and never serves
child_process.py  a process that serves, as the parent has it
parent_link.py    the parent, as a process that serves has it
pipes.py          what is said between them
heartbeat.py      a sign of life, and who has given none
port_claim.py     the port that they share
"""

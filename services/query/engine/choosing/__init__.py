"""Which models answer a query, where an application chooses among several.

chooser.py   whom to ask, by the policy and what it has learned
selector.py  an application's policy with the versions that answer for its arms
contexts.py  the states that this query service knows, and their age
selected.py  what was chosen for a request, and what becomes of it
members.py   several models asked for the same, and one answer made of theirs
"""

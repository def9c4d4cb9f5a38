"""A cluster of local processes: what runs where, who watches over it, and how a later interpreter finds it again.

One detached supervisor per cluster owns all other processes: it starts them in order, restarts what dies unasked and
stops them in the reverse order. It takes orders through a Unix socket in the cluster's directory.
What the cluster consists of is written down there, so that another supervisor can go on where one was killed, with the
processes that live, and so can the whole cluster when none does.
"""

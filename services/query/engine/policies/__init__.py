"""Selection policies: which models answer a query, how one answer is made of theirs, and what feedback teaches.

A policy is pure: state in, state out. Who keeps the states, the order of events and the deadlines are others' matters.

    policy.py    what a policy is asked and what it answers: the interface of all
    bandit.py    one arm for each query, drawn by shares: static, epsilon_greedy, ucb1, thompson,
                 discounted_thompson, exp3, linucb
    rewards.py   what the classical bandits know of each arm
    features.py  inputs as the few numbers that linucb looks at
    memory.py    what is derived from a state once
    ensembles.py every arm for each query: majority, average, and exp4
    voting.py    one answer of many, and how far the arms agree with it
    losses.py    how wrong an output is
    guard.py     a policy, called so that whatever it does fails that call alone
    registry.py  policies by name, those of other packages included
    selector.py  an application's policy with the versions that answer for its arms
"""

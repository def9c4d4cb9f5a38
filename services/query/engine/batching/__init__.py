"""How large the next batch of a replica is, and when it goes.

A policy belongs to one replica. Whenever the replica could take a batch the engine asks for a `Plan`; after each batch
it tells the policy what was observed. Policies are pure: they see the queue and the time, and keep only numbers. None
fills batches up with made-up inputs.

    plan.py      Plan, and the interface of all policies
    fixed.py     a hard maximum
    aimd.py      additive increase, multiplicative decrease: the paper's first
    quantile.py  a line through the 99th percentile of batch durations: the paper's second
    adaptive.py  the default: the largest batch that makes its deadlines, late queries given up early
    latency.py   what `adaptive` knows of a replica's speed
    returns.py   for whom `adaptive` waits a moment: those whom the last batch brings back
    delayed.py   holds the batches of another policy back for a while
"""

from collections.abc import Callable

from services.common.names import ADAPTIVE_BATCH_SIZE
from services.common.records import ModelVersion
from services.query.engine.batching.adaptive import Adaptive
from services.query.engine.batching.aimd import Aimd
from services.query.engine.batching.delayed import Delayed
from services.query.engine.batching.fixed import Fixed
from services.query.engine.batching.plan import LARGEST, WAIT, BatchingPolicy, Plan
from services.query.engine.batching.quantile import Quantile

__all__ = ["LARGEST", "WAIT", "BatchingPolicy", "Fixed", "Plan", "policy_for"]

_MICROS = 1e-6
_POLICIES: dict[str, Callable[[int], BatchingPolicy]] = {
    "fixed": Fixed,
    "aimd": Aimd,
    "quantile": Quantile,
    "adaptive": Adaptive,
}


def policy_for(version: ModelVersion) -> BatchingPolicy:
    """The policy that a model version asks for, new for one replica."""
    adapts = version.batch_size == ADAPTIVE_BATCH_SIZE
    name = version.batching_policy or ("adaptive" if adapts else "fixed")
    policy = _POLICIES[name](LARGEST if adapts else version.batch_size)
    return Delayed(policy, version.batch_delay_micros * _MICROS) if version.batch_delay_micros else policy

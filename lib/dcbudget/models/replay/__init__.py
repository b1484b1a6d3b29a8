"""Replays a log of jobs on a cluster under a policy: what would have waited, run, cost and drawn power."""

from dcbudget.models.replay.cluster import Checkpoint, Cluster, Pool
from dcbudget.models.replay.policies import (
    CONSERVATIVE,
    EASY,
    FAIR_SHARE,
    FIFO,
    GIVEN_ORDER,
    PRIORITY,
    SHORTEST_FIRST,
    SMALLEST_FIRST,
    Policy,
)
from dcbudget.models.replay.result import Replay
from dcbudget.models.replay.run import replay

__all__ = [
    "CONSERVATIVE", "EASY", "FAIR_SHARE", "FIFO", "GIVEN_ORDER", "PRIORITY", "SHORTEST_FIRST", "SMALLEST_FIRST",
    "Checkpoint", "Cluster", "Policy", "Pool", "Replay", "replay",
]  # fmt: skip

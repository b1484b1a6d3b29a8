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
from dcbudget.models.replay.sweep import Case, grid, sweep

__all__ = [
    "CONSERVATIVE", "EASY", "FAIR_SHARE", "FIFO", "GIVEN_ORDER", "PRIORITY", "SHORTEST_FIRST", "SMALLEST_FIRST",
    "Case", "Checkpoint", "Cluster", "Policy", "Pool", "Replay", "grid", "replay",
    "sweep",
]  # fmt: skip

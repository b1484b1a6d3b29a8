"""What jobs run on: pools of like GPUs, in nodes."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import nan

import numpy as np

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import positive, whole, within

# Parts of a GPU that a job may ask for are sevenths (MIG slices) or thousandths (shared GPUs).
PARTS_OF_A_GPU = 7000


@dataclass(frozen=True)
class Pool:
    """Like GPUs that one queue is served by.

    Attributes
    ----------
    name : of the pool.
    gpu_model : jobs of this model run here; None takes every job.
    nodes, gpus_per_node : whole numbers, at least 1.
    price_per_gpu_hour : money of one GPU-hour of capacity, used or not; NaN where it is not told.
    busy_watts_per_gpu, idle_watts_per_gpu : at the units, with the GPU's part of its node; NaN where not told.
    pue : energy of the hall over energy of its units, at least 1.

    Raises
    ------
    OutOfRange : a value lies outside its range.
    """

    name: str
    gpu_model: str | None = None
    nodes: int = 1
    gpus_per_node: int = 8
    price_per_gpu_hour: float = nan
    busy_watts_per_gpu: float = nan
    idle_watts_per_gpu: float = nan
    pue: float = 1.0

    def __post_init__(self):
        whole(f"nodes of pool {self.name}", self.nodes, 1, 1e7)
        whole(f"gpus_per_node of pool {self.name}", self.gpus_per_node, 1, 1e7)
        positive(f"pue of pool {self.name}", within(f"pue of pool {self.name}", self.pue, 1, 10))
        for field in ("price_per_gpu_hour", "busy_watts_per_gpu", "idle_watts_per_gpu"):
            if not np.isnan(getattr(self, field)):
                within(f"{field} of pool {self.name}", getattr(self, field), 0, 1e9)

    @property
    def gpus(self) -> int:
        """GPUs of all nodes."""
        return self.nodes * self.gpus_per_node


@dataclass(frozen=True)
class Cluster:
    """Pools under different names.

    Raises
    ------
    OutOfRange : there is no pool, or two have one name.
    """

    pools: tuple[Pool, ...]

    def __init__(self, pools: Iterable[Pool] | Pool):
        object.__setattr__(self, "pools", (pools,) if isinstance(pools, Pool) else tuple(pools))
        names = [pool.name for pool in self.pools]
        if not names:
            raise OutOfRange("a cluster must have at least one pool")
        if len(set(names)) < len(names):
            raise OutOfRange(f"pools must have different names, not {names}")

    @property
    def gpus(self) -> int:
        """GPUs of all pools."""
        return sum(pool.gpus for pool in self.pools)


@dataclass(frozen=True)
class Checkpoint:
    """What a preemption costs.

    Attributes
    ----------
    interval_seconds : run time between two checkpoints; the work since the last one is lost. 0 loses nothing, infinity
        (there are no checkpoints) all.
    restart_seconds : GPUs are held this long, without progress, each time that a preempted job starts again.

    Raises
    ------
    OutOfRange : a value is below 0, or the restart is not finite.
    """

    interval_seconds: float = float("inf")
    restart_seconds: float = 0.0

    def __post_init__(self):
        if self.interval_seconds != float("inf"):
            within("interval_seconds", self.interval_seconds, 0)
        within("restart_seconds", self.restart_seconds, 0, 1e9)

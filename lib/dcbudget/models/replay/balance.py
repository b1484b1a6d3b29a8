"""Load balancing: to which of several pools or clusters each job is sent when it is submitted."""

import numpy as np
import pandas as pd
from numba import njit

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import positive, whole, within
from dcbudget.models.replay.cluster import Cluster

RULES = ("load", "price", "energy")
HOURS_A_DAY = 24


def balance(
    jobs: pd.DataFrame,
    cluster: Cluster,
    rule: str = "load",
    *,
    planned,
    able: pd.DataFrame | None = None,
    speed: pd.DataFrame | None = None,
    energy_price: dict[str, np.ndarray] | None = None,
    patience_seconds: float = 0.0,
) -> pd.DataFrame:
    """The pool that each job is sent to, decided at its submission from what had been sent before.

    Each pool is expected to serve its jobs first come, first served, for their planned times. "load" sends a job where
    it is expected to end first. "price" sends it where its GPU-hours are cheapest, "energy" where its energy is (watts
    x PUE x the price of the hours in which it is expected to run), among the pools in which it is expected to end at
    most `patience_seconds` later than in the first.

    Parameters
    ----------
    jobs : `submit_time`, `gpus`, `elapsed_seconds`.
    cluster : its pools.
    planned : seconds that a job is planned for on a pool of speed 1: a column or values by job.
    able : one row a job (the log's index), one column a pool: whether the job can run there; all where not given.
    speed : likewise, how many times as fast as in the log a job runs there; 1 where not given.
    energy_price : pool -> 24 prices of a kWh by hour of the day, UTC; needed by "energy".
    patience_seconds : see above.

    Returns
    -------
    DataFrame with the log's index: `pool` (name), `elapsed_seconds` (run time there), `expected_wait_seconds`; for
    `replay(pool=..., elapsed=...)`.

    Raises
    ------
    OutOfRange : an unknown rule, a job that no pool can take, or a value outside its range.
    """
    if rule not in RULES:
        raise OutOfRange(f"rule must be one of {', '.join(RULES)}, not {rule!r}")
    names = [pool.name for pool in cluster.pools]
    origin = jobs["submit_time"].min()
    moments = jobs["submit_time"]
    stamped = isinstance(origin, pd.Timestamp)
    submit = ((moments - origin) / pd.Timedelta(seconds=1) if stamped else moments - origin).to_numpy(dtype=float)
    first_hour = (origin - origin.normalize()) / pd.Timedelta(hours=1) if stamped else 0.0
    plan = np.asarray(positive("planned", jobs[planned] if isinstance(planned, str) else planned), dtype=float)
    plan = np.broadcast_to(plan, len(jobs))
    gpus = np.asarray(positive("gpus", jobs["gpus"]))
    faster = (
        np.ones((len(jobs), len(names))) if speed is None else positive("speed", speed[names].to_numpy(dtype=float))
    )
    room = np.array([pool.gpus for pool in cluster.pools], dtype=float)
    can = gpus[:, None] <= room
    if able is not None:
        can &= able[names].to_numpy(dtype=bool)
    if not can.any(axis=1).all():
        at = np.flatnonzero(~can.any(axis=1))[0]
        raise OutOfRange(f"able must name a pool of at least {gpus[at]:g} GPUs for every job; row {at + 1} has none")
    order = np.argsort(submit, kind="stable")
    cost = _hourly_cost(cluster, rule, energy_price)
    sent, wait = _send(submit, gpus, plan, faster, can, room, cost, order, first_hour,
                       within("patience_seconds", patience_seconds, 0), rule == "load")  # fmt: skip
    rows = np.arange(len(jobs))
    return pd.DataFrame(
        {
            "pool": np.array(names, dtype=object)[sent],
            "elapsed_seconds": jobs["elapsed_seconds"].to_numpy(dtype=float) / faster[rows, sent],
            "expected_wait_seconds": wait,
        },
        index=jobs.index,
    )


def _hourly_cost(cluster: Cluster, rule: str, energy_price) -> np.ndarray:
    """Money of a GPU-hour by pool and hour of the day."""
    if rule == "load":
        return np.zeros((len(cluster.pools), HOURS_A_DAY))
    rows = []
    for pool in cluster.pools:
        if rule == "price":
            rows.append(
                np.full(HOURS_A_DAY, within(f"price_per_gpu_hour of pool {pool.name}", pool.price_per_gpu_hour))
            )
            continue
        if energy_price is None or pool.name not in energy_price:
            raise OutOfRange(f"energy_price must have 24 prices for pool {pool.name}")
        prices = np.asarray(within(f"energy_price of pool {pool.name}", energy_price[pool.name]), dtype=float)
        whole(f"number of energy prices of pool {pool.name}", prices.size, HOURS_A_DAY, HOURS_A_DAY)
        watts = within(f"busy_watts_per_gpu of pool {pool.name}", pool.busy_watts_per_gpu, 0)
        rows.append(prices * watts * pool.pue / 1000)
    return np.array(rows)


@njit(cache=True)
def _send(submit, gpus, plan, faster, can, room, cost, order, first_hour, patience, by_load):
    """Pool and expected wait of each job. `ends` of a pool are sorted; `size` says how many of it count."""
    n, pools = can.shape
    most = 16
    ends, held = np.zeros((pools, most)), np.zeros((pools, most))
    size = np.zeros(pools, np.int64)
    free, latest = room.copy(), np.zeros(pools)
    sent, wait = np.zeros(n, np.int64), np.zeros(n)
    start = np.zeros(pools)
    for job in order:
        soonest = np.inf
        for p in range(pools):
            if not can[job, p]:
                continue
            start[p] = _first_start(ends, held, size, free, p, gpus[job], max(submit[job], latest[p]))
            soonest = min(soonest, start[p] + plan[job] / faster[job, p])
        best, least = -1, np.inf
        for p in range(pools):
            if not can[job, p]:
                continue
            span = plan[job] / faster[job, p]
            end = start[p] + span
            if not by_load and end > soonest + patience:
                continue
            value = end if by_load else _cost_of(cost[p], first_hour + start[p] / 3600, span / 3600) * gpus[job]
            if value < least:
                best, least = p, value
        # first come, first served: whoever comes later starts no sooner
        begin = start[best]
        wait[job], sent[job], latest[best] = begin - submit[job], best, begin
        gone = 0
        while gone < size[best] and ends[best, gone] <= begin:
            free[best] += held[best, gone]
            gone += 1
        for k in range(gone, size[best]):
            ends[best, k - gone], held[best, k - gone] = ends[best, k], held[best, k]
        size[best] -= gone
        if size[best] == most:
            wider = np.zeros((pools, 2 * most))
            wider[:, :most] = ends
            ends = wider
            wider = np.zeros((pools, 2 * most))
            wider[:, :most] = held
            held = wider
            most *= 2
        end = begin + plan[job] / faster[job, best]
        at = size[best]
        while at > 0 and ends[best, at - 1] > end:
            ends[best, at], held[best, at] = ends[best, at - 1], held[best, at - 1]
            at -= 1
        ends[best, at], held[best, at] = end, gpus[job]
        size[best] += 1
        free[best] -= gpus[job]
    return sent, wait


@njit(cache=True)
def _first_start(ends, held, size, free, p, need, time):
    """When a pool that serves in order has room."""
    room, start = free[p], time
    for k in range(size[p]):
        if ends[p, k] > start:
            if room >= need:
                return start
            start = ends[p, k]
        room += held[p, k]
    return start


@njit(cache=True)
def _cost_of(prices, hour, hours):
    """Money of one GPU that runs from an hour of the day on."""
    whole_days = np.floor(hours / 24)
    total = whole_days * prices.sum()
    left, at = hours - 24 * whole_days, hour
    while left > 1e-12:
        part = min(np.floor(at) + 1 - at, left)
        total += prices[int(np.floor(at)) % 24] * part
        at, left = np.floor(at) + 1, left - part
    return total

"""The field's metrics of a replay: waiting, utilisation, fragmentation, deadlines, money and energy."""

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange

# Jobs shorter than this count as this long in the bounded slowdown (Feitelson and Rudolph 1998).
BOUND_SECONDS = 10.0
JOB_METRICS = ("wait_seconds", "jct_seconds", "slowdown", "bounded_slowdown")


def slowdown(jct_seconds: np.ndarray, elapsed_seconds: np.ndarray) -> np.ndarray:
    """Submission to end over run time; NaN for jobs that ran no time."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(elapsed_seconds > 0, jct_seconds / elapsed_seconds, np.nan)


def bounded_slowdown(jct_seconds: np.ndarray, elapsed_seconds: np.ndarray, bound_seconds: float = BOUND_SECONDS):
    """Slowdown in which no job is shorter than `bound_seconds`, at least 1 (Feitelson and Rudolph 1998)."""
    return np.maximum(jct_seconds / np.maximum(elapsed_seconds, bound_seconds), 1.0)


def of(replay) -> dict[str, float]:
    """Metrics of a whole replay.

    Returns
    -------
    `jobs`; of wait [s], JCT [s], slowdown and bounded slowdown (no job shorter than 10 s) `mean_...`, `median_...`,
    `p95_...` and `p99_...`; `makespan_seconds` from the first submission to the last end; `capacity_gpu_hours` within
    it; `allocated_gpu_hours` that jobs held, `lost_gpu_hours` among them that preemptions cost; `utilisation`,
    allocated of capacity; `idle_while_waiting`, share of the capacity that was free while jobs waited;
    `fragmentation`, share of the free GPU-hours that lay on nodes in part use, and `held_by_nodes`, share of the
    capacity that was free while the head of the queue waited for nodes though enough GPUs were free (both NaN where
    placement counts GPUs alone); `preemptions`; `deadlines`, `deadlines_missed` and `mean_tardiness_seconds` of those
    with a deadline; `capacity_cost` at the pools' prices, `allocated_cost` and `idle_cost` within it; `energy_kwh` of
    the hall. Money and energy are NaN where a pool does not tell its price or watts.
    """
    jobs = replay.jobs
    found: dict[str, float] = {"jobs": float(len(jobs))}
    for name in JOB_METRICS:
        values = jobs[name].to_numpy()
        values = values[~np.isnan(values)]
        points = np.quantile(values, [0.5, 0.95, 0.99]) if len(values) else np.full(3, np.nan)
        found[f"mean_{name}"] = float(values.mean()) if len(values) else np.nan
        found |= {f"{point}_{name}": float(x) for point, x in zip(("median", "p95", "p99"), points, strict=True)}
    hours = float(replay.end.max()) / 3600
    pools = by_pool(replay)
    found["makespan_seconds"] = float(replay.end.max())
    for name in ("capacity_gpu_hours", "allocated_gpu_hours"):
        found[name] = float(pools[name].sum())
    found["lost_gpu_hours"] = float(jobs["lost_gpu_hours"].sum())
    capacity = replay.cluster.gpus * hours
    found["utilisation"] = _part(found["allocated_gpu_hours"], capacity)
    per_hour = 3600 * replay.log.units_per_gpu
    by_node = replay.placement != "count"
    free = {name: sum(getattr(run, name) for run in replay.runs) / per_hour
            for name in ("free_while_waiting", "free_in_parts", "held_by_nodes")}  # fmt: skip
    found["idle_while_waiting"] = _part(free["free_while_waiting"], capacity)
    idle = capacity - found["allocated_gpu_hours"]
    found["fragmentation"] = _part(free["free_in_parts"], idle) if by_node else np.nan
    found["held_by_nodes"] = _part(free["held_by_nodes"], capacity) if by_node else np.nan
    found["preemptions"] = float(jobs["preemptions"].sum())
    if replay.due is not None:
        late = (replay.end - replay.due)[~np.isnan(replay.due)]
        found["deadlines"], found["deadlines_missed"] = float(len(late)), float((late > 0).sum())
        found["mean_tardiness_seconds"] = float(np.maximum(late, 0).mean()) if len(late) else np.nan
    for name in ("capacity_cost", "allocated_cost", "idle_cost", "energy_kwh"):
        found[name] = float(pools[name].sum(skipna=False))
    return found


def by_pool(replay) -> pd.DataFrame:
    """GPU-hours, money and energy of each pool, from the first submission to the last end of all.

    Returns
    -------
    One row a pool: `pool`, `gpus`, `capacity_gpu_hours`, `allocated_gpu_hours`, `utilisation`, `capacity_cost`,
    `allocated_cost`, `idle_cost`, `energy_kwh` (of the hall: busy and idle GPUs at their watts, times PUE).
    """
    hours = float(replay.end.max()) / 3600
    used = np.bincount(replay.log.pool, replay.held_seconds * replay.log.gpus, len(replay.cluster.pools)) / 3600
    rows = []
    for pool, allocated in zip(replay.cluster.pools, used, strict=True):
        capacity = pool.gpus * hours
        idle = capacity - allocated
        watt_hours = allocated * pool.busy_watts_per_gpu + idle * pool.idle_watts_per_gpu
        rows.append({
            "pool": pool.name, "gpus": pool.gpus, "capacity_gpu_hours": capacity, "allocated_gpu_hours": allocated,
            "utilisation": _part(allocated, capacity), "capacity_cost": capacity * pool.price_per_gpu_hour,
            "allocated_cost": allocated * pool.price_per_gpu_hour, "idle_cost": idle * pool.price_per_gpu_hour,
            "energy_kwh": watt_hours * pool.pue / 1000,
        })  # fmt: skip
    return pd.DataFrame(rows)


def by(replay, column) -> pd.DataFrame:
    """What each project (or user, or size) got.

    Parameters
    ----------
    column : a column of the log, or one value a job.

    Returns
    -------
    One row a value, missing ones too, by the value: `jobs`, `gpu_hours`, `lost_gpu_hours`, `mean_wait_seconds`,
    `median_wait_seconds`, `p95_wait_seconds`, `mean_bounded_slowdown`, `preemptions`, `allocated_cost`, and
    `deadlines_missed` where deadlines were given.
    """
    jobs = replay.jobs
    if isinstance(column, str):
        if column not in replay.log.jobs:
            raise OutOfRange(f"column must be one of the log's, not {column!r}")
        column, name = replay.log.jobs[column].to_numpy(), column
    else:
        name = "group"
    prices = np.array([pool.price_per_gpu_hour for pool in replay.cluster.pools])[replay.log.pool]
    table = jobs.assign(allocated_cost=jobs["gpu_hours"] * prices)
    groups = table.groupby(pd.Series(column, index=table.index, name=name), dropna=False, observed=True)
    told = {
        "jobs": ("pool", "size"), "gpu_hours": ("gpu_hours", "sum"), "lost_gpu_hours": ("lost_gpu_hours", "sum"),
        "mean_wait_seconds": ("wait_seconds", "mean"), "median_wait_seconds": ("wait_seconds", "median"),
        "p95_wait_seconds": ("wait_seconds", lambda x: x.quantile(0.95)),
        "mean_bounded_slowdown": ("bounded_slowdown", "mean"), "preemptions": ("preemptions", "sum"),
        "allocated_cost": ("allocated_cost", lambda x: x.sum(skipna=False)),
    }  # fmt: skip
    if replay.due is not None:
        told["deadlines_missed"] = ("deadline_missed", "sum")
    return groups.agg(**told).reset_index()


def _part(of_it: float, whole: float) -> float:
    return float(of_it / whole) if whole > 0 else np.nan

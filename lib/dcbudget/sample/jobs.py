"""The job log: what was asked for, and when a first-come scheduler could start it.

The shapes follow published clusters (Philly: Jeon et al., USENIX ATC 2019; Helios: Hu et al., SC 2021;
Seren and Kalos: Hu et al., NSDI 2024): most jobs want one GPU, run for minutes and complete; a few run for
days on many GPUs, and those are cancelled more often. No row of any trace is copied.
"""

from __future__ import annotations

import heapq
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pandas as pd

from .catalog import (
    CLOUD_CLUSTER,
    EVENTS,
    HELD_JOBS,
    INFERENCE,
    PARTITION_NAMES,
    PARTITIONS,
    PHILLY_HOURS,
    PHILLY_WEEKDAYS,
    PROJECTS,
    USERS_PER_PROJECT,
    Partition,
    capacity_gpu_hours,
    node_ready,
)
from .window import DAY, HOUR, Window, epoch

STATES = (
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "OUT_OF_MEMORY",
    "NODE_FAIL",
    "PREEMPTED",
    "RUNNING",
    "PENDING",
)
# Shares of jobs that completed/failed/were cancelled: Philly 0.60/0.31/0.09, Seren 0.50/0.43/0.08,
# Helios 0.62/0.16/0.22.
STATE_SHARES = np.array([0.577, 0.235, 0.140, 0.022, 0.016, 0.004, 0.006])
STATE_SHARES_WIDE = np.array([0.500, 0.225, 0.215, 0.030, 0.016, 0.010, 0.004])
STATE_SHARES_SPOT = np.array([0.500, 0.205, 0.115, 0.010, 0.015, 0.005, 0.150])
# Multiplies run times so that GPU time by end state lies in the published ranges (0.21-0.51 completed,
# 0.29-0.66 cancelled, 0.08-0.39 failed).
STATE_PACE = np.array([1.0, 0.80, 4.2, 3.0, 0.5, 2.5, 1.2])
# Median run time in seconds and sigma of its logarithm by GPUs, fitted by eye to Philly.
RUN_TIME = {
    1: (420, 2.4),
    2: (700, 2.4),
    4: (6_000, 2.1),
    8: (12_000, 1.9),
    16: (16_000, 1.7),
    32: (16_000, 1.6),
    64: (16_000, 1.5),
    128: (12_000, 1.4),
}
CPU_ONLY_SHARE = 0.03
CANCELLED_IN_QUEUE = 0.12
ARRAY_STARTS = 0.004
TIME_LIMITS = np.array([0.5, 1, 4, 8, 12, 24, 48, 72, 120, 168]) * HOUR
FULL_SAMPLE_JOBS_A_MONTH = 200_000 / 18
OVERRUN_GPU_HOURS = 5_500.0  # a month, extra jobs of the overrun on cloud-h100
RETRY_PAUSE = 900
CYCLE = 30  # seconds between two passes of the scheduler
LONG = 1800  # only run times above this are stretched, so that the median stays in minutes
RETRIES = 48

_GRID = np.linspace(1e-6, 1 - 1e-6, 8001)
_NORMAL = np.array([NormalDist().inv_cdf(p) for p in _GRID])


def installed_gpus(partition: Partition, window: Window) -> np.ndarray:
    """Return the GPUs of a partition in each month; a cloud partition's are its ceiling."""
    if partition.cluster == CLOUD_CLUSTER:
        return np.full(len(window.months), partition.nodes * 8)
    return capacity_gpu_hours(window)[partition.gpu_model] // window.hours


def demand_cells(rng: np.random.Generator, window: Window, jobs: int) -> pd.DataFrame:
    """Return how many jobs and GPU-hours each project asks of each partition in each month.

    Parameters
    ----------
    jobs : int
        Jobs over the whole window. A thinner log than the full sample's asks for fewer GPU-hours too, but
        less than in proportion, so that its jobs have a sane length and its pools are not empty.

    Returns
    -------
    DataFrame
        Columns partition, month, project (indices), gpu_hours, jobs, event (0 or 1).
    """
    scale = min(1.0, jobs / len(window.months) / FULL_SAMPLE_JOBS_A_MONTH) ** 0.7
    ages = np.array(window.ages)
    rows = []
    for p, partition in enumerate(PARTITIONS):
        trend = np.clip(ages / 17, 0, 1)
        load = partition.load[0] + (partition.load[1] - partition.load[0]) * trend
        if partition.name == "h100":
            # The second batch of servers comes in month 6, ahead of the demand for it.
            load = np.where(ages < 6, 0.66 + 0.012 * ages, 0.57 + 0.0135 * (ages - 6))
        hours = load * installed_gpus(partition, window) * window.hours * scale
        growth = 1 + 0.02 * ages
        for j, share in enumerate(partition.shares):
            drift = 1 + 0.06 * np.sin(2 * np.pi * (ages / 14 + j / 6 + p / 5))
            noise = rng.normal(1, 0.015, len(ages))
            weight = partition.job_share * share**0.8 * growth * window.hours
            wanted = hours * share * drift * noise
            rows += [(p, m, j, wanted[m], weight[m], 0) for m in range(len(ages))]
    cells = pd.DataFrame(rows, columns=["partition", "month", "project", "gpu_hours", "jobs", "event"])
    cells["jobs"] = np.maximum(1, np.floor(cells["jobs"] / cells["jobs"].sum() * jobs)).astype(int)
    overrun = EVENTS["vision-overrun"]
    extra = [
        (
            PARTITION_NAMES.index("cloud-h100"),
            m,
            PROJECTS.index("vision"),
            OVERRUN_GPU_HOURS * scale,
            max(4, int(0.0006 * jobs)),
            1,
        )
        for m, name in enumerate(window.months)
        if overrun.start[:7] <= name < overrun.end[:7]
    ]
    return pd.concat([cells, pd.DataFrame(extra, columns=cells.columns)], ignore_index=True)


def _draw_sizes(rng: np.random.Generator, partition: np.ndarray, month: np.ndarray, window: Window) -> np.ndarray:
    sizes = np.zeros(len(partition), dtype=np.int64)
    for p, spec in enumerate(PARTITIONS):
        here = np.flatnonzero(partition == p)
        values = np.array(list(spec.sizes))
        weights = np.array(list(spec.sizes.values()))
        sizes[here] = rng.choice(values, len(here), p=weights / weights.sum())
        ceiling = installed_gpus(spec, window)[month[here]] // 2
        sizes[here] = np.minimum(sizes[here], ceiling)
    return sizes


def _draw_states(rng: np.random.Generator, partition: np.ndarray, gpus: np.ndarray) -> np.ndarray:
    draw = rng.random(len(gpus))
    states = np.searchsorted(np.cumsum(STATE_SHARES), draw)
    wide, spot = gpus >= 8, partition == PARTITION_NAMES.index("cloud-spot")
    states[wide] = np.searchsorted(np.cumsum(STATE_SHARES_WIDE), draw[wide])
    states[spot] = np.searchsorted(np.cumsum(STATE_SHARES_SPOT), draw[spot])
    preempted = STATES.index("PREEMPTED")
    states[(states >= preempted) & ~spot] = 0
    return np.minimum(states, preempted)


def _draw_seconds(rng: np.random.Generator, jobs: pd.DataFrame, cells: pd.DataFrame) -> np.ndarray:
    """Draw run times, then stretch the longer ones until each cell holds the GPU-hours it asks for."""
    cell, gpus = jobs["cell"].to_numpy(), jobs["gpus"].to_numpy()
    # One draw from each of n equal slices of the distribution keeps the sum over a cell from jumping.
    order = np.lexsort((rng.random(len(cell)), cell))
    count = np.bincount(cell, minlength=len(cells))
    rank = np.empty(len(cell))
    rank[order] = np.arange(len(cell)) - np.repeat(np.cumsum(count) - count, count)
    z = np.interp((rank + rng.random(len(cell))) / count[cell], _GRID, _NORMAL)
    table = np.zeros((129, 2))
    for size, (median, sigma) in RUN_TIME.items():
        table[size] = median, sigma
    table[0] = 300, 1.8
    pace = np.array([p.pace for p in PARTITIONS])[jobs["partition"]] * STATE_PACE[jobs["state"]]
    cap = np.array([p.cap_hours for p in PARTITIONS])[jobs["partition"]] * HOUR * 0.98
    seconds = np.clip(table[gpus, 0] * pace * np.exp(table[gpus, 1] * z), 4, cap)
    wanted = cells["gpu_hours"].to_numpy() * HOUR
    long = (seconds > LONG) & (gpus > 0)
    for _ in range(8):
        short = np.bincount(cell[~long], (gpus * seconds)[~long], len(cells))
        have = np.bincount(cell[long], (gpus * seconds)[long], len(cells))
        factor = np.clip((wanted - short) / np.maximum(have, 1), 0.05, 20)[cell]
        seconds[long] = np.clip(seconds * factor, LONG, cap)[long]
    return seconds.astype(np.int64)


def _draw_submits(rng: np.random.Generator, month: np.ndarray, window: Window) -> np.ndarray:
    """Draw times of submission by the Philly trace's hours of the day and days of the week."""
    submit = np.zeros(len(month), dtype=np.int64)
    for m, (start, stop) in enumerate(zip(window.edges[:-1], window.edges[1:], strict=True)):
        here = np.flatnonzero(month == m)
        hours = np.arange(start, stop, HOUR)
        weekday = (hours // DAY + 3) % 7  # 1970-01-01 was a Thursday
        weight = PHILLY_WEEKDAYS[weekday] * PHILLY_HOURS[hours % DAY // HOUR]
        slot = np.searchsorted(np.cumsum(weight) / weight.sum(), rng.random(len(here)))
        submit[here] = hours[np.minimum(slot, len(hours) - 1)] + rng.integers(0, HOUR, len(here))
    return submit


def _limits(rng: np.random.Generator, seconds: np.ndarray, timeout: np.ndarray, cap: np.ndarray) -> np.ndarray:
    """Return the time limits asked for: a timed-out job's is the nearest round one to its run time."""
    wish = seconds * (1.1 + 4 * rng.random(len(seconds)) ** 2)
    limit = TIME_LIMITS[np.minimum(np.searchsorted(TIME_LIMITS, wish), len(TIME_LIMITS) - 1)]
    nearest = np.abs(np.log(TIME_LIMITS)[None, :] - np.log(np.maximum(seconds[timeout], 1))[:, None])
    limit[timeout] = TIME_LIMITS[nearest.argmin(axis=1)]
    return np.minimum(limit, cap).astype(np.int64)


def _draw_users(rng: np.random.Generator, project: np.ndarray) -> np.ndarray:
    """Return user numbers from 1; a few users of a project send most of its jobs (Zipf, exponent 0.9)."""
    users, first = np.zeros(len(project), dtype=np.int64), 1
    for j, name in enumerate(PROJECTS):
        here = np.flatnonzero(project == j)
        weight = 1 / np.arange(1, USERS_PER_PROJECT[name] + 1) ** 0.9
        users[here] = first + rng.choice(len(weight), len(here), p=weight / weight.sum())
        first += len(weight)
    return users


def _group_arrays(rng: np.random.Generator, jobs: pd.DataFrame) -> None:
    """Turn some runs of neighbours in a cell into job arrays, in place."""
    cell, partition = jobs["cell"].to_numpy(), jobs["partition"].to_numpy()
    array, task = np.full(len(jobs), -1), np.full(len(jobs), -1)
    columns = {c: jobs[c].to_numpy().copy() for c in ("submit", "user", "gpus")}
    for i in np.flatnonzero(rng.random(len(jobs)) < ARRAY_STARTS):
        k = int(rng.integers(4, 13))
        if i + k > len(jobs) or cell[i] != cell[i + k - 1] or array[i] >= 0 or partition[i] == INFERENCE:
            continue
        array[i : i + k], task[i : i + k] = i, np.arange(k)
        for values in columns.values():
            values[i : i + k] = values[i]
    for name, values in columns.items():
        jobs[name] = values
    jobs["array"], jobs["task"] = array, task


def draw_demand(rng: np.random.Generator, window: Window, count: int) -> pd.DataFrame:
    """Return the jobs as asked for, before a scheduler has seen them.

    Returns
    -------
    DataFrame
        One row a job: partition, project, month, cell, event (indices), gpus, seconds (run time if left to
        its end), state (index into STATES), submit (seconds since 1970), user, limit (seconds), array and
        task (-1 where none), util (mean GPU utilisation, 0-1).
    """
    cells = demand_cells(rng, window, count)
    jobs = pd.DataFrame({"cell": np.repeat(np.arange(len(cells)), cells["jobs"])})
    for column in ("partition", "month", "project", "event"):
        jobs[column] = cells[column].to_numpy()[jobs["cell"]]
    partition, month = jobs["partition"].to_numpy(), jobs["month"].to_numpy()
    jobs["gpus"] = _draw_sizes(rng, partition, month, window)
    jobs["submit"] = _draw_submits(rng, month, window)
    jobs["user"] = _draw_users(rng, jobs["project"].to_numpy())
    _group_arrays(rng, jobs)
    cpu_only = (rng.random(len(jobs)) < CPU_ONLY_SHARE) & (partition <= INFERENCE) & (jobs["array"] < 0)
    jobs.loc[cpu_only, "gpus"] = 0
    jobs["state"] = _draw_states(rng, partition, jobs["gpus"].to_numpy())
    jobs["seconds"] = _draw_seconds(rng, jobs, cells)
    state = jobs["state"].to_numpy()
    queue_cancel = (state == STATES.index("CANCELLED")) & (rng.random(len(jobs)) < CANCELLED_IN_QUEUE)
    seconds = jobs["seconds"].to_numpy().copy()
    timeout = state == STATES.index("TIMEOUT")
    cap = np.array([p.cap_hours for p in PARTITIONS])[partition] * HOUR
    jobs["limit"] = _limits(rng, seconds, timeout, cap)
    seconds[timeout] = jobs["limit"].to_numpy()[timeout] + rng.integers(0, 30, int(timeout.sum()))
    seconds[queue_cancel] = 0
    jobs["seconds"] = seconds
    # Philly's mean utilisation of GPUs in use is 52 % (Jeon et al. 2019, table 3).
    util = rng.beta(2.3, 1.9, len(jobs)) * np.where(np.isin(state, [1, 4]), 0.85, 1.0)
    jobs["util"] = np.where(jobs["gpus"] > 0, util, 0.0)
    jobs["retry"] = -1
    return pd.concat([jobs, failing_run(rng, window), last_sweep(rng, window)], ignore_index=True)


def failing_run(rng: np.random.Generator, window: Window) -> pd.DataFrame:
    """Return the attempts of the planted run; only the first has its time of submission."""
    event = EVENTS["failing-run"]
    failed, node_fail = STATES.index("FAILED"), STATES.index("NODE_FAIL")
    return pd.DataFrame(
        {
            "cell": -1,
            "partition": PARTITION_NAMES.index("h100"),
            "month": len(window.months) - 1,
            "project": PROJECTS.index(event.project),
            "event": 0,
            "gpus": 64,
            "submit": epoch(event.start) + 9 * HOUR,
            "user": 1 + USERS_PER_PROJECT["search"],
            "array": -1,
            "task": -1,
            "state": np.where(rng.random(RETRIES) < 0.6, node_fail, failed),
            "seconds": rng.integers(int(2.2 * HOUR), int(5.5 * HOUR), RETRIES),
            "limit": 120 * HOUR,
            "util": rng.uniform(0.55, 0.7, RETRIES),
            "retry": np.arange(RETRIES),
        }
    )


def last_sweep(rng: np.random.Generator, window: Window) -> pd.DataFrame:
    """Return a wide array sent in the last hour of the window, so that the log ends with a queue."""
    count = 36
    return pd.DataFrame(
        {
            "cell": -2,
            "partition": PARTITION_NAMES.index("h100"),
            "month": len(window.months) - 1,
            "project": PROJECTS.index("research"),
            "event": 0,
            "gpus": 8,
            "submit": window.end - 2400,
            "user": 1 + sum(list(USERS_PER_PROJECT.values())[:4]),
            "array": 10**9,
            "task": np.arange(count),
            "state": 0,
            "seconds": rng.integers(2 * HOUR, 6 * HOUR, count),
            "limit": 8 * HOUR,
            "util": rng.uniform(0.5, 0.8, count),
            "retry": -1,
        }
    )


class Nodes:
    """The nodes of one partition, 8 GPUs each, as bit masks by the number of free GPUs.

    A job of up to 8 GPUs goes to the node where it fits tightest; a wider one takes whole nodes.
    """

    def __init__(self, ready: list[int]):
        self.free = [8 if when <= 0 else 0 for when in ready]
        self.level = [0] * 9
        self.level[8] = sum(1 << n for n, f in enumerate(self.free) if f)
        self.events = [(when, n, 1 << n, 8) for n, when in enumerate(ready) if when > 0]
        heapq.heapify(self.events)

    def take(self, gpus: int) -> int:
        """Allocate GPUs and return the mask of the nodes, or 0 if they do not fit now."""
        level = self.level
        if gpus <= 8:
            for size in range(gpus, 9):
                if level[size]:
                    bit = level[size] & -level[size]
                    level[size] ^= bit
                    level[size - gpus] |= bit
                    self.free[bit.bit_length() - 1] = size - gpus
                    return bit
            return 0
        wanted = gpus // 8
        if level[8].bit_count() < wanted:
            return 0
        mask = 0
        for _ in range(wanted):
            bit = level[8] & -level[8]
            level[8] ^= bit
            level[0] |= bit
            self.free[bit.bit_length() - 1] = 0
            mask |= bit
        return mask

    def release_until(self, time: int) -> None:
        """Give back what ended by `time`."""
        events = self.events
        while events and events[0][0] <= time:
            _, _, mask, gpus = heapq.heappop(events)
            while mask:
                bit = mask & -mask
                mask ^= bit
                node = bit.bit_length() - 1
                size = self.free[node]
                self.level[size] ^= bit
                self.free[node] = size + min(gpus, 8)
                self.level[size + min(gpus, 8)] |= bit


def first_come(
    submit: list[int], gpus: list[int], seconds: list[int], ready: list[int], chain: list[int]
) -> tuple[list[int], list[int]]:
    """Start jobs strictly in the order of their submission, each as soon as its GPUs are free.

    Parameters
    ----------
    submit, gpus, seconds : list of int
        Per job; sorted by submit. The submit times of a chain are overwritten.
    ready : list of int
        When each node comes into service (0: from the start).
    chain : list of int
        Jobs of which each is submitted a pause after the one before it ended.

    Returns
    -------
    start : list of int
    mask : list of int
        Bit n is set where the job holds GPUs of node n.
    """
    nodes = Nodes(ready)
    later = set(chain[1:])
    follower = dict(pairwise(chain))
    order = [i for i in range(len(submit)) if i not in later]
    waiting: list[tuple[int, int]] = []
    start, masks = [0] * len(submit), [0] * len(submit)
    clock = position = 0
    while position < len(order) or waiting:
        if waiting and (position == len(order) or waiting[0][0] <= submit[order[position]]):
            when, i = heapq.heappop(waiting)
            submit[i] = when
        else:
            i = order[position]
            position += 1
        clock = max(clock, submit[i] + -submit[i] % CYCLE)
        nodes.release_until(clock)
        if gpus[i]:
            mask = nodes.take(gpus[i])
            while not mask:
                clock = nodes.events[0][0] + -nodes.events[0][0] % CYCLE
                nodes.release_until(clock)
                mask = nodes.take(gpus[i])
            heapq.heappush(nodes.events, (clock + seconds[i], i + 1000, mask, gpus[i]))
            masks[i] = mask
        start[i] = clock
        if i in follower:
            heapq.heappush(waiting, (clock + seconds[i] + RETRY_PAUSE, follower[i]))
    return start, masks


def schedule(rng: np.random.Generator, jobs: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Run every partition's queue and return the job log as it stands at the end of the window.

    Returns
    -------
    DataFrame
        The jobs with job_id (text), start and end (seconds since 1970, -1 where none), elapsed (seconds),
        mask (nodes, as bits), state as reported, sorted by submission.
    """
    jobs = jobs.sort_values(["submit", "cell", "retry"], kind="stable", ignore_index=True)
    submit, start = jobs["submit"].to_numpy().copy(), np.full(len(jobs), -1)
    masks = np.zeros(len(jobs), dtype=np.int64)
    runs = (jobs["seconds"] > 0).to_numpy()
    for p, partition in enumerate(PARTITIONS):
        here = np.flatnonzero((jobs["partition"] == p).to_numpy() & runs)
        retry = jobs["retry"].to_numpy()[here]
        chain = list(np.flatnonzero(retry >= 0))
        times = submit[here].tolist()
        begun, held = first_come(
            times,
            jobs["gpus"].to_numpy()[here].tolist(),
            jobs["seconds"].to_numpy()[here].tolist(),
            node_ready(partition),
            chain,
        )
        submit[here], start[here], masks[here] = times, begun, held
    jobs["submit"], jobs["start"], jobs["mask"] = submit, start, masks
    jobs = jobs[(jobs["retry"] < 0) | (jobs["start"] < epoch(EVENTS["failing-run"].end))]
    jobs = jobs.sort_values(["submit", "array", "task"], kind="stable", ignore_index=True)
    return _close(rng, jobs, window)


def _close(rng: np.random.Generator, jobs: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Cut the log at the end of the window, and number the jobs."""
    start, seconds = jobs["start"].to_numpy().copy(), jobs["seconds"].to_numpy()
    state = jobs["state"].to_numpy().copy()
    end = start + seconds
    withdrawn = seconds == 0
    start[withdrawn] = -1
    wait = rng.exponential(900, len(jobs)).astype(np.int64) + 20
    end[withdrawn] = np.minimum(jobs["submit"] + wait, window.end - 1)[withdrawn]
    pending = ~withdrawn & (start >= window.end)
    running = ~withdrawn & ~pending & (end > window.end)
    state[pending], state[running] = STATES.index("PENDING"), STATES.index("RUNNING")
    elapsed = np.where(running, window.end - start, seconds)
    elapsed[pending] = 0
    start[pending] = -1
    end[pending | running] = -1
    jobs["start"], jobs["end"], jobs["elapsed"], jobs["state"] = start, end, elapsed, state
    jobs.loc[pending | withdrawn, "mask"] = 0
    # A job array has one number; its tasks stand next to each other because they share a submit time.
    array = jobs["array"].to_numpy()
    serial = 100_000 + np.arange(len(jobs))
    first = pd.Series(serial).groupby(array).transform("min").to_numpy()
    base, task = np.where(array < 0, serial, first).tolist(), jobs["task"].tolist()
    jobs["job_id"] = [f"{b}_{t}" if t >= 0 else f"{b}" for b, t in zip(base, task, strict=True)]
    jobs.loc[held_idle(jobs, window), "util"] = 0.01
    return jobs


def held_idle(log: pd.DataFrame, window: Window) -> np.ndarray:
    """Return the positions of the jobs that hold GPUs and leave them idle, largest first."""
    event = EVENTS["held-gpus"]
    whole = (log["start"] >= epoch(event.start)) & (log["end"] >= 0) & (log["end"] <= epoch(event.end))
    kept = log["state"].isin([STATES.index("COMPLETED"), STATES.index("CANCELLED")])
    owner = log["project"] == PROJECTS.index(event.project)
    hours = (log["gpus"] * log["elapsed"]).where(
        whole & kept & owner & (log["partition"] == PARTITION_NAMES.index("a100")), 0
    )
    held = np.argsort(-hours.to_numpy(), kind="stable")[:HELD_JOBS]
    return held[hours.to_numpy()[held] > 0]


def stop_times(log: pd.DataFrame) -> np.ndarray:
    """Return when each job gave its GPUs back, or the end of the window where it has not yet."""
    return np.where(log["start"] >= 0, log["start"] + log["elapsed"], -1)


def monthly_gpu_hours(log: pd.DataFrame, window: Window) -> dict[tuple[str, str], np.ndarray]:
    """Return allocated GPU-hours by (cluster, gpu_model).

    Each value has the shape (2, projects, months): planned jobs, then the jobs of the planted overrun.
    """
    held = log[(log["start"] >= 0) & (log["gpus"] > 0)]
    hours = window.overlap_seconds(held["start"].to_numpy(), stop_times(held))
    hours = hours * held["gpus"].to_numpy()[:, None] / HOUR
    totals: dict[tuple[str, str], np.ndarray] = {}
    for p, partition in enumerate(PARTITIONS):
        pool = totals.setdefault(
            (partition.cluster, partition.gpu_model), np.zeros((2, len(PROJECTS), len(window.months)))
        )
        here = (held["partition"] == p).to_numpy()
        np.add.at(pool, (held["event"].to_numpy()[here], held["project"].to_numpy()[here]), hours[here])
    return totals

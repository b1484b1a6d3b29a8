"""Elasticity: jobs that shrink and grow along a speed-up curve, and clusters that rent and release by demand."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import whole, within
from dcbudget.models.replay.cluster import Cluster, Pool
from dcbudget.models.replay.compiled import inner
from dcbudget.models.replay.log import read

# An event loop that does not end by then has a fault; it cannot take more than a few events a job.
EVENTS_A_JOB = 64


@dataclass(frozen=True)
class Elastic:
    """What came of jobs that shrink and grow.

    Attributes
    ----------
    jobs : one row a job, with the log's index: `start_seconds`, `end_seconds` (since the first submission),
        `wait_seconds`, `jct_seconds`, `gpu_hours` (held), `mean_gpus`, `resizes`.
    utilisation : held of the GPU-hours between the first submission and the last end.
    makespan_seconds : between these.
    """

    jobs: pd.DataFrame
    utilisation: float
    makespan_seconds: float


def speed_up(gpus, exponent: float):
    """How many times as fast as one GPU: gpus ** exponent, 1 for perfect scaling.

    Parameters
    ----------
    gpus : at least 1, any shape.
    exponent : above 0 and at most 1; `models.performance.scaling` fits how run times scale.
    """
    return np.asarray(within("gpus", gpus, 1)) ** within("exponent", exponent, 0, 1, above=True)


def replay_elastic(
    jobs: pd.DataFrame, pool: Pool, *, least, most, exponent: float, resize_seconds: float = 0.0
) -> Elastic:
    """Replay jobs that run on as many GPUs as there are, between their least and most.

    First come, first served: a job starts as soon as its least number is free, or can be had by shrinking others to
    theirs. What is left goes, one by one, to the running job whose speed gains most by it. A job that is resized holds
    its GPUs for `resize_seconds` without progress, and is only grown when nobody waits. A job's work is what it did in
    the log on its own GPUs.

    Parameters
    ----------
    jobs : as `replay` takes them; GPUs in whole numbers.
    pool : where all of them run, its nodes not told apart.
    least, most : GPUs, a column, values by job, or one value; least <= the job's own `gpus` <= most is not required.
    exponent : of the speed-up curve (see `speed_up`).
    resize_seconds : of a checkpoint and a restart.

    Raises
    ------
    OutOfRange : the log cannot be replayed, least exceeds most or the pool, or a value lies outside its range.
    """
    log = read(jobs, Cluster(pool), pool=pool.name)
    gpus = whole("gpus of jobs that shrink and grow", log.gpus)
    low = whole("least", log.numbers("least", least, 1))
    high = np.minimum(whole("most", log.numbers("most", most, 1)), pool.gpus)
    if (low > high).any():
        at = np.flatnonzero(low > high)[0]
        raise OutOfRange(f"least must be at most most and the pool's {pool.gpus:,} GPUs; row {at + 1} has {low[at]:,}")
    power = within("exponent", exponent, 0, 1, above=True)
    order = np.lexsort((np.arange(len(jobs)), log.submit))
    start, end, held, resizes, ended = _malleable(
        log.submit, log.elapsed * gpus**power, low, high, order, pool.gpus, power,
        within("resize_seconds", resize_seconds, 0),
    )  # fmt: skip
    if not ended:
        raise OutOfRange(f"resize_seconds must be short against the jobs' run times, not {resize_seconds:g}: none ends")
    ran = end - start
    table = pd.DataFrame(
        {
            "start_seconds": start, "end_seconds": end, "wait_seconds": start - log.submit,
            "jct_seconds": end - log.submit, "gpu_hours": held / 3600,
            "mean_gpus": np.where(ran > 0, held / np.where(ran > 0, ran, 1), low), "resizes": resizes,
        },
        index=jobs.index,
    )  # fmt: skip
    makespan = float(end.max())
    used = float(held.sum() / (pool.gpus * makespan)) if makespan > 0 else 0.0
    return Elastic(table, used, makespan)


@njit(cache=True)
def _malleable(submit, work, low, high, order, total, power, pause):
    """Starts, ends, held GPU-seconds and resizes; whether all jobs ended."""
    n = len(submit)
    start, end = np.full(n, np.nan), np.full(n, np.nan)
    held, left, blocked = np.zeros(n), work.copy(), np.zeros(n)
    now_on, resizes = np.zeros(n, np.int64), np.zeros(n, np.int64)
    running, on_run = np.zeros(n, np.int64), 0
    queue, waiting, arrived = np.zeros(n, np.int64), 0, 0
    first, time = 0, 0.0
    wanted = np.zeros(n, np.int64)
    for _ in range(EVENTS_A_JOB * n + 16):
        # the next thing that happens
        after = np.inf
        if arrived < n:
            after = submit[order[arrived]]
        for k in range(on_run):
            job = running[k]
            after = min(after, max(blocked[job], time) + left[job] / now_on[job] ** power)
        if after == np.inf:
            return start, end, held, resizes, True
        on_run = _worked(running, on_run, now_on, held, work, left, blocked, end, time, after, power)
        time = after
        while arrived < n and submit[order[arrived]] <= time:
            queue[waiting] = order[arrived]
            waiting += 1
            arrived += 1
        # those that wait, in order, on the least that they take
        room = total
        for k in range(on_run):
            wanted[running[k]] = now_on[running[k]]
            room -= low[running[k]]
        while first < waiting and low[queue[first]] <= room:
            job = queue[first]
            first += 1
            room -= low[job]
            start[job], blocked[job], wanted[job] = time, time, low[job]
            running[on_run] = job
            on_run += 1
        _fitted(wanted, running, on_run, low, high, total, power, first == waiting)
        for k in range(on_run):
            job = running[k]
            if wanted[job] != now_on[job]:
                if now_on[job] > 0:
                    resizes[job] += 1
                    blocked[job] = time + pause
                now_on[job] = wanted[job]
    return start, end, held, resizes, False


@inner
def _worked(running, on_run, now_on, held, work, left, blocked, end, time, after, power):
    """Work that jobs do from `time` to `after`; those that end leave, and how many stay is returned."""
    kept = 0
    for k in range(on_run):
        job = running[k]
        held[job] += now_on[job] * (after - time)
        progress = max(after - max(blocked[job], time), 0.0) * now_on[job] ** power
        left[job] = max(left[job] - progress, 0.0)
        # what a rounding leaves over is no work
        if left[job] <= 1e-9 * work[job] and blocked[job] <= after:
            end[job] = after
            now_on[job] = 0
        else:
            running[kept] = job
            kept += 1
    return kept


@inner
def _fitted(wanted, running, on_run, low, high, total, power, may_grow):
    """GPUs that jobs want, shrunk where it costs least speed, grown where it gains most, one GPU at a time."""
    over = -total
    for k in range(on_run):
        over += wanted[running[k]]
    while over > 0:
        best, least = -1, np.inf
        for k in range(on_run):
            job = running[k]
            if wanted[job] > low[job]:
                loss = wanted[job] ** power - (wanted[job] - 1) ** power
                if loss < least:
                    best, least = job, loss
        wanted[best] -= 1
        over -= 1
    while may_grow and over < 0:
        best, most = -1, 0.0
        for k in range(on_run):
            job = running[k]
            if wanted[job] < high[job]:
                gain = (wanted[job] + 1) ** power - wanted[job] ** power
                if gain > most:
                    best, most = job, gain
        if best < 0:
            break
        wanted[best] += 1
        over += 1


@dataclass(frozen=True)
class Renting:
    """By which rule a cluster rents nodes beside its own and gives them back.

    Attributes
    ----------
    most_nodes : rented at one time, at most.
    gpus_per_node : of a rented node.
    price_per_gpu_hour : of a rented GPU, from its order's arrival to its release.
    startup_seconds : between the order of a node and its first job.
    minimum_seconds : shortest time that a node is billed for.
    idle_seconds : a node goes back once as many GPUs as it has were free for so long, and its minimum is over.

    Raises
    ------
    OutOfRange : a value lies outside its range.
    """

    most_nodes: int
    gpus_per_node: int
    price_per_gpu_hour: float
    startup_seconds: float = 0.0
    minimum_seconds: float = 0.0
    idle_seconds: float = 0.0

    def __post_init__(self):
        whole("most_nodes", self.most_nodes, 0, 1e6)
        whole("gpus_per_node", self.gpus_per_node, 1, 1e6)
        within("price_per_gpu_hour", self.price_per_gpu_hour, 0)
        for name in ("startup_seconds", "minimum_seconds", "idle_seconds"):
            within(name, getattr(self, name), 0, 1e9)


@dataclass(frozen=True)
class Rented:
    """What came of renting by demand.

    Attributes
    ----------
    jobs : one row a job, with the log's index: `start_seconds`, `end_seconds`, `wait_seconds`, `jct_seconds`.
    nodes : one row a rented node: `from_seconds` (it is billed from then on), `to_seconds`, `billed_seconds`, `cost`.
    rented_gpu_hours, rented_cost : billed.
    own_cost : the pool's own GPUs from the first submission to the last end, NaN where it tells no price.
    """

    jobs: pd.DataFrame
    nodes: pd.DataFrame
    rented_gpu_hours: float
    rented_cost: float
    own_cost: float


def replay_renting(jobs: pd.DataFrame, own: Pool, renting: Renting) -> Rented:
    """Replay a log, first come, first served, on own GPUs and nodes that are rented while jobs wait.

    Whenever jobs wait, so many nodes are ordered as those that wait need beyond what is free and on order.

    Parameters
    ----------
    jobs : as `replay` takes them.
    own : the cluster's own GPUs; nodes are not told apart.
    renting : the rule.

    Raises
    ------
    OutOfRange : the log cannot be replayed, or a job is larger than what can ever be had.
    """
    most = own.gpus + renting.most_nodes * renting.gpus_per_node
    everything = Pool(own.name, nodes=most, gpus_per_node=1)
    log = read(jobs, Cluster(everything), pool=own.name)
    order = np.lexsort((np.arange(len(jobs)), log.submit))
    start, nodes, ended = _renting(
        log.submit, log.elapsed, log.gpus, order, float(own.gpus), renting.most_nodes, float(renting.gpus_per_node),
        renting.startup_seconds, renting.minimum_seconds, renting.idle_seconds,
    )  # fmt: skip
    if not ended:
        raise OutOfRange("idle_seconds and startup_seconds must let jobs start; nodes go back before they are used")
    end = start + log.elapsed
    table = pd.DataFrame(
        {"start_seconds": start, "end_seconds": end, "wait_seconds": start - log.submit,
         "jct_seconds": end - log.submit},
        index=jobs.index,
    )  # fmt: skip
    billed = np.maximum(nodes[:, 1] - nodes[:, 0], renting.minimum_seconds)
    hours = billed * renting.gpus_per_node / 3600
    rented = pd.DataFrame({"from_seconds": nodes[:, 0], "to_seconds": nodes[:, 1], "billed_seconds": billed,
                           "cost": hours * renting.price_per_gpu_hour})  # fmt: skip
    own_cost = own.gpus * float(end.max()) / 3600 * own.price_per_gpu_hour
    return Rented(table, rented, float(hours.sum()), float(rented["cost"].sum()), float(own_cost))


@njit(cache=True)
def _renting(submit, elapsed, gpus, order, own, most_nodes, per_node, startup, minimum, idle):
    """Starts of jobs, begin and end of each rented node, whether all jobs started."""
    n = len(submit)
    start = np.full(n, np.nan)
    ends, held, running = np.full(n, np.inf), np.zeros(n), 0
    nodes = np.zeros((16, 2))
    rented = 0
    here = np.zeros(max(most_nodes, 1), np.int64)
    present = 0
    coming = np.zeros(max(most_nodes, 1))
    ordered = 0
    free, first, arrived, time = own, 0, 0, 0.0
    idle_since = np.inf
    for _ in range(EVENTS_A_JOB * n + 16):
        after = np.inf
        if arrived < n:
            after = submit[order[arrived]]
        for k in range(running):
            after = min(after, ends[k])
        for k in range(ordered):
            after = min(after, coming[k])
        for k in range(present):
            if idle_since < np.inf:
                after = min(after, max(idle_since + idle, nodes[here[k], 0] + minimum))
        if after == np.inf:
            break
        time = max(after, time)
        kept = 0
        for k in range(running):
            if ends[k] <= time:
                free += held[k]
            else:
                ends[kept], held[kept] = ends[k], held[k]
                kept += 1
        running = kept
        kept = 0
        for k in range(ordered):
            if coming[k] > time:
                coming[kept] = coming[k]
                kept += 1
                continue
            if rented == len(nodes):
                nodes = np.concatenate((nodes, np.zeros(nodes.shape)))
            nodes[rented, 0], nodes[rented, 1] = time, np.inf
            here[present] = rented
            rented += 1
            present += 1
            free += per_node
        ordered = kept
        while arrived < n and submit[order[arrived]] <= time:
            arrived += 1
        while first < arrived and gpus[order[first]] <= free:
            job = order[first]
            start[job] = time
            ends[running], held[running] = time + elapsed[job], gpus[job]
            running += 1
            free -= gpus[job]
            first += 1
        if first < arrived:
            needed = -free - ordered * per_node
            for k in range(first, arrived):
                needed += gpus[order[k]]
            while needed > 0 and present + ordered < most_nodes:
                coming[ordered] = time + startup
                ordered += 1
                needed -= per_node
        # nodes go back that nobody needed for a while
        spare = free >= per_node and first == arrived
        idle_since = min(idle_since, time) if spare else np.inf
        if spare:
            before = present
            present = _given_back(nodes, here, present, free, per_node, time, idle_since + idle, minimum)
            free -= (before - present) * per_node
            if free < per_node:
                idle_since = np.inf
        if first == n and running == 0 and ordered == 0 and present == 0:
            break
    return start, nodes[:rented], first == n and present == 0


@inner
def _given_back(nodes, here, present, free, per_node, time, idle_until, minimum):
    """Nodes end whose GPUs were free for long enough and whose minimum is over; how many stay."""
    k = 0
    while k < present and free >= per_node:
        if time >= idle_until and time >= nodes[here[k], 0] + minimum:
            nodes[here[k], 1] = time
            free -= per_node
            present -= 1
            here[k] = here[present]
        else:
            k += 1
    return present

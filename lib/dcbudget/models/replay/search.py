"""Orders of jobs that are searched for: an integer programme over a rolling horizon, a genetic and a swarm search."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.optimize.solver import Rows, maximise
from dcbudget.models.ranges import positive, whole
from dcbudget.models.replay.cluster import Checkpoint, Cluster, Pool
from dcbudget.models.replay.log import Log, read
from dcbudget.models.replay.policies import GIVEN_ORDER

METHODS = ("genetic", "swarm")
MOST_BY_BRUTE_FORCE = 8


@dataclass(frozen=True)
class Ordering:
    """An order of jobs that a search found.

    Attributes
    ----------
    method : how.
    order : a key a job, low first, for `replay(order=...)`.
    mean_wait_seconds : weighted mean wait under it.
    bound_seconds : no order waits less, as far as was proven; NaN where nothing was.
    evaluations : replays, or programmes that were solved.
    seconds : of computing; what is left out of comparisons for being sure to differ.
    """

    method: str
    order: np.ndarray
    mean_wait_seconds: float
    bound_seconds: float
    evaluations: int
    seconds: float


def evaluator(jobs: pd.DataFrame, pool: Pool, weights=None) -> Callable[[np.ndarray], float]:
    """The weighted mean wait [s] of a log on one pool, as a function of the keys that its jobs wait by.

    Parameters
    ----------
    jobs, pool : as `replay` takes them, nodes not told apart.
    weights : of the jobs, above 0; equal where none are given.
    """
    from dcbudget.models.replay import engine, state

    log = read(jobs, Cluster(pool), pool=pool.name)
    weight = _weights(len(jobs), weights)
    n = len(jobs)
    told = {"planned": log.elapsed, "klass": np.zeros(n, np.int64), "account": np.zeros(n, np.int64),
            "account_share": np.ones(1)}  # fmt: skip
    history = np.empty((2 * n + 2, 5))

    def mean_wait(keys: np.ndarray) -> float:
        rows = np.lexsort((np.arange(n), log.submit, keys))
        s = state.fill(log, rows, told, pool, GIVEN_ORDER, Checkpoint(), False, False, True)
        engine.run(s, np.lexsort((rows, s.jobs["submit"])).astype(np.int64), history)
        return float(((s.jobs["start"] - log.submit[rows]) * weight[rows]).sum() / weight.sum())

    return mean_wait


def searched(
    jobs: pd.DataFrame, pool: Pool, method: str, *, weights=None, evaluations: int = 2000, seed: int = 1
) -> Ordering:
    """The order of least weighted mean wait that a search finds; it knows all jobs, so it tells what orders can reach.

    Parameters
    ----------
    method : "genetic" or "swarm": pymoo's genetic algorithm and particle swarm over one key a job, begun from first
        come first served, shortest and smallest first.
    evaluations : replays, about.
    seed : of the search.
    """
    if method not in METHODS:
        raise OutOfRange(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    whole("evaluations", evaluations, 10, 10_000_000)
    from pymoo.algorithms.soo.nonconvex.ga import GA
    from pymoo.algorithms.soo.nonconvex.pso import PSO
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.optimize import minimize

    begun = time.perf_counter()
    mean_wait = evaluator(jobs, pool, weights)

    class Keys(ElementwiseProblem):
        def _evaluate(self, x, out, *_, **__):
            out["F"] = mean_wait(x)

    many = min(50, max(evaluations // 5, 5))
    first = np.random.default_rng(seed).uniform(size=(many, len(jobs)))
    simple = _simple_orders(read(jobs, Cluster(pool), pool=pool.name))
    first[: len(simple)] = simple[:many]
    algorithm = (GA if method == "genetic" else PSO)(pop_size=many, sampling=first)
    found = minimize(Keys(n_var=len(jobs), n_obj=1, xl=0.0, xu=1.0), algorithm, ("n_eval", evaluations), seed=seed)
    return Ordering(method, np.asarray(found.X), float(found.F[0]), np.nan, int(found.algorithm.evaluator.n_eval),
                    time.perf_counter() - begun)  # fmt: skip


def brute_force(jobs: pd.DataFrame, pool: Pool, *, weights=None) -> Ordering:
    """The order of least weighted mean wait of all orders there are.

    Raises
    ------
    OutOfRange : there are more than 8 jobs.
    """
    whole("number of jobs that are tried in all orders", len(jobs), 1, MOST_BY_BRUTE_FORCE)
    begun = time.perf_counter()
    mean_wait = evaluator(jobs, pool, weights)
    orders = [np.array(keys, dtype=float) for keys in permutations(range(len(jobs)))]
    waits = [mean_wait(keys) for keys in orders]
    best = int(np.argmin(waits))
    return Ordering("brute force", orders[best], waits[best], waits[best], len(orders), time.perf_counter() - begun)


def programmed(
    jobs: pd.DataFrame,
    pool: Pool,
    *,
    planned,
    weights=None,
    every_seconds: float,
    slot_seconds: float,
    slots: int = 48,
    window: int = 24,
    gap: float = 0.01,
    seconds_a_solve: float = 30.0,
) -> Ordering:
    """An order by an integer programme over a rolling horizon; it knows no job before its submission.

    Every `every_seconds` the jobs that wait, the first `window` of them, are given starts in slots of the horizon, so
    that their weighted wait is least and planned times never hold more GPUs than there are; whoever finds no place is
    started after the horizon. Their starts are their keys, and the log is replayed in that order. A job that comes in
    between waits behind what was planned until the next programme.

    Parameters
    ----------
    planned : seconds that a job is planned for: a column, or values by job.
    weights : of the jobs, above 0.
    every_seconds : between two programmes, at least `slot_seconds`.
    slot_seconds, slots : grid of the horizon.
    gap, seconds_a_solve : a programme ends at this share between its answer and its bound; or after so long, with
        what it has by then.

    Returns
    -------
    Ordering whose `bound_seconds` is NaN: each programme is solved, their sequence proves nothing.
    """
    positive("slot_seconds", slot_seconds)
    whole("slots", slots, 1, 10_000)
    whole("window", window, 1, 10_000)
    if every_seconds < slot_seconds:
        raise OutOfRange(f"every_seconds must be at least slot_seconds, {slot_seconds:g}, not {every_seconds:g}")
    begun = time.perf_counter()
    log = read(jobs, Cluster(pool), pool=pool.name)
    plan = log.numbers("planned", planned, 0, 1e12)
    weight = _weights(len(jobs), weights)
    keys = log.submit + 1e9
    started = np.full(len(jobs), np.inf)
    left = np.lexsort((np.arange(len(jobs)), log.submit))
    now, solved = 0.0, 0
    while len(left):
        now = max(now, log.submit[left[0]])
        known = left[log.submit[left] <= now][:window]
        running = np.flatnonzero((started <= now) & (started + log.elapsed > now))
        ends = np.maximum(started[running] + plan[running], now + 1e-9) - now
        if len(known) == 1 and not len(running):
            slot = np.zeros(1)
        else:
            slot = _slots(log.gpus[known], plan[known], weight[known], log.gpus[running], ends, float(pool.gpus),
                          slot_seconds, slots, gap, seconds_a_solve)  # fmt: skip
            solved += 1
        keys[known] = now + slot * slot_seconds
        # what starts before the next programme, as the replay in this order will have it
        horizon = now + every_seconds
        _start_in_order(log, keys, known, running, started, now, horizon, float(pool.gpus))
        left = left[~np.isfinite(started[left])]
        now = horizon
    order = started + np.argsort(np.argsort(keys, kind="stable")) * 1e-9
    return Ordering("rolling horizon", order, evaluator(jobs, pool, weights)(order), np.nan, solved,
                    time.perf_counter() - begun)  # fmt: skip


def exact(jobs: pd.DataFrame, pool: Pool, *, slot_seconds: float, weights=None, seconds: float = 60.0) -> Ordering:
    """The least weighted mean wait by one integer programme over all jobs, with what is proven of it.

    Exact where submissions and run times are multiples of `slot_seconds`; it may leave GPUs free for a job to come,
    which no order does, so its wait is a bound for every order.

    Raises
    ------
    OutOfRange : times are no multiples of a slot.
    """
    log = read(jobs, Cluster(pool), pool=pool.name)
    positive("slot_seconds", slot_seconds)
    begun = time.perf_counter()
    release, span = log.submit / slot_seconds, log.elapsed / slot_seconds
    if not (np.allclose(release, np.round(release)) and np.allclose(span, np.round(span))):
        raise OutOfRange(f"slot_seconds must divide every submission and run time, {slot_seconds:g} does not")
    release, span = np.round(release).astype(int), np.round(span).astype(int)
    last = int(release.max() + span.sum())
    weight = _weights(len(jobs), weights)
    slot, bound = _solve(log.gpus, span, weight, release, np.full(max(last, 1), float(pool.gpus)), seconds)
    offset = (release * weight).sum()
    scale = slot_seconds / weight.sum()
    return Ordering("integer programme", slot.astype(float), float(((slot * weight).sum() - offset) * scale),
                    float((bound - offset) * scale), 1, time.perf_counter() - begun)  # fmt: skip


def _weights(n: int, weights) -> np.ndarray:
    return np.ones(n) if weights is None else np.broadcast_to(np.asarray(positive("weights", weights)), n)


def _simple_orders(log: Log) -> np.ndarray:
    """First come first served, shortest, smallest, and least work first, as keys from 0 to 1."""
    orders = [log.submit, log.elapsed, log.gpus, log.elapsed * log.gpus]
    return np.array([np.argsort(np.argsort(order, kind="stable")) / max(len(order) - 1, 1) for order in orders])


def _start_in_order(log, keys, known, running, started, now, horizon, total) -> None:
    """Note the starts, by real run times, until the horizon; nobody passes another."""
    ends = [(started[job] + log.elapsed[job], log.gpus[job]) for job in running]
    free = total - sum(gpus for _, gpus in ends)
    time_now = now
    for job in known[np.lexsort((known, log.submit[known], keys[known]))]:
        ends.sort()
        while free < log.gpus[job] and ends:
            end, gpus = ends.pop(0)
            time_now, free = max(time_now, end), free + gpus
        if time_now >= horizon:
            return
        while ends and ends[0][0] <= time_now:
            free += ends.pop(0)[1]
        started[job] = time_now
        free -= log.gpus[job]
        ends.append((time_now + log.elapsed[job], log.gpus[job]))


def _slots(gpus, plan, weight, busy_gpus, busy_seconds, total, slot_seconds, slots, gap, limit) -> np.ndarray:
    """Slot in which each job starts; `slots` and beyond, in the order of work, where it finds none."""
    span = np.maximum(np.ceil(plan / slot_seconds), 1).astype(int)
    room = np.full(slots, total)
    for held, seconds in zip(busy_gpus, busy_seconds, strict=True):
        room[: int(np.ceil(seconds / slot_seconds))] -= held
    found, _ = _solve(gpus, span, weight, np.zeros(len(gpus), int), np.maximum(room, 0), limit, gap, may_wait=True)
    late = found >= slots
    found = found.astype(float)
    found[late] = slots + np.argsort(np.argsort((gpus * plan)[late] / weight[late], kind="stable"))
    return found


def _solve(
    gpus, span, weight, release, room, limit, gap: float = 0.0, may_wait: bool = False
) -> tuple[np.ndarray, float]:
    """Starts of least weighted sum: one binary for each job and slot it may start in, one row for each slot's GPUs.

    With `may_wait` a job may start at the end of the horizon, where there is always room.
    """
    horizon = len(room)
    lasts = [horizon if may_wait else max(horizon - span[job], release[job]) for job in range(len(gpus))]
    owner = np.concatenate([np.full(lasts[job] - release[job] + 1, job) for job in range(len(gpus))])
    slot = np.concatenate([np.arange(release[job], lasts[job] + 1) for job in range(len(gpus))])
    rows = Rows(len(owner))
    for job in range(len(gpus)):
        rows.add(("starts once", job, 0), np.flatnonzero(owner == job), 1.0, 1.0, 1.0)
    for taken in range(horizon):
        held = np.flatnonzero((slot <= taken) & (taken < slot + span[owner]))
        if len(held):
            rows.add(("GPUs", taken, 0), held, gpus[owner[held]].astype(float), -np.inf, float(room[taken]))
    count = len(owner)
    cost = weight[owner] * slot
    answer = maximise(rows, -cost, np.zeros(count), np.ones(count), np.ones(count, bool), gap, limit)
    chosen = answer.values > 0.5
    found = np.full(len(gpus), horizon, dtype=int)
    found[owner[chosen]] = slot[chosen]
    return found, -answer.bound

"""Replays a log of jobs on a cluster under a policy."""

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import positive
from dcbudget.models.replay.cluster import Checkpoint, Cluster
from dcbudget.models.replay.log import Log, read
from dcbudget.models.replay.policies import Policy
from dcbudget.models.replay.result import PoolRun, Replay

PLACEMENTS = ("count", "pack", "spread")


def replay(
    jobs: pd.DataFrame,
    cluster: Cluster,
    policy: Policy,
    *,
    requested=None,
    elapsed=None,
    priority=None,
    order=None,
    account="project",
    shares=None,
    pool=None,
    deadlines=None,
    checkpoint: Checkpoint | None = None,
    placement: str = "count",
    whole_nodes: bool = True,
) -> Replay:
    """Run a log again, event by event.

    Each pool has a queue of its own. At one moment jobs end first, then jobs arrive, then the policy starts what it
    can. A job runs as long as it did, wherever it runs; a run time beyond the requested one is not cut. What is told by
    job is the name of a column, an array in the log's order, or one value for all.

    Parameters
    ----------
    jobs : one row a job, as in the table `jobs`: `submit_time`, `gpus`, `elapsed_seconds` (or `start_time` and
        `end_time`), and `gpu_model` where pools are told apart by it.
    cluster, policy : where, and by which rule.
    requested : seconds that the policy plans with, above 0; needed by shortest first and by backfill. The log's own are
        "requested_seconds"; "elapsed_seconds" is perfect knowledge.
    elapsed : run times [seconds] in place of the log's.
    priority : class of each job, a higher one first; needed by preemption. Without preemption classes come before the
        order where they are given.
    order : keys, low first; needed by the order "given".
    account, shares : who shares fairly (column or values), and account -> share of the GPUs, equal where none is given.
    pool : name of each job's pool, in place of its model's.
    deadlines : moments by which jobs should have ended, missing where there is none.
    checkpoint : what preemption costs; needed by preemption.
    placement : "count" takes GPUs wherever they are. "pack" puts a job on the fullest node that has room, "spread" on
        the emptiest. Conservative backfill then promises nodes too, for as long as a job is planned.
    whole_nodes : jobs larger than a node take empty nodes and a part of one; else what is free on any nodes.

    Raises
    ------
    OutOfRange : the log cannot be replayed (see `log.read`), or an argument is missing or outside its range.
    """
    if placement not in PLACEMENTS:
        raise OutOfRange(f"placement must be one of {', '.join(PLACEMENTS)}, not {placement!r}")
    log = read(jobs, cluster, elapsed=elapsed, pool=pool)
    told = {
        "planned": _planned(log, policy, requested),
        "klass": _classes(log, policy, priority, checkpoint),
        "key": _keys(log, policy, order, requested),
    }
    told["account"], told["account_share"] = _accounts(log, policy, account, shares)
    due = None if deadlines is None else log.seconds("deadlines", deadlines)
    runs = [
        _run_pool(log, told, place, cluster, policy, checkpoint or Checkpoint(), placement, whole_nodes)
        for place in range(len(cluster.pools))
    ]
    return Replay(log, cluster, policy, placement, runs, due)


def _planned(log: Log, policy: Policy, requested) -> np.ndarray:
    if requested is None:
        if policy.needs_requested:
            raise OutOfRange(
                f'requested must be given: {policy.name} plans by it. "requested_seconds" is the log\'s own, '
                '"elapsed_seconds" perfect knowledge'
            )
        return log.elapsed
    if isinstance(requested, str) and requested == "elapsed_seconds":
        return log.elapsed
    return log.numbers("requested", requested, 0, 1e12, above=True)


def _classes(log: Log, policy: Policy, priority, checkpoint) -> np.ndarray:
    if policy.preemptive and (priority is None or checkpoint is None):
        missing = "priority" if priority is None else "checkpoint"
        raise OutOfRange(f"{missing} must be given: {policy.name} preempts by classes, at a cost")
    if priority is None:
        return np.zeros(len(log.submit), np.int64)
    return log.numbers("priority", priority, -1e9, 1e9).astype(np.int64)


def _keys(log: Log, policy: Policy, order, requested) -> np.ndarray:
    if policy.order == "given":
        if order is None:
            raise OutOfRange(f"order must be given: {policy.name} goes by it")
        return log.numbers("order", order, -1e300, 1e300)
    if policy.order == "smallest":
        return log.units.astype(float)
    if policy.order == "shortest":
        return _planned(log, policy, requested)
    return np.zeros(len(log.submit))


def _accounts(log: Log, policy: Policy, account, shares) -> tuple[np.ndarray, np.ndarray]:
    if policy.order != "fair_share":
        return np.zeros(len(log.submit), np.int64), np.ones(1)
    values = log.jobs[account].to_numpy() if isinstance(account, str) and account in log.jobs else account
    if isinstance(values, str) or np.shape(values) != (len(log.submit),):
        raise OutOfRange(f"account must be a column of the log or one value for each job, not {account!r}")
    codes, names = pd.factorize(values, use_na_sentinel=False)
    part = np.ones(len(names))
    for at, name in enumerate(names if shares else []):
        if name not in shares:
            raise OutOfRange(f"shares must name every account; {name} is missing")
        part[at] = positive(f"shares of {name}", shares[name])
    return codes.astype(np.int64), part


def _run_pool(log, told, place, cluster, policy, checkpoint, placement, whole_nodes) -> PoolRun:
    """Replay the jobs of one pool."""
    from dcbudget.models.replay import conservative, engine, in_order, openings, profile, queues, state

    rows = np.flatnonzero(log.pool == place)
    # in the order in which they wait, so that the lesser number goes first
    rows = rows[np.lexsort((rows, log.submit[rows], told["key"][rows], -told["klass"][rows]))]
    if not len(rows):
        return PoolRun.empty()
    if placement == "count" and policy.backfill is None and not (policy.preemptive or policy.order == "fair_share"):
        submit = log.submit[rows]
        if (submit[1:] >= submit[:-1]).all():
            capacity = cluster.pools[place].gpus * log.units_per_gpu
            return in_order.run(rows, submit, log.elapsed[rows], log.units[rows], capacity)
    s = state.fill(
        log, rows, told, cluster.pools[place], policy, checkpoint, placement == "spread", placement != "count",
        whole_nodes,
    )  # fmt: skip
    arrivals = np.argsort(s.jobs["submit"], kind="stable")
    if policy.backfill == "conservative":
        history, promised = np.empty((max(len(s.pieces), len(rows)), 5)), np.empty(len(rows))
        per_node = s.rule[queues.PER_NODE]
        free = profile.empty(len(history), len(s.nodes), per_node)
        opened = openings.none(len(s.nodes), per_node) if len(s.nodes) > 1 else None
        conservative.run(s, arrivals, history, free, promised, np.empty(len(rows)), opened)
        return state.read(s, rows, history, promised)
    history = engine.run(s, arrivals, np.empty((len(rows) + len(s.pieces), 5)))
    return state.read(s, rows, history)

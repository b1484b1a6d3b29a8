"""The engine's arrays: filled from a log, and read when the replay is over."""

import numpy as np

from dcbudget.models.replay import engine, queues
from dcbudget.models.replay.result import PoolRun


def fill(log, rows, told, pool, policy, checkpoint, spread, by_node, whole_nodes) -> queues.State:
    """The state before the first job; jobs are `rows` of the log, in the order in which they wait."""
    n = len(rows)
    nodes, per_node = (pool.nodes, pool.gpus_per_node) if by_node else (1, pool.gpus)
    per_node *= log.units_per_gpu
    units = log.units[rows]
    # no more pieces run at once than there are units, or than all jobs could have; but conservative backfill gives
    # nodes to those that wait, too
    pieces = int(
        np.where(units > per_node, np.minimum(nodes, -(-units // per_node) if whole_nodes else units), 1).sum()
    )
    if policy.backfill != "conservative":
        pieces = min(nodes * per_node, pieces)
    running = int(min(n, nodes * per_node))
    rule = np.zeros(8, np.int64)
    rule[queues.SPREAD], rule[queues.WHOLE], rule[queues.PER_NODE] = spread, whole_nodes, per_node
    rule[queues.EASY], rule[queues.DEPTH] = policy.backfill == "easy", policy.depth
    rule[queues.PREEMPTIVE], rule[queues.FAIR] = policy.preemptive, policy.order == "fair_share"
    count = np.zeros(8, np.int64)
    count[queues.FREE] = nodes * per_node
    seconds = np.zeros(8)
    seconds[engine.INTERVAL], seconds[engine.RESTART] = checkpoint.interval_seconds, checkpoint.restart_seconds
    seconds[engine.HALF_LIFE], seconds[engine.SHADOW] = policy.half_life_seconds, -1.0
    jobs = np.zeros(n, queues.JOB)
    jobs["submit"], jobs["elapsed"], jobs["left"] = log.submit[rows], log.elapsed[rows], log.elapsed[rows]
    jobs["planned"], jobs["units"] = told["planned"][rows], units
    jobs["klass"], jobs["account"] = told["klass"][rows], told["account"][rows]
    jobs["start"], jobs["end"], jobs["piece"] = np.nan, np.nan, -1
    accounts = np.zeros(len(told["account_share"]), queues.ACCOUNT)
    accounts["share"] = told["account_share"]
    accounts["ordered"] = np.arange(len(accounts))
    held = np.zeros(pieces, queues.PIECE)
    held["next"] = np.append(np.arange(1, pieces), -1)
    empty = np.zeros(nodes, queues.NODE)
    empty["free"] = per_node
    return queues.State(
        jobs=jobs, queue=np.zeros(2 * n, np.int64), line=np.zeros(n if rule[queues.FAIR] else 1, np.int64),
        events=np.zeros(running, queues.ENTRY), running=np.zeros(running, queues.ENTRY), nodes=empty,
        choice=np.zeros(nodes, queues.CHOICE), pieces=held, accounts=accounts, count=count, rule=rule, seconds=seconds,
    )  # fmt: skip


def read(s: queues.State, rows, history, promised=None) -> PoolRun:
    """What came of the replay, in the rows of the log."""
    made = history[: s.count[queues.HISTORY]]
    return PoolRun(
        rows=rows, start=s.jobs["start"], end=s.jobs["end"], lost=s.jobs["lost"], restarted=s.jobs["restarted"],
        preemptions=s.jobs["preemptions"],
        held_job=rows[made[:, 0].astype(np.int64)], held_node=made[:, 1].astype(np.int64), held_units=made[:, 2],
        held_from=made[:, 3], held_to=made[:, 4],
        free_while_waiting=s.seconds[engine.FREE_WHILE_WAITING], free_in_parts=s.seconds[engine.FREE_IN_PARTS],
        promised=promised, held_by_nodes=s.seconds[engine.HELD_BY_NODES],
    )  # fmt: skip

"""First come, first served on GPUs that are only counted: jobs start in the order in which they come."""

import numpy as np
from numba import njit

from dcbudget.models.replay.result import PoolRun


def run(rows: np.ndarray, submit: np.ndarray, elapsed: np.ndarray, units: np.ndarray, capacity: int) -> PoolRun:
    """What `engine.run` gives, where nobody passes another and nodes are not told apart.

    Parameters
    ----------
    rows : of the log, by submission; `submit`, `elapsed` [seconds] and `units` are theirs.
    capacity : units.
    """
    start, free_while_waiting = _starts(submit, elapsed, units, capacity)
    end = start + elapsed
    nothing, none = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    ended = np.argsort(end, kind="stable")
    return PoolRun(
        rows=rows, start=start, end=end, lost=nothing, restarted=nothing, preemptions=none, held_job=rows[ended],
        held_node=none, held_units=units[ended].astype(float), held_from=start[ended], held_to=end[ended],
        free_while_waiting=free_while_waiting,
    )  # fmt: skip


@njit(cache=True)
def _starts(submit, elapsed, units, capacity):
    """When each job starts, and the unit-seconds that were free meanwhile."""
    n = len(submit)
    start = np.empty(n)
    # a heap of the ends to come; no more jobs run at once than there are units
    ends, held = np.empty(min(n, capacity) + 1), np.empty(min(n, capacity) + 1, np.int64)
    running, free, time, wasted = 0, capacity, 0.0, 0.0
    for job in range(n):
        time = max(time, submit[job])
        while running > 0 and (ends[0] <= time or free < units[job]):
            if ends[0] > time:
                wasted += free * (ends[0] - time)
                time = ends[0]
            free += held[0]
            running -= 1
            end, size = ends[running], held[running]
            at = 0
            while True:
                below = 2 * at + 1
                if below >= running:
                    break
                if below + 1 < running and ends[below + 1] < ends[below]:
                    below += 1
                if end <= ends[below]:
                    break
                ends[at], held[at] = ends[below], held[below]
                at = below
            ends[at], held[at] = end, size
        start[job] = time
        free -= units[job]
        end, at = time + elapsed[job], running
        running += 1
        while at > 0 and ends[(at - 1) // 2] > end:
            ends[at], held[at] = ends[(at - 1) // 2], held[(at - 1) // 2]
            at = (at - 1) // 2
        ends[at], held[at] = end, units[job]
    return start, wasted

"""The event loop under conservative backfill: each job is promised a start, in a profile of what is free when.

A job that ends early leaves a hole; those that wait are then moved, in their order, to the earliest start that they can
have (Mu'alem and Feitelson 2001). A hole only helps a start before its end, which bounds the search. A job that runs
beyond its planned end is planned for twice as long as it was, and all who wait are promised anew.
"""

import numpy as np
from numba import njit

from dcbudget.models.replay.compiled import SOURCES, inner
from dcbudget.models.replay.engine import FREE_WHILE_WAITING, LEAST_PLANNED_SECONDS
from dcbudget.models.replay.profile import earliest, forget_before, take
from dcbudget.models.replay.queues import EVENTS, FIRST, FREE, HISTORY, LAST, enqueue, pop_event, push_event, waiting


@inner
def _run(s, arrivals, history, profile, promised, reserved):
    """Replay one pool, see `run`."""
    n, arrived, last = len(arrivals), 0, 0.0
    late = np.empty(len(s.events), np.int64)
    next_start = np.inf
    hole = -1.0
    while True:
        time = next_start
        if s.count[EVENTS] > 0:
            time = min(time, s.events[0].time)
        if arrived < n:
            time = min(time, s.jobs[arrivals[arrived]].submit)
        if time == np.inf:
            return
        if waiting(s) > 0:
            s.seconds[FREE_WHILE_WAITING] += s.count[FREE] * (time - last)
        last = time
        forget_before(profile, time)
        overdue, opened = 0, -1.0
        while s.count[EVENTS] > 0 and s.events[0].time <= time:
            job = s.events[0].job
            pop_event(s)
            one = s.jobs[job]
            if one.start + one.elapsed > time:
                late[overdue] = job
                overdue += 1
                continue
            one.end = time
            s.count[FREE] += one.units
            row = history[s.count[HISTORY]]
            row[0], row[1], row[2], row[3], row[4] = job, 0, one.units, one.start, time
            s.count[HISTORY] += 1
            if one.expected > time:
                take(profile, time, one.expected, -one.units)
                opened = max(opened, one.expected)
        if overdue > 0:
            _promise_anew(s, time, late[:overdue], profile, reserved)
            hole = np.inf
        elif opened >= 0:
            hole = _move_up(s, max(opened, hole), opened, profile, reserved)
        while arrived < n and s.jobs[arrivals[arrived]].submit <= time:
            job = arrivals[arrived]
            arrived += 1
            _promise(s, job, profile, reserved)
            promised[job] = reserved[job]
            enqueue(s, job)
            next_start = min(next_start, reserved[job])
        if overdue > 0 or opened >= 0 or next_start <= time:
            next_start = _start(s, time, reserved)


@inner
def _planned(job):
    return max(job.planned, LEAST_PLANNED_SECONDS)


@inner
def _start(s, time, reserved):
    """Start those whose promised time has come; returns the next such time."""
    queue, count = s.queue, s.count
    kept, following = count[FIRST], np.inf
    for i in range(count[FIRST], count[LAST]):
        job = queue[i]
        if reserved[job] > time:
            queue[kept] = job
            kept += 1
            following = min(following, reserved[job])
            continue
        one = s.jobs[job]
        one.start = time
        one.expected = time + _planned(one)
        count[FREE] -= one.units
        push_event(s, min(time + one.elapsed, one.expected), job)
    count[LAST] = kept
    return following


@inner
def _move_up(s, hole, opened, profile, reserved):
    """Give each that waits, in order, the earliest start; returns the end of what they left open."""
    left = -1.0
    for i in range(s.count[FIRST], s.count[LAST]):
        job = s.queue[i]
        one = s.jobs[job]
        planned = _planned(one)
        begin = earliest(profile, planned, one.units, reserved[job], hole)
        if begin < reserved[job]:
            end = reserved[job] + planned
            hole, left = max(hole, end), max(left, end)
            take(profile, reserved[job], end, -one.units)
            take(profile, begin, begin + planned, one.units)
            reserved[job] = begin
    return left


@inner
def _promise_anew(s, time, late, profile, reserved):
    """Plan those that are late for longer, and then all that wait."""
    for i in range(s.count[FIRST], s.count[LAST]):
        job = s.queue[i]
        take(profile, reserved[job], reserved[job] + _planned(s.jobs[job]), -s.jobs[job].units)
    for job in late:
        one = s.jobs[job]
        end = time + (time - one.start)
        take(profile, time, end, one.units)
        one.expected = end
        push_event(s, min(one.start + one.elapsed, end), job)
    for i in range(s.count[FIRST], s.count[LAST]):
        _promise(s, s.queue[i], profile, reserved)


@inner
def _promise(s, job, profile, reserved):
    """Reserve the earliest start."""
    one, planned = s.jobs[job], _planned(s.jobs[job])
    reserved[job] = earliest(profile, planned, one.units, np.inf, np.inf)
    take(profile, reserved[job], reserved[job] + planned, one.units)


def _entry(sources):
    @njit(cache=True)
    def run(s, arrivals, history, profile, promised, reserved):
        """Replay one pool.

        Parameters
        ----------
        s : State, filled for the jobs, with all units on one node.
        arrivals : jobs by submission.
        history : array (jobs, 5); receives job, node, units, begin and end of everything that held GPUs.
        profile : Profile with all units free.
        promised, reserved : arrays by job; receive the start promised at submission, and the last one.
        """
        sources  # noqa: B018  makes them a part of the key of the compiled cache
        _run(s, arrivals, history, profile, promised, reserved)

    return run


run = _entry(SOURCES)

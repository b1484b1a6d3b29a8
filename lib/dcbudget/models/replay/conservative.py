"""The event loop under conservative backfill: each job is promised a start, in a profile of what is free when.

The profile is a step function, kept sorted in two arrays. A job that ends early leaves a hole; those that wait are then
moved, in their order, to the earliest start that they can have (Mu'alem and Feitelson 2001). A hole only helps a start
before its end, which bounds the search. A job that runs beyond its planned end is planned for twice as long as it was,
and all who wait are promised anew.
"""

import numpy as np
from numba import njit

from dcbudget.models.replay.compiled import SOURCES, inner
from dcbudget.models.replay.engine import FREE_WHILE_WAITING, LEAST_PLANNED_SECONDS
from dcbudget.models.replay.queues import EVENTS, FIRST, FREE, HISTORY, LAST, enqueue, pop_event, push_event, waiting

# Places in `mark`: the profile's first and last step; seconds of the next promised start.
BEGIN, STOP = range(2)


@inner
def _run(s, arrivals, history, at, free, promised, reserved):
    """Replay one pool, see `run`."""
    n, arrived, last = len(arrivals), 0, 0.0
    mark = np.array([0, 1])
    at[0], free[0] = 0.0, s.count[FREE]
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
        _forget_before(at, free, mark, time)
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
                _add(at, free, mark, time, one.expected, one.units)
                opened = max(opened, one.expected)
        if overdue > 0:
            _promise_anew(s, time, late[:overdue], at, free, mark, reserved)
            hole = np.inf
        elif opened >= 0:
            hole = _move_up(s, time, max(opened, hole), opened, at, free, mark, reserved)
        while arrived < n and s.jobs[arrivals[arrived]].submit <= time:
            job = arrivals[arrived]
            arrived += 1
            reserved[job] = _earliest(at, free, mark, time, _planned(s.jobs[job]), s.jobs[job].units)
            promised[job] = reserved[job]
            _take(s, job, at, free, mark, reserved, -1)
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
def _move_up(s, time, hole, opened, at, free, mark, reserved):
    """Give each that waits, in order, the earliest start; returns the end of what they left open."""
    left = -1.0
    for i in range(s.count[FIRST], s.count[LAST]):
        job = s.queue[i]
        one = s.jobs[job]
        begin = _sooner(at, free, mark, time, reserved[job], _planned(one), one.units, hole)
        if begin < reserved[job]:
            end = reserved[job] + _planned(one)
            hole, left = max(hole, end), max(left, end)
            _take(s, job, at, free, mark, reserved, 1)
            reserved[job] = begin
            _take(s, job, at, free, mark, reserved, -1)
    return left


@inner
def _promise_anew(s, time, late, at, free, mark, reserved):
    """Plan those that are late for longer, and then all that wait."""
    for i in range(s.count[FIRST], s.count[LAST]):
        _take(s, s.queue[i], at, free, mark, reserved, 1)
    for job in late:
        one = s.jobs[job]
        end = time + (time - one.start)
        _add(at, free, mark, time, end, -one.units)
        one.expected = end
        push_event(s, min(one.start + one.elapsed, end), job)
    for i in range(s.count[FIRST], s.count[LAST]):
        job = s.queue[i]
        reserved[job] = _earliest(at, free, mark, time, _planned(s.jobs[job]), s.jobs[job].units)
        _take(s, job, at, free, mark, reserved, -1)


@inner
def _take(s, job, at, free, mark, reserved, sign):
    """Take (-1) what a job is promised from the profile, or give it back (1)."""
    one = s.jobs[job]
    _add(at, free, mark, reserved[job], reserved[job] + _planned(one), sign * one.units)


@inner
def _step(at, mark, time):
    """The step that holds at a moment."""
    low, high = mark[BEGIN], mark[STOP]
    while high - low > 1:
        middle = (low + high) // 2
        if at[middle] <= time:
            low = middle
        else:
            high = middle
    return low


@inner
def _forget_before(at, free, mark, time):
    while mark[STOP] - mark[BEGIN] > 1 and at[mark[BEGIN] + 1] <= time:
        mark[BEGIN] += 1
    at[mark[BEGIN]] = max(at[mark[BEGIN]], time)


@inner
def _split(at, free, mark, time):
    """Begin a step at a moment, if none does; returns it."""
    k = _step(at, mark, time)
    if at[k] == time:
        return k
    if mark[STOP] == len(at):
        steps = mark[STOP] - mark[BEGIN]
        for i in range(steps):
            at[i], free[i] = at[mark[BEGIN] + i], free[mark[BEGIN] + i]
        k -= mark[BEGIN]
        mark[BEGIN], mark[STOP] = 0, steps
    for i in range(mark[STOP], k + 1, -1):
        at[i], free[i] = at[i - 1], free[i - 1]
    mark[STOP] += 1
    at[k + 1], free[k + 1] = time, free[k]
    return k + 1


@inner
def _add(at, free, mark, begin, end, units):
    """Change what is free from one moment to another."""
    last = _split(at, free, mark, end)
    steps = mark[STOP] - mark[BEGIN]
    first = _split(at, free, mark, begin)
    last += mark[STOP] - mark[BEGIN] - steps
    if at[last] != end:
        last = _step(at, mark, end)
    for k in range(first, last):
        free[k] += units
    _join(at, free, mark, last)
    _join(at, free, mark, first)


@inner
def _join(at, free, mark, k):
    """Make one step of two that are alike."""
    if k > mark[BEGIN] and free[k] == free[k - 1]:
        for i in range(k, mark[STOP] - 1):
            at[i], free[i] = at[i + 1], free[i + 1]
        mark[STOP] -= 1


@inner
def _earliest(at, free, mark, time, planned, units):
    """The first moment from `time` on at which so many units are free for so long."""
    begin = time
    for k in range(mark[BEGIN], mark[STOP] - 1):
        if free[k] < units:
            begin = at[k + 1]
        elif at[k + 1] >= begin + planned:
            return begin
    return begin


@inner
def _sooner(at, free, mark, time, reserved, planned, units, hole):
    """The first moment before the reserved one at which a job fits that gives that one up, else the reserved one.

    What is free beside the job's own reservation counts; within that, there is enough. From the end of the hole on,
    nothing has come free since the reservation was made.
    """
    begin = time
    for k in range(mark[BEGIN], mark[STOP]):
        if at[k] >= reserved:
            return begin
        if free[k] < units:
            if k + 1 == mark[STOP] or at[k + 1] >= reserved or at[k + 1] >= hole:
                return reserved
            begin = at[k + 1]
        elif k + 1 < mark[STOP] and at[k + 1] >= begin + planned:
            return begin
    return reserved


def _entry(sources):
    @njit(cache=True)
    def run(s, arrivals, history, at, free, promised, reserved):
        """Replay one pool.

        Parameters
        ----------
        s : State, filled for the jobs, with all units on one node.
        arrivals : jobs by submission.
        history : array (jobs, 5); receives job, node, units, begin and end of everything that held GPUs.
        at, free : arrays of at least 4 x jobs + 4, for the profile.
        promised, reserved : arrays by job; receive the start promised at submission, and the last one.
        """
        sources  # noqa: B018  makes them a part of the key of the compiled cache
        _run(s, arrivals, history, at, free, promised, reserved)

    return run


run = _entry(SOURCES)

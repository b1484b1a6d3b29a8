"""The event loop under conservative backfill: each job is promised a start, in a profile of what is free when.

A job that ends early leaves a hole; those that wait are then moved, in their order, to the earliest start that they can
have (Mu'alem and Feitelson 2001). A hole only helps a start before its end, which bounds the search. A job that runs
beyond its planned end is planned for twice as long as it was, and all who wait are promised anew. Where nodes are told
apart, a promise is of nodes too, see `promised_nodes`.
"""

import numpy as np
from numba import njit

from dcbudget.models.replay.compiled import SOURCES, inner
from dcbudget.models.replay.engine import FREE_WHILE_WAITING, pass_time
from dcbudget.models.replay.openings import open_up
from dcbudget.models.replay.profile import earliest, forget_before, take
from dcbudget.models.replay.promised_nodes import find, give_up, hold, move_up, planned_seconds, promise
from dcbudget.models.replay.queues import EVENTS, FIRST, FREE, HISTORY, LAST, enqueue, pop_event, push_event, waiting


@inner
def _run(s, arrivals, history, profile, promised, reserved, late, openings):
    """Replay one pool, see `run`."""
    n, arrived, last = len(arrivals), 0, 0.0
    next_start = np.inf
    # until when something has come free since all who wait were last moved
    hole = -1.0
    while True:
        time = next_start
        if s.count[EVENTS] > 0:
            time = min(time, s.events[0].time)
        if arrived < n:
            time = min(time, s.jobs[arrivals[arrived]].submit)
        if time == np.inf:
            return
        if openings is not None:
            pass_time(s, time - last)
        else:
            if waiting(s) > 0:
                s.seconds[FREE_WHILE_WAITING] += s.count[FREE] * (time - last)
            forget_before(profile, 0, time)
        last = time
        overdue, opened = 0, False
        while s.count[EVENTS] > 0 and s.events[0].time <= time:
            job = s.events[0].job
            pop_event(s)
            one = s.jobs[job]
            if one.start + one.elapsed > time:
                late[overdue] = job
                overdue += 1
                continue
            opened = opened or one.expected > time
            hole = max(hole, _end(s, job, time, profile, history, openings))
        if overdue > 0:
            _promise_anew(s, time, late[:overdue], profile, reserved, openings)
            hole = -1.0
            if openings is not None:
                openings.hole[:] = -1.0
        elif opened:
            if openings is not None:
                move_up(s, profile, time, reserved, openings)
            else:
                hole = _move_up(s, hole, profile, reserved)
        while arrived < n and s.jobs[arrivals[arrived]].submit <= time:
            job = arrivals[arrived]
            arrived += 1
            _promise(s, job, time, profile, reserved, openings)
            promised[job] = reserved[job]
            enqueue(s, job)
            next_start = min(next_start, reserved[job])
        if overdue > 0 or opened or next_start <= time:
            next_start = _start(s, time, reserved)


@inner
def _end(s, job, time, profile, history, openings):
    """Free what a job held, and what was promised it beyond that; returns until when."""
    one = s.jobs[job]
    one.end = time
    s.count[FREE] += one.units
    piece = one.piece
    while True:
        row = history[s.count[HISTORY]]
        row[0], row[1], row[2], row[3], row[4] = job, 0, one.units, one.start, time
        s.count[HISTORY] += 1
        if openings is None:
            break
        row[1], row[2] = s.pieces[piece].node, s.pieces[piece].units
        s.nodes[s.pieces[piece].node].free += s.pieces[piece].units
        piece = s.pieces[piece].next
        if piece < 0:
            break
    if one.expected > time:
        _reserve(s, job, time, one.expected, -1, profile, time, openings)
        if openings is not None:
            open_up(s, job, one.expected, openings.hole)
    if openings is not None:
        give_up(s, job)
    return one.expected


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
        one.expected = time + planned_seconds(one)
        count[FREE] -= one.units
        piece = one.piece
        while piece >= 0:
            s.nodes[s.pieces[piece].node].free -= s.pieces[piece].units
            piece = s.pieces[piece].next
        push_event(s, min(time + one.elapsed, one.expected), job)
    count[LAST] = kept
    return following


@inner
def _move_up(s, hole, profile, reserved):
    """Give each that waits, in order, the earliest start; returns the end of what they left open."""
    left = -1.0
    for i in range(s.count[FIRST], s.count[LAST]):
        job = s.queue[i]
        one = s.jobs[job]
        planned = planned_seconds(one)
        begin = earliest(profile, 0, planned, one.units, 0.0, reserved[job], hole, reserved[job])
        if begin < reserved[job]:
            end = reserved[job] + planned
            hole, left = max(hole, end), max(left, end)
            take(profile, 0, reserved[job], end, -one.units)
            take(profile, 0, begin, begin + planned, one.units)
            reserved[job] = begin
    return left


@inner
def _promise_anew(s, time, late, profile, reserved, openings):
    """Plan those that are late for longer, and then all that wait."""
    for i in range(s.count[FIRST], s.count[LAST]):
        job = s.queue[i]
        _reserve(s, job, reserved[job], reserved[job] + planned_seconds(s.jobs[job]), -1, profile, time, openings)
        if openings is not None:
            give_up(s, job)
    for job in late:
        one = s.jobs[job]
        end = time + (time - one.start)
        _reserve(s, job, time, end, 1, profile, time, openings)
        one.expected = end
        push_event(s, min(one.start + one.elapsed, end), job)
    for i in range(s.count[FIRST], s.count[LAST]):
        _promise(s, s.queue[i], time, profile, reserved, openings)


@inner
def _reserve(s, job, begin, end, sign, profile, time, openings):
    """Take what a job has for a while (1), or give it back (-1)."""
    if openings is not None:
        hold(s, profile, job, begin, end, sign, time, openings)
    else:
        take(profile, 0, begin, end, sign * s.jobs[job].units)


@inner
def _promise(s, job, time, profile, reserved, openings):
    """Reserve the earliest start."""
    one, planned = s.jobs[job], planned_seconds(s.jobs[job])
    if openings is not None:
        reserved[job], pieces = find(s, profile, job, planned, time, np.inf, openings)
        promise(s, profile, job, planned, reserved[job], pieces, time, openings)
    else:
        reserved[job] = earliest(profile, 0, planned, one.units, 0.0, np.inf, np.inf, np.inf)
        take(profile, 0, reserved[job], reserved[job] + planned, one.units)


def _entry(sources):
    @njit(cache=True)
    def run(s, arrivals, history, profile, promised, reserved, openings):
        """Replay one pool.

        Parameters
        ----------
        s : State, filled for the jobs; all units on one node where they are only counted.
        arrivals : jobs by submission.
        history : array (pieces, 5); receives job, node, units, begin and end of everything that held GPUs.
        profile : Profile with all units free.
        promised, reserved : arrays by job; receive the start promised at submission, and the last one.
        openings : Openings of the nodes; None where GPUs are only counted, which is compiled apart.
        """
        sources  # noqa: B018  makes them a part of the key of the compiled cache
        _run(s, arrivals, history, profile, promised, reserved, np.empty(len(s.events), np.int64), openings)

    return run


run = _entry(SOURCES)

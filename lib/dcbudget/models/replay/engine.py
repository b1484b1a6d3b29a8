"""The event loop of one pool: jobs arrive, start, end and are preempted."""

import math

import numpy as np
from numba import njit

from dcbudget.models.replay.compiled import SOURCES, inner, maker
from dcbudget.models.replay.nodes import BOTH, LATER, NOW, choose
from dcbudget.models.replay.queues import (
    DEPTH,
    EASY,
    EVENTS,
    FAIR,
    FREE,
    FREE_PIECE,
    HISTORY,
    PER_NODE,
    PREEMPTIVE,
    RUNNING,
    SPREAD,
    WHOLE,
    add_running,
    dequeue,
    enqueue,
    forget_event,
    line_up,
    pop_event,
    push_event,
    remove_running,
    waiting,
    waits_at,
)  # fmt: skip

# Places in `State.seconds`: unit-seconds that GPUs were free while jobs waited, free on nodes in part use, and free
# while nodes alone kept the head waiting; parameters of checkpoints and of fair share.
FREE_WHILE_WAITING, FREE_IN_PARTS, HELD_BY_NODES, INTERVAL, RESTART, HALF_LIFE, SHADOW = range(7)
# The shortest time that a job is planned for.
LEAST_PLANNED_SECONDS = 1e-3


@maker
def _run(s, arrivals, history):
    """Replay one pool, see `run`."""
    n, arrived, last = len(arrivals), 0, 0.0
    while True:
        time = np.inf
        if s.count[EVENTS] > 0:
            time = s.events[0].time
        if arrived < n:
            time = min(time, s.jobs[arrivals[arrived]].submit)
        if time == np.inf:
            return history
        pass_time(s, time - last)
        last = time
        if len(history) < s.count[HISTORY] + len(s.pieces):
            grown = np.empty((2 * len(history) + len(s.pieces), 5))
            grown[: s.count[HISTORY]] = history[: s.count[HISTORY]]
            history = grown
        ended = False
        while s.count[EVENTS] > 0 and s.events[0].time <= time:
            job = s.events[0].job
            pop_event(s)
            s.jobs[job].end = time
            s.jobs[job].restarted += s.jobs[job].overhead
            _release(s, job, time, history)
            ended = True
        first_new = n
        while arrived < n and s.jobs[arrivals[arrived]].submit <= time:
            first_new = min(first_new, enqueue(s, arrivals[arrived]))
            arrived += 1
        _schedule(s, time, ended, first_new, history)


@inner
def pass_time(s, elapsed):
    """Count what held until now."""
    if elapsed <= 0:
        return
    free, per_node = s.count[FREE], s.rule[PER_NODE]
    if free > 0:
        empty = 0
        for i in range(len(s.nodes)):
            if s.nodes[i].free == per_node:
                empty += per_node
        s.seconds[FREE_IN_PARTS] += (free - empty) * elapsed
        if waiting(s) > 0:
            s.seconds[FREE_WHILE_WAITING] += free * elapsed
            if s.jobs[waits_at(s, 0)].units <= free:
                s.seconds[HELD_BY_NODES] += free * elapsed
    if s.rule[FAIR]:
        decay = elapsed * math.log(2.0) / s.seconds[HALF_LIFE]
        for a in range(len(s.accounts)):
            gained = s.accounts[a].holding * (-math.expm1(-decay)) * s.seconds[HALF_LIFE] / math.log(2.0)
            s.accounts[a].usage = s.accounts[a].usage * math.exp(-decay) + gained


@inner
def _release(s, job, time, history):
    """Take a running job off its nodes."""
    count = s.count
    piece = s.jobs[job].piece
    while piece >= 0:
        row = history[count[HISTORY]]
        row[0], row[1], row[2] = job, s.pieces[piece].node, s.pieces[piece].units
        row[3], row[4] = s.jobs[job].begun, time
        count[HISTORY] += 1
        s.nodes[s.pieces[piece].node].free += s.pieces[piece].units
        following = s.pieces[piece].next
        s.pieces[piece].next = count[FREE_PIECE]
        count[FREE_PIECE] = piece
        piece = following
    s.jobs[job].piece = -1
    count[FREE] += s.jobs[job].units
    s.accounts[s.jobs[job].account].holding -= s.jobs[job].units
    if s.rule[EASY] or s.rule[PREEMPTIVE]:
        remove_running(s, job)


@inner
def _begin(s, job, pieces, time):
    """Start a job on the nodes that were chosen."""
    count = s.count
    s.jobs[job].piece = -1
    for k in range(pieces - 1, -1, -1):
        piece = count[FREE_PIECE]
        count[FREE_PIECE] = s.pieces[piece].next
        s.pieces[piece].node, s.pieces[piece].units = s.choice[k].node, s.choice[k].part
        s.pieces[piece].next = s.jobs[job].piece
        s.jobs[job].piece = piece
        s.nodes[s.choice[k].node].free -= s.choice[k].part
    count[FREE] -= s.jobs[job].units
    s.accounts[s.jobs[job].account].holding += s.jobs[job].units
    if s.jobs[job].preemptions == 0:
        s.jobs[job].start = time
        s.jobs[job].overhead = 0.0
    else:
        s.jobs[job].overhead = s.seconds[RESTART]
    s.jobs[job].begun = time
    s.jobs[job].expected = time + s.jobs[job].overhead + _to_plan(s.jobs[job])
    push_event(s, time + s.jobs[job].overhead + s.jobs[job].left, job)
    if s.rule[EASY] or s.rule[PREEMPTIVE]:
        add_running(s, job)


@inner
def _to_plan(job):
    """Seconds that a job is planned for from its next start on, but a restart."""
    return max(job.planned - (job.elapsed - job.left), LEAST_PLANNED_SECONDS)


@inner
def _fit(s, when, job):
    """Nodes for a job in what is free now, later, or both; 0 where it does not fit."""
    rule = s.rule
    return choose(s.nodes, when, rule[PER_NODE], s.jobs[job].units, rule[SPREAD], rule[WHOLE], s.choice)


@inner
def _look_ahead(s):
    for i in range(len(s.nodes)):
        s.nodes[i].later = s.nodes[i].free


@inner
def _schedule(s, time, ended, first_new, history):
    """Start what may start now."""
    if waiting(s) == 0:
        return
    if s.rule[FAIR]:
        line_up(s)
    # behind a head that still waits, only those that have just come may start
    fixed = not (s.rule[PREEMPTIVE] or s.rule[FAIR] or (s.rule[EASY] and s.seconds[SHADOW] < time))
    again = fixed and not ended and first_new > 0
    if not again:
        while waiting(s) > 0:
            head = waits_at(s, 0)
            pieces = _fit(s, NOW, head) if s.jobs[head].units <= s.count[FREE] else 0
            if pieces == 0 and s.rule[PREEMPTIVE]:
                pieces = _make_room(s, head, time, history)
            if pieces == 0:
                break
            # what was preempted waits behind the head, which has the higher class
            dequeue(s, 0)
            _begin(s, head, pieces, time)
    if not s.rule[EASY]:
        return
    if waiting(s) < 2:
        s.seconds[SHADOW] = -1.0
        return
    if not again:
        s.seconds[SHADOW] = _shadow(s, time)
        first_new = 1
    _backfill(s, time, first_new)


@inner
def _shadow(s, time):
    """When the head will start by planned ends; leaves in `later` what is free then beside it."""
    head = waits_at(s, 0)
    total = s.count[FREE]
    _look_ahead(s)
    shadow = time
    k = 0
    while k < s.count[RUNNING]:
        shadow = max(s.running[k].time, time)
        while k < s.count[RUNNING] and s.running[k].time <= shadow:
            piece = s.jobs[s.running[k].job].piece
            while piece >= 0:
                s.nodes[s.pieces[piece].node].later += s.pieces[piece].units
                piece = s.pieces[piece].next
            total += s.jobs[s.running[k].job].units
            k += 1
        if total >= s.jobs[head].units:
            pieces = _fit(s, LATER, head)
            if pieces > 0:
                for i in range(pieces):
                    s.nodes[s.choice[i].node].later -= s.choice[i].part
                return shadow
    return shadow


@inner
def _rooms(s, when):
    """The most that one node has, and how many nodes are empty."""
    most, empty = 0, 0
    for i in range(len(s.nodes)):
        room = s.nodes[i].free if when == NOW else min(s.nodes[i].free, s.nodes[i].later)
        most = max(most, room)
        empty += room == s.rule[PER_NODE]
    return most, empty


@inner
def _may_fit(s, job, rooms):
    """Whether it is worth looking for nodes."""
    units, per_node = s.jobs[job].units, s.rule[PER_NODE]
    if units <= per_node:
        return units <= rooms[0]
    return not s.rule[WHOLE] or units // per_node <= rooms[1]


@inner
def _backfill(s, time, place):
    """Start those behind the head that do not delay it."""
    shadow = s.seconds[SHADOW]
    many, known = min(waiting(s), s.rule[DEPTH] + 1) - place > 2, False
    now, both = (0, 0), (0, 0)
    while place < waiting(s) and place <= s.rule[DEPTH] and s.count[FREE] > 0:
        job = waits_at(s, place)
        pieces = 0
        if many and not known:
            now, both, known = _rooms(s, NOW), _rooms(s, BOTH), True
        if s.jobs[job].units <= s.count[FREE]:
            beyond = time + _to_plan(s.jobs[job]) > shadow
            if not many or _may_fit(s, job, both if beyond else now):
                pieces = _fit(s, BOTH if beyond else NOW, job)
        if pieces == 0:
            place += 1
            continue
        if beyond:
            for k in range(pieces):
                s.nodes[s.choice[k].node].later -= s.choice[k].part
            if len(s.nodes) > 1:
                # the head may be given other nodes now, so plan again at the next event
                s.seconds[SHADOW] = -1.0
        dequeue(s, place)
        _begin(s, job, pieces, time)
        known = False


@maker
def _make_room(s, head, time, history):
    """Preempt as few jobs of lower classes as the head needs; returns its nodes, 0 where all of them do not suffice."""
    count = s.count
    n = count[RUNNING]
    most = count[FREE]
    for k in range(n):
        if s.jobs[s.running[k].job].klass < s.jobs[head].klass:
            most += s.jobs[s.running[k].job].units
    if most < s.jobs[head].units:
        return 0
    victims = np.empty(n, np.int64)
    found = 0
    _look_ahead(s)
    pieces = 0
    taken = np.zeros(n, np.bool_)
    while pieces == 0:
        victim = -1
        for k in range(n):
            job = s.running[k].job
            if taken[k] or s.jobs[job].klass >= s.jobs[head].klass:
                continue
            if victim < 0 or _rather(s, job, s.running[victim].job):
                victim = k
        if victim < 0:
            return 0
        taken[victim] = True
        victims[found] = s.running[victim].job
        found += 1
        _give(s, victims[found - 1], 1)
        pieces = _fit(s, LATER, head)
    # who is not needed after all keeps its GPUs
    for k in range(found - 2, -1, -1):
        _give(s, victims[k], -1)
        if _fit(s, LATER, head) == 0:
            _give(s, victims[k], 1)
        else:
            victims[k] = -1
    for k in range(found):
        if victims[k] >= 0:
            _preempt(s, victims[k], time, history)
    return _fit(s, NOW, head)


@inner
def _rather(s, job, other):
    """Whether a job is preempted before another: lower class, then later begun, then later in the line."""
    if s.jobs[job].klass != s.jobs[other].klass:
        return s.jobs[job].klass < s.jobs[other].klass
    if s.jobs[job].begun != s.jobs[other].begun:
        return s.jobs[job].begun > s.jobs[other].begun
    return job > other


@inner
def _give(s, job, sign):
    piece = s.jobs[job].piece
    while piece >= 0:
        s.nodes[s.pieces[piece].node].later += sign * s.pieces[piece].units
        piece = s.pieces[piece].next


@inner
def _preempt(s, job, time, history):
    """Stop a running job; it keeps its work up to the last checkpoint, and waits again."""
    ran = time - s.jobs[job].begun
    done = s.jobs[job].elapsed - s.jobs[job].left + max(ran - s.jobs[job].overhead, 0.0)
    kept = done
    if s.seconds[INTERVAL] == np.inf:
        kept = 0.0
    elif s.seconds[INTERVAL] > 0:
        kept = math.floor(done / s.seconds[INTERVAL]) * s.seconds[INTERVAL]
    kept = max(kept, s.jobs[job].elapsed - s.jobs[job].left)
    s.jobs[job].lost += done - kept
    s.jobs[job].restarted += min(ran, s.jobs[job].overhead)
    s.jobs[job].left = s.jobs[job].elapsed - kept
    s.jobs[job].preemptions += 1
    forget_event(s, job)
    _release(s, job, time, history)
    enqueue(s, job)


def _entry(sources):
    @njit(cache=True)
    def run(s, arrivals, history):
        """Replay one pool.

        Parameters
        ----------
        s : State, filled for the jobs, with all nodes free.
        arrivals : jobs by submission.
        history : array (rows, 5); receives job, node, units, begin and end of everything that held GPUs. It grows.

        Returns
        -------
        the history, which `count[HISTORY]` rows are of.
        """
        sources  # noqa: B018  makes them a part of the key of the compiled cache
        return _run(s, arrivals, history)

    return run


run = _entry(SOURCES)

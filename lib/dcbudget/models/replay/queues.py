"""What the event loop keeps in order: the jobs that wait, those that run, and the ends to come."""

from typing import NamedTuple

import numpy as np

from dcbudget.models.replay.compiled import inner

# Places in `State.count`.
FIRST, LAST, EVENTS, RUNNING, FREE_PIECE, HISTORY, FREE, LINE = range(8)
# Places in `State.rule`.
SPREAD, WHOLE, EASY, DEPTH, PREEMPTIVE, FAIR, PER_NODE = range(7)


JOB = np.dtype(
    [(name, np.float64) for name in ("submit", "elapsed", "planned", "start", "end", "begun", "expected", "left",
                                     "lost", "overhead", "restarted")]
    + [(name, np.int64) for name in ("units", "klass", "account", "preemptions", "piece")],
    align=True,
)  # fmt: skip
ENTRY = np.dtype([("time", np.float64), ("job", np.int64)], align=True)
NODE = np.dtype([("free", np.int64), ("later", np.int64)], align=True)
CHOICE = np.dtype([("node", np.int64), ("part", np.int64)], align=True)
PIECE = np.dtype([("node", np.int64), ("units", np.int64), ("next", np.int64)], align=True)
ACCOUNT = np.dtype(
    [(name, np.float64) for name in ("usage", "holding", "share")]
    + [(name, np.int64) for name in ("ordered", "room", "level", "next")],
    align=True,
)


class State(NamedTuple):
    """One pool's replay. Jobs are numbered by the order in which they wait, so that the lesser goes first.

    Attributes
    ----------
    jobs : `submit`, `elapsed`, `planned` [seconds], `units`, `klass`, `account`; first `start`, last `end`, `begun` (of
        what runs now), `expected` (its planned end), `left` and `lost` [seconds of work], `overhead` (restart within
        what runs now), `restarted` [seconds], `preemptions`, `piece` (the first of what it holds).
    queue : those that wait, `queue[count[FIRST]:count[LAST]]`.
    line : the same by fair share, from `count[LINE]` on.
    events : a heap of the ends to come.
    running : those that run, by planned end.
    nodes : units `free` now, and `later`, when the head of the queue is planned to start.
    choice : nodes that were found for a job, and units on each.
    pieces : what jobs hold on nodes, linked.
    accounts : `usage` (units x seconds, decayed), units in `holding`, `share`, and what `line_up` counts.
    count, rule, seconds : single values, by the names above and those of `engine`.
    """

    jobs: np.ndarray
    queue: np.ndarray
    line: np.ndarray
    events: np.ndarray
    running: np.ndarray
    nodes: np.ndarray
    choice: np.ndarray
    pieces: np.ndarray
    accounts: np.ndarray
    count: np.ndarray
    rule: np.ndarray
    seconds: np.ndarray


@inner
def enqueue(s, job):
    """Put a job among those that wait; returns its place, 0 first."""
    count, queue = s.count, s.queue
    if count[LAST] == len(queue):
        waiting = count[LAST] - count[FIRST]
        for i in range(waiting):
            queue[i] = queue[count[FIRST] + i]
        count[FIRST], count[LAST] = 0, waiting
    at = _place(queue, count[FIRST], count[LAST], job)
    for i in range(count[LAST], at, -1):
        queue[i] = queue[i - 1]
    queue[at] = job
    count[LAST] += 1
    return at - count[FIRST]


@inner
def waiting(s):
    """How many jobs wait."""
    return s.count[LAST] - s.count[FIRST]


@inner
def waits_at(s, place):
    """The job at a place of the line, 0 first."""
    return s.line[s.count[LINE] + place] if s.rule[FAIR] else s.queue[s.count[FIRST] + place]


@inner
def dequeue(s, place):
    """Take the job at a place of the line out of it."""
    count, queue = s.count, s.queue
    at = count[FIRST] + place
    if s.rule[FAIR]:
        job = s.line[count[LINE] + place]
        for i in range(count[LINE] + place, count[LINE], -1):
            s.line[i] = s.line[i - 1]
        count[LINE] += 1
        at = _place(queue, count[FIRST], count[LAST], job)
    for i in range(at, count[FIRST], -1):
        queue[i] = queue[i - 1]
    count[FIRST] += 1


@inner
def _place(values, low, high, value):
    """Where a value goes among sorted ones: the first that is not less."""
    if high > low and values[high - 1] < value:
        return high
    while low < high:
        middle = (low + high) // 2
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@inner
def line_up(s):
    """Order the line by the use of each job's account, as part of its share."""
    accounts, count = s.accounts, s.count
    n = waiting(s)
    for i in range(len(accounts)):
        accounts[i].room = 0
    for i in range(n):
        accounts[s.jobs[s.queue[count[FIRST] + i]].account].room += 1
    # accounts by use: few change places from one time to the next
    for i in range(1, len(accounts)):
        at, account = i, accounts[i].ordered
        while at > 0 and _used(accounts[accounts[at - 1].ordered]) > _used(accounts[account]):
            accounts[at].ordered = accounts[at - 1].ordered
            at -= 1
        accounts[at].ordered = account
    # those of equal use share a part of the line, in which jobs keep their order
    begin, level, room = 0, 0, 0
    for i in range(len(accounts)):
        account = accounts[i].ordered
        if i > 0 and _used(accounts[account]) > _used(accounts[accounts[i - 1].ordered]):
            begin, level, room = begin + room, i, 0
        room += accounts[account].room
        accounts[account].level = level
        accounts[level].next = begin
    for i in range(n):
        job = s.queue[count[FIRST] + i]
        level = accounts[s.jobs[job].account].level
        s.line[accounts[level].next] = job
        accounts[level].next += 1
    count[LINE] = 0


@inner
def _used(account):
    return account.usage / account.share


@inner
def _sooner(a, b):
    return a.time < b.time or (a.time == b.time and a.job < b.job)


@inner
def push_event(s, time, job):
    """Note an end to come."""
    events = s.events
    at = s.count[EVENTS]
    s.count[EVENTS] += 1
    while at > 0:
        above = (at - 1) // 2
        if events[above].time < time or (events[above].time == time and events[above].job < job):
            break
        events[at] = events[above]
        at = above
    events[at].time = time
    events[at].job = job


@inner
def pop_event(s):
    """Forget the next end to come."""
    events = s.events
    s.count[EVENTS] -= 1
    n = s.count[EVENTS]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= n:
            break
        if below + 1 < n and _sooner(events[below + 1], events[below]):
            below += 1
        if _sooner(events[n], events[below]):
            break
        events[at] = events[below]
        at = below
    events[at] = events[n]


@inner
def forget_event(s, job):
    """Take a job's end out of those to come."""
    events = s.events
    at = 0
    while events[at].job != job:
        at += 1
    while at > 0:
        above = (at - 1) // 2
        events[at] = events[above]
        at = above
    pop_event(s)


@inner
def _place_of_run(s, time, job):
    low, high = 0, s.count[RUNNING]
    while low < high:
        middle = (low + high) // 2
        if s.running[middle].time < time or (s.running[middle].time == time and s.running[middle].job < job):
            low = middle + 1
        else:
            high = middle
    return low


@inner
def add_running(s, job):
    """Put a job among those that run, by its planned end."""
    at = _place_of_run(s, s.jobs[job].expected, job)
    for i in range(s.count[RUNNING], at, -1):
        s.running[i] = s.running[i - 1]
    s.running[at].time = s.jobs[job].expected
    s.running[at].job = job
    s.count[RUNNING] += 1


@inner
def remove_running(s, job):
    """Take a job from those that run."""
    at = _place_of_run(s, s.jobs[job].expected, job)
    s.count[RUNNING] -= 1
    for i in range(at, s.count[RUNNING]):
        s.running[i] = s.running[i + 1]

"""What has come free on nodes since those who wait were last moved, and what that can be worth to them.

Of each node on which something has come free, the longest time is known for which so much is free, from a moment on at
which something has come free. Most of those who wait see from the best of these alone that they gain nothing.
"""

from typing import NamedTuple

import numpy as np

from dcbudget.models.replay.compiled import inner
from dcbudget.models.replay.profile import earliest, forget_before
from dcbudget.models.replay.queues import PER_NODE

# What is free on a node is told apart in so many levels; where a node has no more units, exactly.
MOST_LEVELS = 16


class Openings(NamedTuple):
    """What is known of nodes, beside their profiles.

    Attributes
    ----------
    hole : array by node, until when something has come free there; in the past where nothing has.
    left : the same, of what has come free while those who wait were moved.
    opened : the nodes where something has; the first `count[0]`.
    longest, forever : array (nodes + 1, levels + 1); the longest time for which a level is free and the moment from
        which it is free for ever, -1 and inf where there is none; in the last row the best of all that are opened.
    since : array by level, for what is worked out.
    inner, last : array by node, the longest time for which all of it is free (inf where that is not known) but for the
        last such time, which begins at `last`.
    owner : array by node, the job which is looked at and has a promise there.
    fits, nearest : array by node, for what is worked out.
    count : array of 1.
    """

    hole: np.ndarray
    left: np.ndarray
    opened: np.ndarray
    longest: np.ndarray
    forever: np.ndarray
    since: np.ndarray
    inner: np.ndarray
    last: np.ndarray
    owner: np.ndarray
    fits: np.ndarray
    nearest: np.ndarray
    count: np.ndarray


def none(nodes: int, units: int) -> Openings:
    """Nothing is known yet of nodes with so many units each."""
    levels = int(min(units, MOST_LEVELS))
    return Openings(
        hole=np.full(nodes, -1.0), left=np.full(nodes, -1.0), opened=np.empty(nodes, np.int64),
        longest=np.empty((nodes + 1, levels + 1)), forever=np.empty((nodes + 1, levels + 1)),
        since=np.empty(levels + 1), inner=np.full(nodes, np.inf), last=np.zeros(nodes), owner=np.full(nodes, -1),
        fits=np.empty(nodes), nearest=np.empty(nodes), count=np.zeros(1, np.int64),
    )  # fmt: skip


@inner
def open_up(s, job, end, hole):
    """Note that something has come free, up to an end, on the nodes of a job."""
    piece = s.jobs[job].piece
    while piece >= 0:
        hole[s.pieces[piece].node] = max(hole[s.pieces[piece].node], end)
        piece = s.pieces[piece].next


@inner
def list_opened(s, profile, time, o):
    """Find the nodes on which something has come free, and what they are worth."""
    o.count[0] = 0
    for node in range(len(o.hole)):
        o.left[node] = -1.0
        if o.hole[node] > time:
            o.opened[o.count[0]] = node
            o.count[0] += 1
            forget_before(profile, node, time)
            _value(profile, node, s.rule[PER_NODE], o)
    best(o)


@inner
def leave(s, job, time, end, o):
    """Note that a job leaves its nodes, which it had up to an end."""
    piece = s.jobs[job].piece
    while piece >= 0:
        node = s.pieces[piece].node
        if o.hole[node] <= time:
            o.opened[o.count[0]] = node
            o.count[0] += 1
        o.hole[node], o.left[node] = max(o.hole[node], end), max(o.left[node], end)
        piece = s.pieces[piece].next


@inner
def value_again(s, profile, job, time, o):
    """Work out anew what the nodes of a job are worth, where something has come free."""
    piece = s.jobs[job].piece
    while piece >= 0:
        node = s.pieces[piece].node
        if o.hole[node] > time:
            _value(profile, node, s.rule[PER_NODE], o)
            for level in range(len(o.since)):
                o.longest[-1, level] = max(o.longest[-1, level], o.longest[node, level])
                o.forever[-1, level] = min(o.forever[-1, level], o.forever[node, level])
        piece = s.pieces[piece].next


@inner
def _value(p, node, per_node, o):
    """Work out for how long each level is free on a node, from a moment before the end of its hole."""
    levels = len(o.since) - 1
    longest, forever, hole = o.longest[node], o.forever[node], o.hole[node]
    longest[:], forever[:] = -1.0, np.inf
    level, free, block = -1, 0, p.heads[node]
    while block >= 0:
        for k in range(p.blocks[block].steps):
            free += p.change[block, k]
            now, at = free * levels // per_node, p.at[block, k]
            for each in range(now + 1, level + 1):
                if o.since[each] < hole:
                    longest[each] = max(longest[each], at - o.since[each])
            for each in range(level + 1, now + 1):
                o.since[each] = at
            level = now
        block = p.blocks[block].next
    for each in range(level + 1):
        if o.since[each] < hole:
            forever[each] = o.since[each]


@inner
def best(o):
    """Put together what all that are opened are worth."""
    longest, forever = o.longest[len(o.hole)], o.forever[len(o.hole)]
    longest[:], forever[:] = -1.0, np.inf
    for i in range(o.count[0]):
        node = o.opened[i]
        for level in range(len(longest)):
            longest[level] = max(longest[level], o.longest[node, level])
            forever[level] = min(forever[level], o.forever[node, level])


@inner
def may_gain(s, job, level, planned, time, reserved, o):
    """Whether it is worth looking for room for a part of a job before its reserved start."""
    if planned <= o.longest[-1, level] or o.forever[-1, level] < reserved:
        return True
    # what a job has itself may come after what has come free
    piece = s.jobs[job].piece
    while piece >= 0:
        if o.hole[s.pieces[piece].node] > time:
            return True
        piece = s.pieces[piece].next
    return False


@inner
def mark(s, job, owner, o):
    """Note on the nodes of a job who has them."""
    piece = s.jobs[job].piece
    while piece >= 0:
        o.owner[s.pieces[piece].node] = owner
        piece = s.pieces[piece].next


@inner
def soonest(profile, job, level, part, planned, reserved, o):
    """The first moment at which a node on which something has come free has room for a part; `reserved` without."""
    begin = reserved
    for i in range(o.count[0]):
        node = o.opened[i]
        if o.owner[node] == job:
            begin = earliest(profile, node, planned, part, 0.0, begin, o.hole[node], reserved)
        elif planned <= o.longest[node, level] or o.forever[node, level] < begin:
            begin = earliest(profile, node, planned, part, 0.0, begin, o.hole[node], np.inf)
    return begin

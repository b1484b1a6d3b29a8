"""Promises on nodes: each job that waits has nodes of its own from its promised start on, for as long as it is planned.

Nodes are chosen as by the other policies, by what is free on each for all that time. So nothing that is promised can be
in the way of anything else that is.
"""

import numpy as np

from dcbudget.models.replay.compiled import inner
from dcbudget.models.replay.engine import LEAST_PLANNED_SECONDS
from dcbudget.models.replay.nodes import LATER, choose
from dcbudget.models.replay.profile import earliest, earliest_from, forget_before, least, next_step, take
from dcbudget.models.replay.queues import FIRST, FREE_PIECE, LAST, PER_NODE, SPREAD, WHOLE


@inner
def planned_seconds(job):
    """How long a job is planned for."""
    return max(job.planned, LEAST_PLANNED_SECONDS)


@inner
def find(s, profile, job, planned, time, before, fits):
    """The first moment before another at which there are nodes for a job; leaves them in `choice`.

    Returns
    -------
    the moment and how many nodes; `before` and 0 where there is no such moment.
    """
    need, per_node = s.jobs[job].units, s.rule[PER_NODE]
    part, many = 1, 1
    if need <= per_node:
        part = need
    elif s.rule[WHOLE]:
        part, many = per_node, need // per_node
    begin = time
    while True:
        begin = _enough_nodes(profile, planned, part, many, begin, fits)
        if begin >= before:
            return before, 0
        for node in range(len(s.nodes)):
            s.nodes[node].later = least(profile, node, begin, begin + planned)
        pieces = choose(s.nodes, LATER, per_node, need, s.rule[SPREAD], s.rule[WHOLE], s.choice)
        if pieces > 0:
            return begin, pieces
        following = np.inf
        for node in range(len(s.nodes)):
            following = min(following, next_step(profile, node, begin))
        begin = following


@inner
def _enough_nodes(profile, planned, part, many, begin, fits):
    """The first moment at which so many nodes each have a part free for so long."""
    for node in range(len(fits)):
        fits[node] = earliest_from(profile, node, planned, part, begin)
    nearest = np.empty(many)
    while True:
        # before the last of the nearest, there are too few
        nearest[:] = np.inf
        for fit in fits:
            if fit < nearest[many - 1]:
                k = many - 1
                while k > 0 and nearest[k - 1] > fit:
                    nearest[k] = nearest[k - 1]
                    k -= 1
                nearest[k] = fit
        if nearest[many - 1] <= begin:
            return begin
        begin = nearest[many - 1]
        for node in range(len(fits)):
            if fits[node] < begin:
                fits[node] = earliest_from(profile, node, planned, part, begin)


@inner
def promise(s, profile, job, planned, begin, pieces, time):
    """Give a job the nodes that were chosen."""
    s.jobs[job].piece = -1
    for k in range(pieces - 1, -1, -1):
        piece = s.count[FREE_PIECE]
        s.count[FREE_PIECE] = s.pieces[piece].next
        s.pieces[piece].node, s.pieces[piece].units = s.choice[k].node, s.choice[k].part
        s.pieces[piece].next = s.jobs[job].piece
        s.jobs[job].piece = piece
    hold(s, profile, job, begin, begin + planned, 1, time)


@inner
def hold(s, profile, job, begin, end, sign, time):
    """Take what a job has from the nodes for a while (1), or give it back (-1)."""
    piece = s.jobs[job].piece
    while piece >= 0:
        forget_before(profile, s.pieces[piece].node, time)
        take(profile, s.pieces[piece].node, begin, end, sign * s.pieces[piece].units)
        piece = s.pieces[piece].next


@inner
def give_up(s, job):
    """Forget which nodes a job has."""
    piece = s.jobs[job].piece
    while piece >= 0:
        following = s.pieces[piece].next
        s.pieces[piece].next = s.count[FREE_PIECE]
        s.count[FREE_PIECE] = piece
        piece = following
    s.jobs[job].piece = -1


@inner
def open_up(s, job, end, hole):
    """Note that something has come free, up to an end, on the nodes of a job."""
    piece = s.jobs[job].piece
    while piece >= 0:
        hole[s.pieces[piece].node] = max(hole[s.pieces[piece].node], end)
        piece = s.pieces[piece].next


@inner
def move_up(s, profile, time, reserved, hole, fits):
    """Give each that waits, in order, the earliest start; leaves in `hole` what they left open, by node."""
    left = np.full(len(hole), -1.0)
    for node in range(len(hole)):
        if hole[node] > time:
            forget_before(profile, node, time)
    for i in range(s.count[FIRST], s.count[LAST]):
        job = s.queue[i]
        planned = planned_seconds(s.jobs[job])
        if not _may_gain(s, profile, job, planned, time, reserved[job], hole):
            continue
        end = reserved[job] + planned
        hold(s, profile, job, reserved[job], end, -1, time)
        begin, pieces = find(s, profile, job, planned, time, reserved[job], fits)
        if pieces == 0:
            hold(s, profile, job, reserved[job], end, 1, time)
            continue
        open_up(s, job, end, hole)
        open_up(s, job, end, left)
        give_up(s, job)
        promise(s, profile, job, planned, begin, pieces, time)
        reserved[job] = begin
    hole[:] = left


@inner
def _may_gain(s, profile, job, planned, time, reserved, hole):
    """Whether a node on which something has come free has room for a part of a job before its reserved start."""
    need, per_node = s.jobs[job].units, s.rule[PER_NODE]
    part = need
    if need > per_node:
        part = 1
        if s.rule[WHOLE]:
            part = per_node if need % per_node == 0 else need % per_node
    for node in range(len(hole)):
        if hole[node] > time and earliest(profile, node, planned, part, reserved, hole[node]) < reserved:
            return True
    return False

"""Promises on nodes: each job that waits has nodes of its own from its promised start on, for as long as it is planned.

Nodes are chosen as by the other policies, by what is free on each for all that time. So nothing that is promised can be
in the way of anything else that is. A job that is to start sooner needs a node on which something has come free; one
of a node at most needs no other.
"""

import numpy as np

from dcbudget.models.replay.compiled import inner
from dcbudget.models.replay.engine import LEAST_PLANNED_SECONDS
from dcbudget.models.replay.nodes import LATER, choose
from dcbudget.models.replay.openings import leave, list_opened, mark, may_gain, soonest, value_again
from dcbudget.models.replay.profile import earliest, forget_before, least, longest, next_step, take
from dcbudget.models.replay.queues import FIRST, FREE_PIECE, LAST, PER_NODE, SPREAD, WHOLE


@inner
def planned_seconds(job):
    """How long a job is planned for."""
    return max(job.planned, LEAST_PLANNED_SECONDS)


@inner
def find(s, profile, job, planned, begin, before, o):
    """The first moment, from one on and before another, at which there are nodes for a job; leaves them in `choice`.

    Returns
    -------
    the moment and how many nodes; `before` and 0 where there is no such moment.
    """
    per_node = s.rule[PER_NODE]
    part, many = _parts(s, job)
    while True:
        begin = enough_nodes(s, profile, job, planned, part, many, begin, before, False, o)
        if begin >= before:
            return before, 0
        enough = part * many == s.jobs[job].units
        for node in range(len(s.nodes)):
            if enough and o.fits[node] > begin:
                s.nodes[node].later = 0
            elif enough and part == per_node:
                s.nodes[node].later = per_node
            else:
                s.nodes[node].later = least(profile, node, begin, begin + planned)
        pieces = _choose(s, job)
        if pieces > 0:
            return begin, pieces
        following = np.inf
        for node in range(len(s.nodes)):
            following = min(following, next_step(profile, node, begin))
        begin = following


@inner
def _parts(s, job):
    """How many units a job needs on how many nodes at least."""
    need, per_node = s.jobs[job].units, s.rule[PER_NODE]
    if need <= per_node:
        return need, 1
    if s.rule[WHOLE]:
        return per_node, need // per_node
    return 1, 1


@inner
def _least_part(s, job):
    """The fewest units that a job can have on a node."""
    need, per_node = s.jobs[job].units, s.rule[PER_NODE]
    if need <= per_node:
        return need
    if s.rule[WHOLE]:
        return per_node if need % per_node == 0 else need % per_node
    return 1


@inner
def _choose(s, job):
    return choose(s.nodes, LATER, s.rule[PER_NODE], s.jobs[job].units, s.rule[SPREAD], s.rule[WHOLE], s.choice)


@inner
def enough_nodes(s, profile, job, planned, part, many, begin, before, own, o):
    """The first moment, from one on and before another, at which so many nodes each have a part free for so long.

    Returns
    -------
    the moment, `before` where there is none; in `fits` it, or a later moment, for the nodes.
    """
    _fit_all(s, profile, job, planned, part, begin, before, own, o)
    while True:
        # before the last of the nearest, there are too few
        nearest = _nearest(o, many, before)
        if nearest <= begin or nearest >= before:
            return nearest
        begin = nearest
        for node in range(len(o.fits)):
            if o.fits[node] < begin:
                o.fits[node] = earliest(profile, node, planned, part, begin, before, np.inf, np.inf)
        if own:
            _fit_own(s, profile, job, planned, part, begin, before, o)


@inner
def _fit_all(s, profile, job, planned, part, begin, before, own, o):
    """Work out in `fits` when each node has room, which is exact before the reserved start."""
    if part == s.rule[PER_NODE]:
        for node in range(len(o.fits)):
            o.fits[node] = max(begin, o.last[node])
        for node in range(len(o.fits)):
            if o.inner[node] >= planned:
                if o.inner[node] == np.inf:
                    o.inner[node], o.last[node] = longest(profile, node, part)
                o.fits[node] = max(begin, o.last[node])
                if o.inner[node] >= planned:
                    o.fits[node] = earliest(profile, node, planned, part, begin, before, np.inf, np.inf)
    else:
        for node in range(len(o.fits)):
            o.fits[node] = earliest(profile, node, planned, part, begin, before, np.inf, np.inf)
    if own:
        _fit_own(s, profile, job, planned, part, begin, before, o)


@inner
def _fit_own(s, profile, job, planned, part, begin, before, o):
    """The same of the nodes that a job has from `before` on."""
    piece = s.jobs[job].piece
    while piece >= 0:
        node = s.pieces[piece].node
        o.fits[node] = earliest(profile, node, planned, part, begin, before, np.inf, before)
        piece = s.pieces[piece].next


@inner
def _nearest(o, many, before):
    """The moment before another from which on so many nodes fit; that other where there is none."""
    count = 0
    for node in range(len(o.fits)):
        count += o.fits[node] < before
    if count < many:
        return before
    o.nearest[:many] = before
    for node in range(len(o.fits)):
        fit = o.fits[node]
        if fit < o.nearest[many - 1]:
            k = many - 1
            while k > 0 and o.nearest[k - 1] > fit:
                o.nearest[k] = o.nearest[k - 1]
                k -= 1
            o.nearest[k] = fit
    return o.nearest[many - 1]


@inner
def promise(s, profile, job, planned, begin, pieces, time, o):
    """Give a job the nodes that were chosen."""
    s.jobs[job].piece = -1
    for k in range(pieces - 1, -1, -1):
        piece = s.count[FREE_PIECE]
        s.count[FREE_PIECE] = s.pieces[piece].next
        s.pieces[piece].node, s.pieces[piece].units = s.choice[k].node, s.choice[k].part
        s.pieces[piece].next = s.jobs[job].piece
        s.jobs[job].piece = piece
    hold(s, profile, job, begin, begin + planned, 1, time, o)


@inner
def hold(s, profile, job, begin, end, sign, time, o):
    """Take what a job has from the nodes for a while (1), or give it back (-1)."""
    piece = s.jobs[job].piece
    while piece >= 0:
        node = s.pieces[piece].node
        forget_before(profile, node, time)
        take(profile, node, begin, end, sign * s.pieces[piece].units)
        o.inner[node] = np.inf
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
def move_up(s, profile, time, reserved, o):
    """Give each that waits, in order, the earliest start; leaves in `hole` what they left open, by node."""
    list_opened(s, profile, time, o)
    per_node = s.rule[PER_NODE]
    for i in range(s.count[FIRST], s.count[LAST]):
        job = s.queue[i]
        planned, part = planned_seconds(s.jobs[job]), _least_part(s, job)
        level = part * (len(o.since) - 1) // per_node
        if not may_gain(s, job, level, planned, time, reserved[job], o):
            continue
        mark(s, job, job, o)
        begin = soonest(profile, job, level, part, planned, reserved[job], o)
        if begin < reserved[job] and s.jobs[job].units > per_node:
            part, many = _parts(s, job)
            begin = enough_nodes(s, profile, job, planned, part, many, begin, reserved[job], True, o)
        mark(s, job, -1, o)
        if begin < reserved[job]:
            _move(s, profile, job, planned, time, begin, reserved, o)
    for node in range(len(o.hole)):
        o.hole[node] = o.left[node]


@inner
def _move(s, profile, job, planned, time, begin, reserved, o):
    """Give a job the earliest start from a moment on, where that is sooner than its own."""
    end = reserved[job] + planned
    hold(s, profile, job, reserved[job], end, -1, time, o)
    pieces = 1
    if s.jobs[job].units <= s.rule[PER_NODE]:
        for node in range(len(s.nodes)):
            s.nodes[node].later = 0
        for i in range(o.count[0]):
            node = o.opened[i]
            if o.hole[node] > begin:
                s.nodes[node].later = least(profile, node, begin, begin + planned)
        _choose(s, job)
    else:
        begin, pieces = find(s, profile, job, planned, begin, reserved[job], o)
        if pieces == 0:
            hold(s, profile, job, reserved[job], end, 1, time, o)
            return
    leave(s, job, time, end, o)
    value_again(s, profile, job, time, o)
    give_up(s, job)
    promise(s, profile, job, planned, begin, pieces, time, o)
    value_again(s, profile, job, time, o)
    reserved[job] = begin

"""Which nodes a job gets. GPUs are counted in whole units; where nodes do not matter, all GPUs are one node."""

from dcbudget.models.replay.compiled import inner

NOW, LATER, BOTH = 0, 1, 2


@inner
def choose(nodes, when, per_node, need, spread, whole, choice):
    """Find nodes for a job, in `choice`.

    A job of one node at most goes to the node where it leaves the least (pack) or the most free. A larger one takes
    empty nodes and one node for the rest (`whole`), or what the emptiest nodes have. Ties go to the first node.

    Parameters
    ----------
    nodes : units free on each.
    when : NOW, LATER or BOTH (the lesser of the two).
    per_node, need : units.
    spread, whole : flags.
    choice : receives the nodes and the units on each.

    Returns
    -------
    how many nodes; 0 where the job does not fit.
    """
    if need <= per_node:
        best = _one(nodes, when, need, spread, -1, choice, 0)
        if best < 0:
            return 0
        choice[0].node = best
        choice[0].part = need
        return 1
    if whole:
        return _whole(nodes, when, per_node, need, spread, choice)
    return _anywhere(nodes, when, need, choice)


@inner
def _room(one, when):
    if when == NOW:
        return one.free
    return one.later if when == LATER else min(one.free, one.later)


@inner
def _one(nodes, when, need, spread, per_node, taken, count):
    """The node for a part; with `per_node` above 0, none of the first `count` that are taken."""
    best, found = -1, 0
    for i in range(len(nodes)):
        room = _room(nodes[i], when)
        if room < need or (best >= 0 and (room <= found if spread else room >= found)):
            continue
        used = False
        if per_node > 0 and room == per_node:
            for k in range(count):
                used = used or taken[k].node == i
        if not used:
            best, found = i, room
    return best


@inner
def _whole(nodes, when, per_node, need, spread, choice):
    wanted = need // per_node
    count = 0
    for i in range(len(nodes)):
        if count == wanted:
            break
        if _room(nodes[i], when) == per_node:
            choice[count].node = i
            choice[count].part = per_node
            count += 1
    if count < wanted:
        return 0
    rest = need - wanted * per_node
    if rest > 0:
        best = _one(nodes, when, rest, spread, per_node, choice, count)
        if best < 0:
            return 0
        choice[count].node = best
        choice[count].part = rest
        count += 1
    return count


@inner
def _anywhere(nodes, when, need, choice):
    total = 0
    for i in range(len(nodes)):
        total += _room(nodes[i], when)
    if total < need:
        return 0
    count = 0
    while need > 0:
        best, found = -1, 0
        for i in range(len(nodes)):
            room = _room(nodes[i], when)
            if room <= found:
                continue
            used = False
            for k in range(count):
                used = used or choice[k].node == i
            if not used:
                best, found = i, room
        choice[count].node = best
        choice[count].part = min(found, need)
        need -= choice[count].part
        count += 1
    return count

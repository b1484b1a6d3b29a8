"""What is free when on each node: step functions of time, for schedules that promise.

Steps stand in blocks, by time. A block knows the sum, the lowest and the highest of its changes, so that a search
passes over those in which a job fits everywhere or nowhere, and a change moves few steps.
"""

from typing import NamedTuple

import numpy as np

from dcbudget.models.replay.compiled import inner

# Steps in a block. Two blocks of a node that follow each other hold more than half of that, but for the first.
WIDTH = 32
# Places in `mark`: the next block never used, and the first of those that are used no more.
UNUSED, SPARE = range(2)
BLOCK = np.dtype([(name, np.int64) for name in ("next", "steps", "sum", "low", "high")], align=True)


class Profile(NamedTuple):
    """Steps of what is free.

    Attributes
    ----------
    heads : the first block of each node.
    at : array (blocks, WIDTH), when each step begins [seconds]. The first is that of the last `forget_before`.
    change : array (blocks, WIDTH), units that come free with it; with the first, what is free then.
    blocks : `next` (-1 after the last), `steps`; the `sum` of its changes, the `low` and the `high` of their sums so
        far.
    mark : single values, by the names above.
    """

    heads: np.ndarray
    at: np.ndarray
    change: np.ndarray
    blocks: np.ndarray
    mark: np.ndarray


def empty(pieces: int, nodes: int, units: int) -> Profile:
    """All units of each node are free from 0 on; there is room for the starts and ends of so many pieces."""
    # two steps a piece, and more than a quarter of a block's width in each block but the first two of a node
    blocks = (2 * pieces + 2) * 4 // WIDTH + 3 * nodes + 1
    made = Profile(
        np.arange(nodes), np.empty((blocks, WIDTH)), np.empty((blocks, WIDTH), np.int64), np.empty(blocks, BLOCK),
        np.array([nodes, -1]),
    )  # fmt: skip
    made.at[:nodes, 0], made.change[:nodes, 0], made.blocks[:nodes] = 0.0, units, (-1, 1, units, units, units)
    return made


@inner
def earliest(p, node, planned, units, time, before, hole, own):
    """The first moment, from one on and before another, at which so many units are free for so long.

    From `own` on there is enough: there the job's own reservation begins, which it would give up. From the end of the
    hole on, nothing has come free since the reservation was made.

    Returns
    -------
    the moment; `before`, where there is none.
    """
    bound = min(before, hole)
    block = p.heads[node]
    begin, room = max(time, p.at[block, 0]), 0
    while begin < bound:
        one = p.blocks[block]
        end = np.inf if one.next < 0 else p.at[one.next, 0]
        if end > begin:
            if room + one.high < units:
                begin = end
            elif room + one.low >= units:
                if end >= min(begin + planned, own):
                    return begin
            else:
                free = room
                for k in range(one.steps):
                    free += p.change[block, k]
                    following = p.at[block, k + 1] if k + 1 < one.steps else end
                    if following <= begin:
                        continue
                    begin = following if free < units else begin
                    if following >= begin + planned or following >= own or begin >= bound:
                        return begin if begin < bound else before
        room += one.sum
        block = one.next
    return before


@inner
def longest(p, node, units):
    """The longest time for which so many units are free, but for the last such time; and when that begins."""
    block = p.heads[node]
    free, found, begin = 0, 0.0, np.inf
    while block >= 0:
        for k in range(p.blocks[block].steps):
            free += p.change[block, k]
            if free < units:
                found, begin = max(found, p.at[block, k] - begin), np.inf
            else:
                begin = min(begin, p.at[block, k])
        block = p.blocks[block].next
    return found, begin


@inner
def least(p, node, begin, end):
    """The fewest units that are free at once from one moment to another."""
    block = p.heads[node]
    free, found = 0, -1
    while block >= 0:
        for k in range(p.blocks[block].steps):
            if p.at[block, k] >= end and found >= 0:
                return found
            free += p.change[block, k]
            if _end(p, block, k) > begin:
                found = free if found < 0 else min(found, free)
        block = p.blocks[block].next
    return found


@inner
def next_step(p, node, time):
    """The first moment after another at which something changes."""
    block = p.heads[node]
    while block >= 0:
        for k in range(p.blocks[block].steps):
            if p.at[block, k] > time:
                return p.at[block, k]
        block = p.blocks[block].next
    return np.inf


@inner
def _end(p, block, k):
    """When a step ends."""
    if k + 1 < p.blocks[block].steps:
        return p.at[block, k + 1]
    following = p.blocks[block].next
    return np.inf if following < 0 else p.at[following, 0]


@inner
def take(p, node, begin, end, units):
    """Take units from one moment to another; give them back, where they are negative."""
    change(p, node, begin, -units)
    change(p, node, end, units)


@inner
def change(p, node, time, units):
    """Change what is free from a moment on."""
    before, block = -1, p.heads[node]
    while p.blocks[block].next >= 0 and p.at[p.blocks[block].next, 0] <= time:
        before, block = block, p.blocks[block].next
    k = p.blocks[block].steps - 1
    while p.at[block, k] > time:
        k -= 1
    if p.at[block, k] < time:
        _insert(p, block, k + 1, time, units)
        return
    p.change[block, k] += units
    if p.change[block, k] == 0 and (k > 0 or before >= 0):
        _remove(p, before, block, k)
    else:
        _sum_up(p, block)


@inner
def forget_before(p, node, time):
    """Let the first step begin now."""
    block = p.heads[node]
    while True:
        one, following = p.blocks[block], p.blocks[block].next
        if one.steps == 1 and following >= 0 and p.at[following, 0] <= time:
            p.change[following, 0] += p.change[block, 0]
            _spare(p, block)
            block = p.heads[node] = following
        elif one.steps > 1 and p.at[block, 1] <= time:
            p.change[block, 1] += p.change[block, 0]
            _close_up(p, block, 0)
        else:
            break
    p.at[block, 0] = max(p.at[block, 0], time)
    _sum_up(p, block)


@inner
def _sum_up(p, block):
    total, low, high = p.change[block, 0], p.change[block, 0], p.change[block, 0]
    for k in range(1, p.blocks[block].steps):
        total += p.change[block, k]
        low, high = min(low, total), max(high, total)
    p.blocks[block].sum, p.blocks[block].low, p.blocks[block].high = total, low, high


@inner
def _insert(p, block, k, time, units):
    """Put a step at a place of a block, of which the later half leaves where it is full."""
    if p.blocks[block].steps == WIDTH:
        later = p.mark[SPARE]
        if later >= 0:
            p.mark[SPARE] = p.blocks[later].next
        else:
            later = p.mark[UNUSED]
            p.mark[UNUSED] += 1
        half = WIDTH // 2
        for i in range(half):
            p.at[later, i], p.change[later, i] = p.at[block, half + i], p.change[block, half + i]
        p.blocks[later].steps, p.blocks[later].next = half, p.blocks[block].next
        p.blocks[block].steps, p.blocks[block].next = half, later
        _sum_up(p, block)
        if k > half:
            block, k = later, k - half
        else:
            _sum_up(p, later)
    for i in range(p.blocks[block].steps, k, -1):
        p.at[block, i], p.change[block, i] = p.at[block, i - 1], p.change[block, i - 1]
    p.at[block, k], p.change[block, k] = time, units
    p.blocks[block].steps += 1
    _sum_up(p, block)


@inner
def _remove(p, before, block, k):
    """Take a step out of a block, and join it with one beside it where they are small."""
    _close_up(p, block, k)
    left = p.blocks[block].steps
    if before >= 0 and (left == 0 or left + p.blocks[before].steps <= WIDTH // 2):
        _join(p, before)
        block = before
    following = p.blocks[block].next
    if following >= 0 and p.blocks[block].steps + p.blocks[following].steps <= WIDTH // 2:
        _join(p, block)
    _sum_up(p, block)


@inner
def _close_up(p, block, k):
    for i in range(k, p.blocks[block].steps - 1):
        p.at[block, i], p.change[block, i] = p.at[block, i + 1], p.change[block, i + 1]
    p.blocks[block].steps -= 1


@inner
def _join(p, block):
    """Take in the steps of the next block."""
    following, steps = p.blocks[block].next, p.blocks[block].steps
    for i in range(p.blocks[following].steps):
        p.at[block, steps + i], p.change[block, steps + i] = p.at[following, i], p.change[following, i]
    p.blocks[block].steps += p.blocks[following].steps
    p.blocks[block].next = p.blocks[following].next
    _spare(p, following)


@inner
def _spare(p, block):
    p.blocks[block].next = p.mark[SPARE]
    p.mark[SPARE] = block

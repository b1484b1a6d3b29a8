"""What is free when: a step function of time, for schedules that promise.

Its steps stand in blocks, by time. A block knows the sum, the lowest and the highest of its changes, so that a search
passes over those in which a job fits everywhere or nowhere, and a change moves few steps.
"""

from typing import NamedTuple

import numpy as np

from dcbudget.models.replay.compiled import inner

# Steps in a block. Two blocks that follow each other hold more than half of that, but for the first.
WIDTH = 32
# Places in `mark`: the first block, the next one never used, and the first of those that are used no more.
HEAD, UNUSED, SPARE = range(3)
BLOCK = np.dtype([(name, np.int64) for name in ("next", "steps", "sum", "low", "high")], align=True)


class Profile(NamedTuple):
    """Steps of what is free.

    Attributes
    ----------
    at : array (blocks, WIDTH), when each step begins [seconds]. The first is now.
    change : array (blocks, WIDTH), units that come free with it; with the first, what is free now.
    blocks : `next` (-1 after the last), `steps`; the `sum` of its changes, the `low` and the `high` of their sums so
        far.
    mark : single values, by the names above.
    """

    at: np.ndarray
    change: np.ndarray
    blocks: np.ndarray
    mark: np.ndarray


def empty(jobs: int, units: int) -> Profile:
    """All is free from 0 on; there is room for the starts and ends of so many jobs."""
    # two steps a job, and more than a quarter of a block's width in each block
    blocks = (2 * jobs + 2) * 4 // WIDTH + 4
    made = Profile(
        np.empty((blocks, WIDTH)), np.empty((blocks, WIDTH), np.int64), np.empty(blocks, BLOCK), np.array([0, 1, -1])
    )
    made.at[0, 0], made.change[0, 0], made.blocks[0] = 0.0, units, (-1, 1, units, units, units)
    return made


@inner
def earliest(p, planned, units, reserved, hole):
    """The first moment at which so many units are free for so long.

    With a reserved start, that of a job that would give it up; it is returned where there is no earlier one. What is
    free beside the job's own reservation counts; within that, there is enough. From the end of the hole on, nothing has
    come free since the reservation was made.
    """
    bound = min(reserved, hole)
    block = p.mark[HEAD]
    begin, room = p.at[block, 0], 0
    while True:
        one = p.blocks[block]
        end = np.inf if one.next < 0 else p.at[one.next, 0]
        if room + one.high < units:
            begin = end
            if begin >= bound:
                return reserved
        elif room + one.low >= units:
            if end >= min(begin + planned, reserved):
                return begin
        else:
            free = room
            for k in range(one.steps):
                free += p.change[block, k]
                following = p.at[block, k + 1] if k + 1 < one.steps else end
                begin = following if free < units else begin
                if following >= begin + planned or following >= reserved or begin >= bound:
                    return begin if begin < bound else reserved
        room += one.sum
        block = one.next


@inner
def take(p, begin, end, units):
    """Take units from one moment to another; give them back, where they are negative."""
    change(p, begin, -units)
    change(p, end, units)


@inner
def change(p, time, units):
    """Change what is free from a moment on."""
    before, block = -1, p.mark[HEAD]
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
def forget_before(p, time):
    """Let the first step begin now."""
    block = p.mark[HEAD]
    while True:
        one, following = p.blocks[block], p.blocks[block].next
        if one.steps == 1 and following >= 0 and p.at[following, 0] <= time:
            p.change[following, 0] += p.change[block, 0]
            _spare(p, block)
            block = p.mark[HEAD] = following
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

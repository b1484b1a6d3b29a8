"""The profile of conservative backfill beside a list of what is taken, for enough steps to fill many blocks."""

import math
from itertools import pairwise

import numpy as np
import pytest
from numba import njit

from dcbudget.models.replay import profile
from dcbudget.models.replay.profile import empty

UNITS = 64


# What follows is called from compiled code alone.


@njit
def earliest(made, planned, units, reserved, hole):
    return profile.earliest(made, 1, planned, units, 0.0, reserved, hole, reserved)


@njit
def from_then(made, planned, units, time):
    return (
        profile.earliest(made, 1, planned, units, time, math.inf, math.inf, math.inf),
        profile.least(made, 1, time, time + planned),
        profile.next_step(made, 1, time),
    )


@njit
def take(made, begin, end, units):
    profile.take(made, 1, begin, end, units)


@njit
def forget_before(made, time):
    profile.forget_before(made, 1, time)


def free_at(taken, time) -> int:
    return UNITS - sum(units for begin, end, units in taken if begin <= time < end)


def first_fit(taken, now, planned, units) -> float:
    """By trying the moments at which something ends."""
    for begin in sorted({now} | {end for _, end, _ in taken if end > now}):
        inside = [begin] + [other for other, _, _ in taken if begin < other < begin + planned]
        if all(free_at(taken, time) >= units for time in inside):
            return begin
    raise AssertionError


def steps_of(made) -> list[tuple[float, int]]:
    """(begin, free) of each step, and that each block knows its sums."""
    found, free, block, sizes = [], 0, int(made.heads[1]), []
    while block >= 0:
        one = made.blocks[block]
        changes = made.change[block, : one["steps"]]
        sums = np.cumsum(changes)
        assert (one["sum"], one["low"], one["high"]) == (sums[-1], sums.min(), sums.max())
        found += zip(made.at[block, : one["steps"]].tolist(), (free + sums).tolist(), strict=True)
        free, sizes, block = int(free + sums[-1]), [*sizes, int(one["steps"])], int(one["next"])
    # so few blocks that there is room for them
    assert all(a + b > profile.WIDTH // 2 for a, b in pairwise(sizes[1:]))
    assert min(sizes) > 0 and max(sizes) <= profile.WIDTH
    return found


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_a_list_of_what_is_taken(seed):
    random, jobs = np.random.default_rng(seed), 150
    made, taken, now, most = empty(jobs, 2, UNITS), [], 0.0, 0
    for turn in range(400):
        if (turn < 200 and len(taken) < jobs) or not taken:
            planned, units = float(random.integers(1, 400)), int(random.integers(1, 40))
            begin = earliest(made, planned, units, math.inf, math.inf)
            assert begin == first_fit(taken, now, planned, units)
            taken.append((begin, begin + planned, units))
            take(made, *taken[-1])
        else:
            begin, end, units = taken.pop(int(random.integers(len(taken))))
            take(made, max(begin, now), end, -units)
        if turn % 7 == 0:
            now += float(random.integers(0, 9 if turn < 200 else 200))
            forget_before(made, now)
            taken = [one for one in taken if one[1] > now]
        steps = steps_of(made)
        most = max(most, len(steps))
        assert steps[0][0] == now and [time for time, _ in steps] == sorted({time for time, _ in steps})
        assert [free for _, free in steps] == [free_at(taken, time) for time, _ in steps]
        later, planned, units = now + float(random.integers(0, 300)), float(random.integers(1, 200)), 30
        inside = [later] + [time for time, _ in steps if later < time < later + planned]
        assert from_then(made, planned, units, later) == (
            first_fit(taken, later, planned, units),
            min(free_at(taken, time) for time in inside),
            min((time for time, _ in steps if time > later), default=math.inf),
        )
    assert made.heads[0] == 0 and made.blocks[0].tolist() == (-1, 1, UNITS, UNITS, UNITS)  # the other node's
    assert most > 3 * profile.WIDTH


@pytest.mark.parametrize(
    "planned, units, reserved, hole, expected",
    [
        (10, 8, 100, 99, 0),  # in the gap at once
        (11, 8, 100, 99, 50),  # right before what is reserved, into which it lasts
        (11, 8, 100, 50, 100),  # nothing has come free from 50 on
        (11, 8, 100, 51, 50),
        (11, 4, 100, 99, 0),  # beside what is taken
        (61, 8, math.inf, math.inf, 50),
    ],
)
def test_a_start_before_the_reserved_one(planned, units, reserved, hole, expected):
    """All is free but 4 units from 10 to 50, and what the job itself has reserved from 100 on."""
    made = empty(4, 2, UNITS)
    take(made, 10.0, 50.0, UNITS - 4)
    if reserved == 100:
        take(made, 100.0, 100.0 + planned, UNITS - 3)
    assert earliest(made, float(planned), units, float(reserved), float(hole)) == expected

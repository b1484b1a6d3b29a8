"""The variance bridge and earned value: by hand, published, by brute force, and exact whatever comes in."""

from itertools import permutations
from math import isnan

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dcbudget.errors import OutOfRange
from dcbudget.models.variance import EFFECTS, bridge, earned_value, shapley


def side(*rows, columns=("project", "amount", "quantity", "work")) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


def told(found, project: str) -> dict:
    """The effects of an item that are not 0."""
    row = found.items.set_index("project").loc[project]
    return {name: row[name] for name in EFFECTS if row[name]}


def test_published_case_of_two_factors():
    # Bennet's decomposition (R7): price 5 to 10, quantity 50 to 70 gives 300 and 150 of 450.
    assert shapley([5, 50], [10, 70]).tolist() == [300, 150]
    found = bridge(side(("a", 250, 50, 50)), side(("a", 700, 70, 70)), ["project"])
    assert told(found, "a") == {"price": 300, "volume": 150}


def test_three_factors_by_hand():
    # 1*1*1 to 2*3*4: the first is alone first, third or in between: (1*1 + 1*12 + (3 + 4)/2)/3 = 5.5.
    found = shapley([1, 1, 1], [2, 3, 4])
    assert found == pytest.approx([(2 * 1 + 3 + 4 + 2 * 12) / 6, (2 * 2 + 2 * 2 + 2 * 4 + 2 * 2 * 8) / 6,
                                   (2 * 3 + 3 * 2 + 3 * 3 + 2 * 3 * 6) / 6])  # fmt: skip
    assert found.sum() == pytest.approx(23)


def by_brute_force(before, after):
    """The mean over all orders in which the factors can move."""
    count, found = len(before), np.zeros(len(before))
    orders = list(permutations(range(count)))
    for order in orders:
        now = np.array(before, float)
        for at in order:
            was = now.prod()
            now[at] = after[at]
            found[at] += (now.prod() - was) / len(orders)
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=5))
def test_shapley_values_are_the_mean_of_all_orders(pairs):
    before, after = zip(*pairs, strict=True)
    expected = by_brute_force(before, after)
    scale = np.prod([max(abs(low), abs(high), 1) for low, high in pairs])
    assert np.allclose(shapley(before, after), expected, rtol=0, atol=1e-12 * scale)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)))
def test_shapley_values_know_no_order(order):
    rng = np.random.default_rng(3)
    before, after = rng.uniform(0.5, 2, (5, 4)), rng.uniform(0.5, 2, (5, 4))
    assert np.allclose(shapley(before[list(order)], after[list(order)]), shapley(before, after)[list(order)])


def test_mix_by_hand():
    # 100 hours at 2 and 100 at 4 become 50 and 150 at the same prices: all of the change, +100, is mix.
    found = bridge(side(("a", 200, 100, 100), ("b", 400, 100, 100)), side(("a", 100, 50, 50), ("b", 600, 150, 150)),
                   ["project"])  # fmt: skip
    assert told(found, "a") == {"mix": -100} and told(found, "b") == {"mix": 200}
    # Twice of each at the same prices is volume alone.
    found = bridge(side(("a", 200, 100, 100), ("b", 400, 100, 100)), side(("a", 400, 200, 200), ("b", 800, 200, 200)),
                   ["project"])  # fmt: skip
    assert told(found, "a") == {"volume": 200} and told(found, "b") == {"volume": 400}


def test_efficiency_by_hand():
    # The same 80 useful hours took 100 hours and now take 160, at 2 each.
    found = bridge(side(("a", 200, 100, 80)), side(("a", 320, 160, 80)), ["project"])
    assert told(found, "a") == {"efficiency": 120}
    # Where no work is told on one side, more hours are volume.
    found = bridge(side(("a", 200, 100, 80)), side(("a", 320, 160, None)), ["project"])
    assert told(found, "a") == {"volume": 120}


def test_idle_hours_go_by_the_work_of_others_and_are_not_counted_twice():
    columns = ("project", "amount", "quantity", "work", "idle")
    before = side(("a", 100, 100, 100, False), ("Idle capacity", 50, 50, 100, True), columns=columns)
    twice = side(("a", 200, 200, 200, False), ("Idle capacity", 100, 100, 200, True), columns=columns)
    worse = side(("a", 100, 100, 100, False), ("Idle capacity", 90, 90, 100, True), columns=columns)
    assert bridge(before, twice, ["project"]).effects[["volume", "mix", "efficiency"]].tolist() == [150, 0, 0]
    assert bridge(before, worse, ["project"]).effects[["volume", "mix", "efficiency"]].tolist() == [0, 0, 40]


def test_work_of_idle_hours_is_not_counted_again_where_one_pool_alone_has_them():
    columns = ("project", "amount", "quantity", "work", "idle")
    before = side(("a", 100, 100, 100, False), ("b", 100, 100, 100, False), ("i", 50, 50, 100, True), columns=columns)
    after = side(("a", 200, 200, 200, False), ("b", 100, 100, 100, False), ("i", 100, 100, 200, True), columns=columns)
    found = bridge(before, after, ["project"])
    # All useful hours go from 200 to 300, a's share of them from 1/2 to 2/3: 100 * 7/12 is volume, the rest is mix.
    assert told(found, "a") == {"volume": 58.33, "mix": 41.67}
    assert told(found, "b") == {"volume": 41.67, "mix": -41.67}


def test_exchange_rate_by_hand():
    # 100 EUR at 1.00 become 100 EUR at 1.20; counted or not, all of it is the rate.
    columns = ("project", "amount", "own_amount", "quantity")
    found = bridge(side(("a", 100, 100, 10), ("b", 100, 100, None), columns=columns),
                   side(("a", 120, 100, 10), ("b", 120, 100, None), columns=columns), ["project"])  # fmt: skip
    assert told(found, "a") == {"exchange_rate": 20} == told(found, "b")
    # Of an own amount that went from 100 to 200 at the same time: 1.1 * 100 and 150 * 0.2.
    found = bridge(side(("b", 100, 100, None), columns=columns), side(("b", 240, 200, None), columns=columns),
                   ["project"])  # fmt: skip
    assert told(found, "b") == {"amount": 110, "exchange_rate": 30}
    # An item that cost nothing has the rate of the other side, not 1.
    found = bridge(side(("b", 0, 0, 5), columns=columns), side(("b", 120, 100, 5), columns=columns), ["project"])
    assert told(found, "b") == {"price": 120}


def test_new_and_retired_items_and_money_that_nothing_counts():
    before = side(("gone", 30, 3, 3), ("services", 20, None, None), ("half", 10, 5, 5), ("stays", 10, 10, 10))
    after = side(("new", 70.5, 7, 7), ("services", 26, None, None), ("half", 12, 0, 0), ("stays", 10, 10, 10))
    found = bridge(before, after, ["project"])
    assert told(found, "gone") == {"retired": -30} and told(found, "new") == {"new": 70.5}
    assert told(found, "services") == {"amount": 6} and told(found, "half") == {"amount": 2}
    assert told(found, "stays") == {}
    assert (found.before, found.after) == (70, 118.5) and found.effects.sum() == 48.5


def test_limits():
    nothing = side(columns=("project", "amount"))
    assert bridge(nothing, nothing, ["project"]).effects.sum() == 0
    only_new = bridge(nothing, side(("a", 5, 1, 1)), ["project"])
    assert told(only_new, "a") == {"new": 5}
    only_retired = bridge(side(("a", 5, 1, 1)), nothing, ["project"])
    assert told(only_retired, "a") == {"retired": -5}
    columns = ("project", "amount", "quantity", "work", "idle")
    idle_alone = bridge(side(("i", 5, 1, 0, True), columns=columns), side(("i", 9, 2, 0, True), columns=columns),
                        ["project"])  # fmt: skip
    assert idle_alone.effects.sum() == 4 and idle_alone.effects["volume"] == 4.75  # 5 to 4.50 an hour, 1 to 2 hours
    cancelled = bridge(side(("a", 3, 0), columns=("project", "amount", "own_amount")), side(("a", 5, 4),
                       columns=("project", "amount", "own_amount")), ["project"])  # fmt: skip
    assert told(cancelled, "a") == {"amount": 2}


amounts = st.one_of(st.just(0.0), st.floats(-1e4, 1e7), st.integers(-(10**6), 10**6).map(lambda cents: cents / 100))
quantities = st.one_of(st.none(), st.just(0.0), st.floats(1e-3, 1e5))
rows = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(["H100", "A100", None]), amounts, amounts, quantities,
              quantities, st.booleans()),
    max_size=12,
)  # fmt: skip
COLUMNS = ("project", "gpu_model", "amount", "own_amount", "quantity", "work", "idle")


def test_less_than_a_cent_in_its_own_currency_tells_no_rate():
    columns = ("project", "amount", "own_amount")
    found = bridge(side(("a", 0.9, 1e-300), columns=columns), side(("a", 2.55, 9.37), columns=columns), ["project"])
    assert found.effects.sum() == pytest.approx(1.65) and found.effects.abs().max() < 10


# without shrinking, which takes minutes here
@settings(max_examples=30, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(rows, rows, st.randoms(use_true_random=False))
def test_every_bridge_is_exact_to_the_cent_and_knows_no_order_of_rows(first, second, chance):
    keys = ["project", "gpu_model"]
    found = bridge(side(*first, columns=COLUMNS), side(*second, columns=COLUMNS), keys)
    cents = (found.items[["before", "after", *EFFECTS]].to_numpy(float) * 100).reshape(-1, 2 + len(EFFECTS))
    whole = cents.round()
    held = np.abs(cents).max(axis=1, initial=0) < 2**40  # ten billion; a double holds far more no longer to the cent
    assert np.allclose(cents[held], whole[held], atol=1e-4)
    assert (whole[held, 1] - whole[held, 0] == whole[held, 2:].sum(axis=1)).all()
    for at, given_rows in enumerate((first, second)):
        assert abs(whole[:, at].sum() - 100 * sum(row[2] for row in given_rows)) <= 0.5 + 1e-3
    shuffled = [sorted(given_rows, key=lambda _: chance.random()) for given_rows in (first, second)]
    again = bridge(side(*shuffled[0], columns=COLUMNS), side(*shuffled[1], columns=COLUMNS), keys)
    pd.testing.assert_frame_equal(found.items, again.items)


def test_sums_by_key_are_those_of_the_items():
    before = side(("a", 10.005, 1, 1), ("b", 20.005, 2, 2), ("a", 1.005, 1, 1))
    found = bridge(before, side(("a", 30, 3, 3), ("c", 5, 1, 1)), ["project"])
    by = found.by("project")
    assert by["project"].tolist() == ["b", "a", "c"] and by["change"].sum() == pytest.approx(35 - 31.01)
    # 11.01 and 20.005 sum to 31.015: the larger remainder gets the cent that is left.
    assert found.before in (31.01, 31.02) and found.after == 35


def test_bad_sides_are_named():
    with pytest.raises(OutOfRange, match="before must have the columns project, amount; amount is missing"):
        bridge(side(("a",), columns=("project",)), side(("a", 1), columns=("project", "amount")), ["project"])
    with pytest.raises(OutOfRange, match="quantity must be at least 0 and finite, not -1"):
        bridge(side(("a", 1, -1, 1)), side(("a", 1, 1, 1)), ["project"])
    with pytest.raises(OutOfRange, match="one shape"):
        shapley([1, 2], [1])


def test_earned_value_by_hand():
    # 1,000 for 200 tokens; 100 planned by now, 80 done, 500 spent.
    found = earned_value(1000, 200, 100, 80, 500)
    assert (found.planned, found.earned, found.actual) == (500, 400, 500)
    assert (found.cost_index, found.schedule_index) == (0.8, 0.8)
    assert (found.at_completion, found.to_complete) == (1250, 750)
    assert (found.cost_variance, found.schedule_variance, found.variance_at_completion) == (-100, -100, -250)


def test_earned_value_at_its_limits():
    nothing = earned_value(1000, 200, 0, 0, 0)
    assert all(isnan(value) for value in (nothing.cost_index, nothing.schedule_index, nothing.at_completion,
                                          nothing.to_complete))  # fmt: skip
    done = earned_value(1000, 200, 300, 250, 900)  # more than planned earns no more than the budget
    assert (done.planned, done.earned, done.at_completion, done.to_complete) == (1000, 1000, 900, 0)
    with pytest.raises(OutOfRange, match="planned_quantity"):
        earned_value(1000, 0, 0, 0, 0)
    with pytest.raises(OutOfRange, match="done must be at least 0"):
        earned_value(1000, 1, 0, -1, 0)


def test_small_amounts_between_large_ones_are_not_lost():
    rows = [("a", 1e16), ("a", 1.0), ("a", -1e16), ("a", 1.0)]
    for order in (rows, rows[::-1], rows[1:] + rows[:1]):
        assert bridge(side(*order, columns=("project", "amount")), side(), ["project"]).before == 2

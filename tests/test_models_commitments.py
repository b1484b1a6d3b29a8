"""Commitments: the definitions by hand, the quantity against brute force, and paths that hold what comes."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcbudget.errors import OutOfRange
from dcbudget.models import commitments
from dcbudget.models.commitments import commitments_to_buy, demand_paths
from dcbudget.models.cost import committed_cost


def test_effective_savings_rate_by_hand():
    """70 paid for what lists at 100; 120 with unused commitments; nothing used."""
    found = commitments.effective_savings_rate([70.0, 120.0, 5.0], [100.0, 100.0, 0.0])
    assert found == pytest.approx([0.3, -0.2, np.nan], nan_ok=True)


def test_utilisation_and_coverage_by_hand():
    assert commitments.utilisation(30.0, 40.0) == 0.75
    assert commitments.coverage([30.0, 0.0], [90.0, 0.0]) == pytest.approx([1 / 3, np.nan], nan_ok=True)


def test_savings_rate_is_utilisation_coverage_and_discount_together():
    """Per unit of use: the covered part at the discount, paid whether used or not, and the rest in full."""
    used, committed, on_demand, price = 90.0, 40.0, 3.0, 2.0
    bill = committed_cost(used, committed, on_demand, price).total
    rate = commitments.effective_savings_rate(bill, used * on_demand)
    covered = min(used, committed)
    share = commitments.coverage(covered, used)
    assert rate == pytest.approx(share * (1 - price / on_demand / commitments.utilisation(covered, committed)))


def expected_cost(paths, quantity, on_demand, committed):
    """Each draw and period billed by itself, for an hour."""
    return np.sum(committed_cost(paths, quantity, on_demand, committed).total, axis=1).mean()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 500), min_size=6, max_size=6), st.floats(0.5, 5), st.floats(0.05, 1.2))
def test_quantity_is_the_best_of_all(demands, on_demand, share):
    paths = np.array(demands).reshape(3, 2)
    found = commitments_to_buy(paths, on_demand, share * on_demand, hours_per_period=1, multiple=None)
    grid = np.linspace(0, 500, 501)
    brute = min(expected_cost(paths, q, on_demand, share * on_demand) for q in [*grid, *demands])
    assert found.expected_cost == pytest.approx(brute)
    assert found.expected_cost == pytest.approx(expected_cost(paths, found.quantity, on_demand, share * on_demand))


@pytest.mark.parametrize("multiple", [1, 8])
def test_whole_quantity_is_the_best_of_all_multiples(multiple):
    paths = np.random.default_rng(3).gamma(9, 11, (200, 12))
    found = commitments_to_buy(paths, 4.0, 2.5, multiple=multiple, hours_per_period=1)
    costs = {q: expected_cost(paths, q, 4.0, 2.5) for q in range(0, 400, multiple)}
    assert found.quantity == min(costs, key=costs.get)


def test_newsvendor_by_hand():
    """Demand of 10, 20, 30 or 40 alike; at 3 against 1.8 it should be enough in 0.4 of the periods: 20."""
    found = commitments_to_buy([[10, 20], [30, 40]], 3.0, 1.8, hours_per_period=1)
    assert found.critical_ratio == pytest.approx(0.4)
    assert found.quantity == 20
    assert found.on_demand_cost == pytest.approx(150)
    assert found.expected_cost == pytest.approx(2 * 1.8 * 20 + 3 * (10 + 20) / 2)
    assert found.expected_saving == pytest.approx(150 - 117)
    assert found.utilisation == pytest.approx((10 + 3 * 20) / 80)
    assert found.coverage == pytest.approx((10 + 3 * 20) / 100)


def test_normal_demand_has_the_textbooks_quantity():
    """Mean 100, deviation 15, critical ratio 0.4: 100 + 15 x -0.2533471 (the standard normal quantile)."""
    paths = np.random.default_rng(5).normal(100, 15, (20_000, 12))
    found = commitments_to_buy(np.maximum(paths, 0), 5.0, 3.0, multiple=None)
    assert found.quantity == pytest.approx(100 - 15 * 0.2533471, rel=2e-3)


def test_known_demand_is_bought_whole_and_a_dear_commitment_not_at_all():
    paths = np.full((50, 12), 64.0)
    sure = commitments_to_buy(paths, 3.0, 2.0)
    assert sure.quantity == 64 and sure.utilisation == sure.coverage == 1
    assert sure.expected_saving == pytest.approx(64 * 12 * 730.5)
    dear = commitments_to_buy(paths, 3.0, 3.0)
    assert dear.quantity == 0 and dear.expected_saving == 0 and np.isnan(dear.utilisation)


def test_nothing_is_bought_for_no_demand():
    found = commitments_to_buy(np.zeros((20, 12)), 3.0, 1.0)
    assert found.quantity == 0 and found.expected_cost == 0
    assert np.isnan(found.utilisation) and np.isnan(found.coverage)


def test_what_is_held_serves_first():
    paths = np.random.default_rng(1).gamma(9, 11, (500, 12))
    without = commitments_to_buy(paths, 4.0, 2.0, multiple=None)
    assert commitments_to_buy(paths, 4.0, 2.0, held=30, multiple=None).quantity == pytest.approx(without.quantity - 30)
    assert commitments_to_buy(paths, 4.0, 2.0, held=1e4).quantity == 0


def test_curve_is_convex_and_lowest_at_the_quantity():
    found = commitments_to_buy(demand_paths(HISTORY, 12, draws=2000), 3.0, 1.8)
    curve = found.curve
    slopes = curve["expected_cost"].diff() / curve["quantity"].diff()
    assert (slopes.dropna().diff().dropna() > -1e-6).all()
    assert curve.loc[curve["expected_cost"].idxmin(), "quantity"] == found.quantity
    assert (curve["p10"] <= curve["p90"]).all()
    row = curve[curve["quantity"] == found.quantity].iloc[0]
    assert row["p10"] < row["expected_cost"] < row["p90"]


def test_curve_has_the_deciles_of_the_draws():
    paths = np.random.default_rng(2).gamma(9, 11, (1001, 3))
    curve = commitments_to_buy(paths, 3.0, 1.8, hours_per_period=10).curve
    for row in curve.iloc[[0, 8, 12]].itertuples():
        money = 10 * np.sum(committed_cost(paths, row.quantity, 3.0, 1.8).total, axis=1)
        assert [row.p10, row.p90] == pytest.approx(list(np.quantile(money, [0.1, 0.9])))
        assert row.expected_cost == pytest.approx(money.mean())


HISTORY = 100 * np.exp(0.02 * np.arange(18) + 0.1 * np.random.default_rng(1).standard_normal(18))


def test_paths_of_a_smooth_history_go_on_as_it_did():
    history = 50 * 1.03 ** np.arange(12)
    found = demand_paths(history, 6, draws=20)
    assert found.shape == (20, 6)
    assert found == pytest.approx(np.tile(50 * 1.03 ** np.arange(12, 18), (20, 1)))


def test_given_growth_takes_the_place_of_the_historys():
    history = 50 * 1.03 ** np.arange(12)
    found = demand_paths(history, 12, 0.5, draws=5)
    assert found[0] == pytest.approx(history[-1] * 1.5 ** (np.arange(1, 13) / 12))
    daily = demand_paths(history, 2, 0.5, draws=5, periods_per_year=365.25)
    assert daily[0] == pytest.approx(history[-1] * 1.5 ** (np.arange(1, 3) / 365.25))


@pytest.mark.parametrize("persistence, least", [(0.0, 0.72), (0.4, 0.7), (0.8, 0.6)])
def test_paths_hold_what_comes(persistence, least):
    """Of 200 histories with a trend and noise that partly persists, 80 % should end within P10 to P90."""
    rng = np.random.default_rng(11)
    inside = 0
    for seed in range(200):
        noise = np.zeros(36)
        for t in range(1, 36):
            noise[t] = persistence * noise[t - 1] + 0.1 * rng.standard_normal()
        demand = 80 * np.exp(0.015 * np.arange(36) + noise)
        low, high = np.quantile(demand_paths(demand[:24], 12, draws=400, seed=seed)[:, -1], [0.1, 0.9])
        inside += low <= demand[-1] <= high
    assert least < inside / 200 < 0.88


def test_what_is_above_the_trend_falls_back_to_it_step_by_step():
    """A slow wave about 100 that ends on its crest."""
    history = 100 * np.exp(0.2 * np.sin(np.arange(33) * np.pi / 16 + np.pi / 2))
    middle = np.median(demand_paths(history, 24, 0.0), axis=0)
    line = np.exp(np.log(history).mean())
    assert history[-1] > middle[0] > middle[6] > middle[-1]
    assert middle[0] > 1.1 * line and middle[-1] == pytest.approx(line, rel=0.05)


def test_paths_are_the_seeds():
    first = demand_paths(HISTORY, 12, draws=100, seed=4)
    assert (first == demand_paths(HISTORY, 12, draws=100, seed=4)).all()
    assert (first != demand_paths(HISTORY, 12, draws=100, seed=5)).any()


def test_events_are_added_and_never_leave_less_than_nothing():
    base = demand_paths(HISTORY, 6, draws=50)
    found = demand_paths(HISTORY, 6, draws=50, events=[(2, 64), (4, -1e6, 1)])
    assert found[:, :2] == pytest.approx(base[:, :2])
    assert found[:, [2, 3, 5]] == pytest.approx(base[:, [2, 3, 5]] + 64)
    assert (found[:, 4] == 0).all()
    assert (demand_paths([0, 0, 0], 3, draws=2, events=[(1, 8)]) == [0, 8, 8]).all()


def test_empty_periods_of_a_history_count_as_little():
    found = demand_paths([10, 0, 12, 11, 9, 10], 3, draws=500)
    assert np.isfinite(found).all() and 4 < np.median(found) < 20


def test_ten_thousand_years_are_quick():
    """Of the processor, and the best of three, so that a busy machine does not fail it."""
    paths = demand_paths(HISTORY, 12)
    took = []
    for _ in range(3):
        start = time.process_time()
        commitments_to_buy(paths, 3.0, 1.8)
        took.append(time.process_time() - start)
    assert paths.shape == (10_000, 12) and min(took) < 0.05


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: commitments.utilisation(50, 40), "used must be at most committed, not 1.25 times as much"),
        (lambda: commitments.coverage(-1, 40), "covered must be at least 0 and finite, not -1"),
        (lambda: commitments_to_buy([[1, 2]], 0, 1), "on_demand_price must be above 0 and finite, not 0"),
        (lambda: commitments_to_buy([[]], 2, 1), "paths must be a table"),
        (lambda: commitments_to_buy([[1, np.nan]], 2, 1), "paths must be at least 0 and finite, not nan"),
        (lambda: demand_paths([1, 2], 12), "history must have at least 3 periods, not 2"),
        (lambda: demand_paths([1, 2, -3], 12), "history must be at least 0 and finite, not -3"),
        (lambda: demand_paths(HISTORY, 0), "periods must be at least 1 and finite, not 0"),
        (lambda: demand_paths(HISTORY, 12, -1.5), "growth must be at least -0.99 and finite, not -1.5"),
        (
            lambda: demand_paths(HISTORY, 12, events=[(13, 1)]),
            "period of an event must be at least 0 and at most 12, not 13",
        ),
    ],
)
def test_bad_values_name_the_field_and_its_range(call, message):
    with pytest.raises(OutOfRange, match=message):
        call()

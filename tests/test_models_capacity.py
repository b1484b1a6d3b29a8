"""GPUs that a demand needs: by hand, at the limits, and what must always hold."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcbudget.errors import OutOfRange
from dcbudget.models.capacity import HOURS_PER_YEAR, need, utilisation


def pools(*rows):
    names = ["capacity_gpu_hours", "allocated_gpu_hours", "effective_cost"]
    return pd.DataFrame(rows, columns=names, dtype=float)


def hours(capacity, allocated, used, measured):
    return pd.DataFrame({"capacity_gpu_hours": [capacity], "allocated_gpu_hours": [allocated],
                         "used_gpu_hours": [used], "measured_gpu_hours": [measured]}, dtype=float)  # fmt: skip


def test_utilisation_by_hand():
    """Half of 200 hours held; of 40 measured ones 10 were busy."""
    row = utilisation(hours(200, 100, 10, 40)).iloc[0]
    assert (row["allocation_rate"], row["gpu_utilisation"], row["idle_rate"]) == (0.5, 0.25, 0.5)


def test_utilisation_is_null_where_nothing_is_known():
    row = utilisation(hours(0, 10, None, None)).iloc[0]
    assert row[["allocation_rate", "gpu_utilisation", "idle_rate"]].isna().all()


def test_utilisation_leaves_its_input_alone():
    frame = hours(200, 100, 10, 40)
    before = frame.copy()
    utilisation(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_need_by_hand():
    """744 h of 10 GPUs, half held: 6.25 GPUs at a target of 0.8; the spare 3.75 at 2 an hour for 730.5 h."""
    found = need(pools((7440, 3720, 14880)), 744, 0.8)
    row = found.pools.iloc[0]
    assert row["gpus_now"] == 10
    assert row["gpus_needed"] == pytest.approx(6.25)
    assert found.gpus_spare == pytest.approx(3.75)
    assert found.spare_cost_per_month == pytest.approx(3.75 * 2 * 730.5)


def test_need_grows_with_demand():
    found = need(pools((7440, 3720, 14880)), 744, 0.8, demand_growth=1.0)
    assert found.pools["gpus_needed"].iloc[0] == pytest.approx(12.5)
    assert found.gpus_spare == pytest.approx(-2.5)
    assert found.spare_cost_per_month == pytest.approx(-2.5 * 2 * 730.5)


def test_need_sums_pools():
    found = need(pools((7440, 3720, 14880), (744, 744, 744)), 744, 1.0)
    assert list(found.pools["gpus_spare"]) == pytest.approx([5, 0])
    assert found.gpus_spare == pytest.approx(5)
    assert found.spare_cost_per_month == pytest.approx(5 * 2 * HOURS_PER_YEAR / 12)


@pytest.mark.parametrize("growth", [-1.0, 0.0])
def test_no_demand_needs_nothing(growth):
    demand = 0 if growth == 0 else 500
    assert need(pools((7440, demand, 14880)), 744, 0.5, growth).pools["gpus_needed"].iloc[0] == 0


def test_full_pool_at_target_one_is_just_enough():
    found = need(pools((7440, 7440, 100)), 744, 1.0)
    assert found.gpus_spare == 0 and found.spare_cost_per_month == 0


def test_pool_without_capacity_has_no_price():
    found = need(pools((0, 744, None)), 744, 1.0)
    assert found.gpus_spare == pytest.approx(-1)
    assert found.spare_cost_per_month == 0


def test_no_pools():
    found = need(pools(), 744, 0.8)
    assert found.gpus_spare == found.spare_cost_per_month == 0 and found.pools.empty


AMOUNT = st.floats(1, 1e7)


@settings(deadline=None)
@given(capacity=AMOUNT, allocated=AMOUNT, target=st.floats(0.05, 1), growth=st.floats(-0.9, 3), cost=AMOUNT)
def test_fleet_of_the_needed_size_is_held_for_the_target_share(capacity, allocated, target, growth, cost):
    row = need(pools((capacity, allocated, cost)), 720, target, growth).pools.iloc[0]
    assert allocated * (1 + growth) / (row["gpus_needed"] * 720) == pytest.approx(target)
    assert row["gpus_now"] == pytest.approx(row["gpus_needed"] + row["gpus_spare"])


@pytest.mark.parametrize(
    "values, message",
    [
        ((744, 0), "target_allocation must lie above 0"),
        ((744, 1.01), "at most at 1, not 1.01"),
        ((744, float("nan")), "target_allocation"),
        ((744, 0.5, -1.5), "demand_growth must be at least -1, not -1.5"),
        ((744, 0.5, float("nan")), "demand_growth"),
        ((0, 0.5), "hours must be above 0"),
    ],
)
def test_values_out_of_range(values, message):
    with pytest.raises(OutOfRange, match=message):
        need(pools((7440, 3720, 14880)), *values)

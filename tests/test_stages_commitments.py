"""How many commitments 3_control says to buy: a steady demand by hand, what is planned on top, and the sample."""

import numpy as np
import pandas as pd
import pytest

from dcbudget.errors import OutOfRange
from dcbudget.ingest.load import load
from dcbudget.stages.commitments import GREW, PLANNED, Commitments
from dcbudget.stages.control import Control
from tiny import charge, make, write

PRICES = [
    {"provider": "Cloud", "region": "x", "sku": "h100-8x", "gpu_model": "H100", "gpus": "8", "pricing_category": kind,
     "unit": "Hours", "unit_price": price, "currency": "USD", "effective_from": "2026-01-01"}
    for kind, price in (("Standard", "32"), ("Committed", "16"), ("Dynamic", "12"))
]  # fmt: skip


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    """8 H100 on demand day and night for three months, at 4 an hour."""
    folder = tmp_path_factory.mktemp("steady")
    bill = [charge(f"node {month}", str(hours * 8 * 4), gpus=("H100", 8, hours), start=f"2026-0{month}-01",
                   end=f"2026-0{month + 1}-01", PricingCategory="Standard")
            for month, hours in ((3, 744), (4, 720), (5, 744))]  # fmt: skip
    db = make(folder, charges=bill)
    load([write(folder / "prices.csv", PRICES)], db)
    return Commitments(Control("2026-05", str(db)))


def test_steady_demand_is_committed_to_whole(steady):
    """8 GPUs without a doubt: 8 commitments at half the price save half of 8 GPUs x 365 days x 24 h x 4."""
    found = steady.buy(growth=0.0, demand=GREW)
    assert (found.gpu_model, found.found.quantity, found.committed_now) == ("H100", 8, 0)
    assert found.found.expected_saving == pytest.approx(8 * 365 * 24 * 2)
    assert found.found.utilisation == pytest.approx(1)
    assert "8 committed H100 are cheapest" in steady.buy_chart(found).to_dict()["title"]["text"]


def test_no_discount_is_no_commitment_and_growth_is_more(steady):
    assert steady.buy(growth=0.0, commitment_discount=0.0).found.quantity == 0
    assert steady.buy(growth=1.0).found.quantity > steady.buy(growth=0.0).found.quantity


def test_same_seed_same_answer(steady):
    one = steady.buy(growth=0.3).found.curve
    steady.buy(growth=0.1)
    pd.testing.assert_frame_equal(one, steady.buy(growth=0.3).found.curve)


# As planned.

HOURS = {"gpu_model": "H100", "gpu_hours_per_month": 8 * 365.25 * 24 / 12}


def test_what_is_planned_is_committed_to_and_the_past_does_not_know_it(steady):
    """Another 8 GPUs from September on, 9 of the 12 months: at half the price, 16 for all of them."""
    driver = {"project": "new", "driver": "gpu_hours", "start": "2026-09"} | HOURS
    planned = Commitments(Control("2026-05", steady.database), [driver])
    found, grown = (planned.buy(growth=0.0, demand=demand) for demand in (None, GREW))
    assert (found.demand, found.found.quantity, grown.found.quantity) == (PLANNED, 16, 8)
    # the plan doubts the published MFU, by 2 % in a year
    assert found.found.on_demand_cost == pytest.approx(24 * 4 * (8 * 92 + 16 * 273), rel=0.005)
    assert found.found.expected_cost == pytest.approx(24 * 2 * 16 * 365, rel=0.015)
    assert "400 paths of demand as planned" in planned.buy_chart(found).to_dict()["title"]["subtitle"]


def test_months_of_the_plan_grow_as_the_slider_says(steady):
    """Demand doubles in a year: 8 x 2^(n/12) in the n-th month."""
    steady.buy(growth=1.0)
    days = pd.date_range("2026-06-01", "2027-05-31")
    monthly = pd.DataFrame(steady._drawn[1].T, index=days).resample("MS").mean()
    expected = 8 * 2 ** (np.arange(1, 13) / 12)
    assert monthly.median(axis=1).to_numpy() == pytest.approx(expected, rel=0.005)
    # beyond a year the plan is another one, and goes on
    steady.buy(growth=1.0, months=24)
    assert steady._drawn[1].shape == (400, 731) and steady._drawn[1][:, -1].min() > 8 * 2**1.9


def test_a_plan_that_rents_none_of_a_model_is_a_sentence(steady):
    assert steady.usual_demand == PLANNED
    with pytest.raises(OutOfRange, match="demand must be one of as planned, as it grew, not 'guessed'"):
        steady.buy(demand="guessed")
    gone = Commitments(Control("2026-05", steady.database), [{"project": "x", "driver": "measured"}])
    with pytest.raises(OutOfRange, match="project of a measured driver must be one of Unallocated, not 'x'"):
        gone.buy()
    for name, value in (("draws", 3), ("seed", -1), ("drivers", {"project": "x"})):
        with pytest.raises(OutOfRange, match=name):
            Commitments(Control("2026-05", steady.database), **{name: value})


# On the sample.


@pytest.fixture(scope="module")
def june(sample_db):
    return Commitments(Control("2026-06", str(sample_db)))


def test_sample_plan_asks_for_more_than_the_past(june):
    """Projects on rented GPUs grow faster than all GPU-hours do, and the owned fleet is full."""
    for model in june.rented_models:
        planned, grown = (june.buy(model, demand=demand).found.quantity for demand in (PLANNED, GREW))
        assert planned > grown > 0, model


def test_sample_commitments_cover_less_than_is_cheapest(june):
    """The H100 are bought on demand around the clock beyond their commitments, as the sample has planted."""
    frame = june.buys().frame.set_index("gpu_model")
    assert frame.loc["H100", "best"] > frame.loc["H100", "now"] > 0
    assert frame.loc["A100", "used"] < 0.5 and "A100" in june.buys().title

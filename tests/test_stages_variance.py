"""The bridge of a database: a pool of two months by hand, and the sample's to the cent."""

import shutil

import pandas as pd
import pytest

from dcbudget import adjustments
from dcbudget.budget import quantities_of, save_plan
from dcbudget.errors import DcbudgetError, OutOfRange
from dcbudget.models.variance import EFFECTS, shapley
from dcbudget.stages.variance import Variance
from tiny import budget, charge, egress, job, make

POOL = '{"cluster":"east"}'
# 100 GPU-hours a month of one pool, for 200 and then 300; alpha's jobs hold 80 and then 50 of them.
CHARGES = [
    charge("april", "200", start="2026-04-01", end="2026-05-01", gpus=("H100", 1, 100), tags=POOL),
    charge("may", "300", gpus=("H100", 1, 100), tags=POOL),
    egress("2026-04", "10"), egress("2026-05", "15"),
]  # fmt: skip
JOBS = [
    job(1, "a-x", "east", "h100", 2, "2026-04-10T00:00:00", "2026-04-10T00:00:00", "2026-04-11T16:00:00", used=50),
    job(2, "a-x", "east", "h100", 1, "2026-05-10T00:00:00", "2026-05-10T00:00:00", "2026-05-12T02:00:00", used=50),
]
PLAN = [budget("2026-05", "alpha", "Rented GPUs", "100"), budget("2026-05", "alpha", "Network", "12")]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return str(make(tmp_path_factory.mktemp("pool"), charges=CHARGES, jobs=JOBS, plan=PLAN))


def effects(found) -> dict:
    return {name: money for name, money in found.bridge.effects.items() if money}


def test_month_to_month_by_hand(pool):
    found = Variance("2026-05", against="months before", database=pool)
    items = found.bridge.items.set_index(["project", "group"])
    # alpha: 80 useful hours at 2 become 50 at 3: 30 fewer at 2.50, and 1 more for 65.
    alpha = items.loc[("alpha", "Rented GPUs")]
    assert (alpha["before"], alpha["after"], alpha["volume"], alpha["price"]) == (160, 150, -75, 65)
    # Idle: 0.25 hours per useful hour become 1. Shapley values of 80, 0.25 and 2 to 50, 1 and 3.
    idle = items.loc[("Idle capacity", "Rented GPUs")]
    assert (idle["volume"], idle["efficiency"], idle["price"]) == (-48.75, 120, 38.75)
    assert effects(found) == {"volume": -123.75, "efficiency": 120, "price": 103.75, "amount": 5}
    assert found.sentence() == (
        "May 2026 cost 315 USD, 105 USD (50.0%) more than April 2026: more GPU-hours for the same work added 120 USD,"
        " higher prices 104 USD and what no GPU-hours count 5 USD; less useful work took off 124 USD"
    )


def test_budget_of_amounts_is_counted_at_standard_prices(pool):
    """100 is 50 GPU-hours at April's 2; they cost 3. Nobody budgeted idle hours."""
    found = Variance("2026-05", database=pool)
    assert (found.bridge.before, found.bridge.after) == (112, 315)
    assert effects(found) == {"price": 50, "new": 150, "amount": 3}
    assert found.counted_by == "GPU-hours of the budget at prices of Apr 2026"
    assert "203 USD (181.2%) over budget" in found.sentence()


def test_budget_of_amounts_without_standard_prices_says_so(pool):
    found = Variance("2026-05", database=pool, standard_months=0)
    assert effects(found) == {"new": 150, "amount": 53}
    assert found.counted_by == "the budget tells amounts alone, and no quantities"


def test_budget_with_its_own_gpu_hours_by_hand(pool, tmp_path):
    """Planned are 60 GPU-hours at 2, 90 % of them useful, and 30 idle ones; 50 useful ones at 3 came, and 50 idle."""
    db = shutil.copy(pool, tmp_path / "budget.duckdb")
    may = pd.Timestamp("2026-05-01")
    lines = [("alpha", "Rented GPUs", 120.0), ("Idle capacity", "Rented GPUs", 60.0), ("alpha", "Network", 12.0)]
    hours = [("alpha", 60.0, 54.0, 120.0), ("Idle capacity", 30.0, 54.0, 60.0)]
    lines = pd.DataFrame(lines, columns=["project", "category", "amount"]).assign(month=may, currency="USD")
    hours = pd.DataFrame(hours, columns=["project", "gpu_hours", "useful_gpu_hours", "amount"]).assign(
        month=may, gpu_model="H100", paid_as="rented", currency="USD")  # fmt: skip
    save_plan(lines, "2027", "approved", db, quantities=hours)
    found = Variance("2026-05", database=str(db), plan_version="2027")
    assert found.counted_by == "GPU-hours of plan 2027"
    told = found.bridge.items.set_index(["project", "group"])
    before, after = [54, 60 / 54, 2], [50, 1, 3]
    volume, efficiency, price = shapley(before, after)
    alpha = told.loc[("alpha", "Rented GPUs"), ["volume", "efficiency", "price", "mix"]].astype(float)
    assert alpha.tolist() == pytest.approx([volume, efficiency, price, 0], abs=0.005)
    idle = told.loc[("Idle capacity", "Rented GPUs"), ["volume", "efficiency", "price"]].astype(float)
    assert idle.tolist() == pytest.approx(shapley([54, 30 / 54, 2], [50, 1, 3]).tolist(), abs=0.005)
    assert found.bridge.effects["amount"] == 3 and found.bridge.after - found.bridge.before == 315 - 192
    # Money that moves takes its GPU-hours with it, at the budget's price: 30 of alpha's 120 are 15 of its 60.
    adjustments.propose(
        owner="ann", date="2026-05-02", promised_saving=1.0, currency="USD", first_month=may, last_month=may,
        amount=30.0, from_project="alpha", from_category="Rented GPUs", to_project="alpha", to_category="Network",
        counterfactual="budget before", plan_version="2027", db=db,
    )  # fmt: skip
    _, plan = adjustments.accept("2026-05-02-01", "2026-05-03", consent="bob", db=db)
    kept = quantities_of(plan.plan_version, db).set_index("project")[["gpu_hours", "useful_gpu_hours", "amount"]]
    assert kept.loc["alpha"].tolist() == pytest.approx([45, 40.5, 90])
    assert kept.loc["Idle capacity"].tolist() == [30, 54, 60]
    # Lines that hold less than their GPU-hours cost tell that somebody changed them: then amounts alone count.
    save_plan(lines.assign(amount=[50.0, 60.0, 12.0]), "2028", "draft", db, quantities=hours)
    assert "prices of Apr 2026" in Variance("2026-05", database=str(db), plan_version="2028").counted_by


def test_shown_parts_are_those_of_the_bridge(pool):
    found = Variance("2026-05", against="months before", database=pool)
    chart = found.chart().to_dict()
    steps = [row for rows in chart["datasets"].values() for row in rows]
    assert [row["label"] for row in steps] == ["210", "-124", "+120", "+104", "+5", "315"]
    assert steps[-1]["to"] == pytest.approx(315) and "effective cost, USD" in chart["title"]["subtitle"]
    table = found.table("group")
    assert table.frame["change"].sum() == 105 and list(table.frame["group"]) == ["Rented GPUs", "Network"]


def test_sample_ties_to_the_cent(sample_db):
    found = Variance("2026-06", "2026-01", database=str(sample_db))
    bridge = found.bridge
    lines = found.table("project").frame
    assert bridge.before == pytest.approx(4_729_350, abs=1e-6)
    assert round(lines[list(EFFECTS)].to_numpy().sum(), 2) == round(bridge.after - bridge.before, 2)
    assert round(100 * bridge.effects.sum()) == round(100 * (bridge.after - bridge.before))
    assert bridge.after == pytest.approx(found._rows("showback_monthly", found.months)["amount"].sum(), abs=0.005)
    # its budget was written at planned volumes, so less was wasted in it than came
    assert bridge.effects["efficiency"] > 0 and abs(bridge.effects["amount"]) < 0.1 * bridge.effects.abs().sum()


def test_what_cannot_be_compared_is_said(pool, sample_db):
    with pytest.raises(DcbudgetError, match="no plan covers 2026-04"):
        Variance("2026-04", database=pool)
    with pytest.raises(OutOfRange, match="against must be budget or months before, not 'plan'"):
        Variance("2026-05", against="plan", database=pool)
    with pytest.raises(OutOfRange, match="since must not lie after month 2026-04, not 2026-05"):
        Variance("2026-04", "2026-05", "months before", pool)
    with pytest.raises(DcbudgetError, match="no charges in 2026-03"):
        _ = Variance("2026-04", against="months before", database=pool).bridge
    with pytest.raises(DcbudgetError, match="plan 2026 has no line in 2026-04"):
        _ = Variance("2026-05", "2026-04", database=pool).bridge

"""What a month gives back: measured values that are recorded, and where the next plan starts."""

import pandas as pd
import pytest

from dcbudget import budget, warehouse
from dcbudget.stages.calibration import LABELS, Calibration
from dcbudget.stages.carbon import Carbon
from dcbudget.stages.feedback import Feedback
from dcbudget.stages.forecast import Forecasts
from dcbudget.stages.plan import Plan
from dcbudget.stages.review import MonthlyReview
from dcbudget.tables import Table
from tiny import FLEET, job, make, make_world, shown

MAY = pd.Timestamp("2026-05-01")


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """The world, and what May gives before anything is recorded."""
    db = str(make_world(tmp_path_factory.mktemp("world")))
    return db, {name: Calibration("2026-05", db)[name] for name in LABELS}, Feedback(Forecasts("2026-05", db))


@pytest.fixture(scope="module")
def recorded(before):
    """The same with May recorded, twice."""
    db, _, feedback = before
    assert budget.record_calibration(feedback.records, db) == budget.record_calibration(feedback.records, db) > 10
    return db


def record(db, name, value, month, unit="share"):
    budget.record_calibration(
        pd.DataFrame([{"name": name, "value": value, "unit": unit, "month": month, "source": "by hand"}]), db
    )


def test_month_gives_what_was_measured_and_nothing_that_was_published(before):
    """Jobs held 62 GPU-hours in May, 40 of them failed; no run told an MFU."""
    values = before[2].records.set_index("name")["value"]
    assert values["failure_share"] == pytest.approx(40 / 62)
    assert values["price:A100:committed"] == pytest.approx((40 + 60) / (24 + 16))
    assert "mfu" not in values and "pue" not in values and "price:H100:spot" not in values
    assert values["plan_bias"] == pytest.approx(120 / 1572.58 - 1, abs=1e-4)
    assert before[2].table().frame["label"].tolist()[-2:] == ["L4, on-demand", "Budgets above what was spent"]


def test_recording_twice_is_recording_once_and_changes_no_number(before, recorded):
    kept = budget.recorded_calibration(recorded)
    wanted = before[2].records.sort_values("name", ignore_index=True)
    assert kept[wanted.columns].equals(wanted)
    after = Calibration("2026-05", recorded)
    for name, measure in before[1].items():
        now = after[name]
        assert (now.value, now.low, now.high, now.count) == (measure.value, measure.low, measure.high, measure.count)
        assert now.source.endswith("; recorded for May 2026") == (measure.count > 0)
    assert after["plan_bias"].value == before[2].records.set_index("name")["value"]["plan_bias"]
    assert "Budgets above what was spent" in after.table().frame["label"].tolist()
    assert after.price("H100", "on-demand").value == pytest.approx(10)
    again = Feedback(Forecasts("2026-05", recorded)).records
    assert again.equals(before[2].records)


def test_record_of_the_month_goes_first_and_is_not_measured_again(tmp_path):
    """0.9 is recorded for May where 40 of 62 GPU-hours failed; June is measured, and MFU only recorded."""
    db = str(make_world(tmp_path))
    record(db, "failure_share", 0.9, MAY)
    record(db, "mfu", 0.25, pd.Timestamp("2026-03-01"))
    record(db, "mfu", 0.35, MAY)
    record(db, "pue", 1.9, pd.Timestamp("2026-07-01"), "factor")
    record(db, "power_price_per_kwh", 7.0, MAY, "EUR per kWh")
    may, june = Calibration("2026-05", db), Calibration("2026-06", db)
    assert (may["failure_share"].value, may["failure_share"].high) == (0.9, 0.9)
    assert may["failure_share"].low == pytest.approx(40 / 62)
    assert june["failure_share"].value == Calibration("2026-06", db, recorded=False)["failure_share"].value < 0.9
    assert (june["mfu"].value, june["mfu"].low, june["mfu"].high, june["mfu"].count) == (0.35, 0.25, 0.35, 2)
    assert june["mfu"].source == "by hand; recorded for May 2026"
    assert "measured 35.0%" in june["mfu"].remark and "published" in june["mfu"].remark
    assert june["pue"].count == 0, "what is recorded for a later month is not known yet"
    assert may["power_price_per_kwh"].count == 0, "no price of another currency"
    settings = Plan("2026-05", database=db, draws=100).settings
    assert (settings.failure_share, settings.mfu) == (0.9, 0.35)


def test_energy_and_carbon_of_a_month(tmp_path):
    """Two servers drew 5 kW for the 672 hours of February, times the hall's 1.3, at 0.4 kg a kWh."""
    work = job(1, "a-x", "hall", "h100", 1, *(f"2026-02-02T{hour}:00:00" for hour in ("00", "01", "02")))
    fleet = [FLEET | {"in_service_date": "2026-01-01", "kg_co2e_per_kwh": "0.4"}]
    review = MonthlyReview("2026-02", str(make(tmp_path, fleet=fleet, jobs=[work])))
    table = Carbon(review.reading, review.month).table()
    kwh = 2 * 5 * 672 * 1.3
    assert shown(table.frame, "cluster", "kwh", "kg_co2e") == [("hall", pytest.approx(kwh), pytest.approx(0.4 * kwh))]
    assert table.title.startswith("Owned hardware drew 8.7 MWh in February 2026, -9.7% against the month before, and")
    assert "3.5 t CO2e (" in table.title
    untold = Carbon(review.reading, review.month)
    untold.monthly = untold.monthly.assign(kg_co2e=float("nan"))
    published = warehouse.reference("published").set_index("name").loc["kg_co2e_per_kwh", "value"]
    assert "kg_co2e" not in untold.table().columns, "what is unknown is no zero"
    assert f"about {kwh * published / 1000:,.0f} t CO2e at {published:g} kg a kWh" in untold.table().title
    none = Carbon(review.reading, pd.Timestamp("2025-11-01")).table()
    assert none.frame.empty and none.title.startswith("No energy of owned hardware is known of November 2025")


def test_showback_is_the_months_cost_by_project(tmp_path):
    review = MonthlyReview("2026-05", str(make_world(tmp_path)))
    table: Table = review.showback()
    assert table.frame["all"].sum() == pytest.approx(review.this_month["actual"].sum())
    assert table.frame["share"].sum() == pytest.approx(1)
    assert table.frame["project"].tolist()[-2:] == ["Idle capacity", "Unallocated"]
    alpha = table.frame.set_index("project").loc["alpha"]
    assert alpha["Network"] == 7.25 and alpha["Rented GPUs"] == pytest.approx(100)
    idle = table.frame.set_index("project").loc["Idle capacity", "share"]
    assert f"{idle:.0%} stood idle" in table.title

"""What a database measures: two small clusters by hand, the sample against what was planted in it, and nothing."""

import json
from math import isnan
from pathlib import Path

import pandas as pd
import pytest

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError
from dcbudget.ingest.load import load
from dcbudget.stages.calibration import LABELS, PRICES, Calibration
from tiny import FLEET, charge, egress, job, make, make_world, write


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return Calibration("2026-05", str(make_world(tmp_path_factory.mktemp("world"))))


@pytest.fixture(scope="module")
def sample(sample_db):
    return Calibration("2026-06", str(sample_db))


def test_shares_of_jobs(world):
    """Jobs 1 to 3 held 10, 12 and 40 GPU-hours in May; the 40 failed, and job 1 alone measured, at a half."""
    assert world["failure_share"].value == pytest.approx(40 / 62)
    assert world["allocation_rate"].value == pytest.approx(62 / (100 + 160 + 24 + 16))
    assert world["gpu_utilisation"].value == 0.5
    assert world["queue_wait_hours"].value == 1.0 and world["queue_wait_hours"].count == 3


def test_prices_and_shares_of_rented_gpus(world):
    assert world.price("H100", "on-demand").value == pytest.approx(10)
    assert world.price("A100", "on-demand").value == pytest.approx(400 / 160)
    assert world.price("A100", "committed").value == pytest.approx((40 + 60) / (24 + 16))
    assert world["commitment_discount"].value == pytest.approx(0)
    assert world["commitment_share"].value == pytest.approx(40 / (100 + 160 + 40 + 24))
    assert world["spot_share"].value == 0


def test_a_kind_that_is_not_paid_for_is_a_discount_on_the_own_price(world):
    """Nothing is spot: 10 an hour on demand, less what is published."""
    spot, discount = world.price("H100", "spot"), world["spot_discount"]
    assert discount.count == 0 and spot.count == 1
    assert spot.value == pytest.approx(10 * (1 - discount.value)) == world.money("H100", "spot")
    assert spot.low == pytest.approx(10 * (1 - discount.high))
    assert "on demand as measured, less 60%" in spot.source
    with pytest.raises(DcbudgetError, match="no price of H100, owned, is known; load a bill"):
        world.money("H100", "owned")


def test_what_was_not_measured_is_as_published_and_says_so(world):
    mfu, published = world["mfu"], warehouse.reference("published").set_index("name")["value"]
    assert (mfu.count, mfu.value) == (0, published["mfu"])
    assert "nothing measured" in mfu.remark and "arXiv" in mfu.remark
    v100 = world.price("V100", "spot")
    assert v100.value == pytest.approx(published["on_demand_price:V100"] * (1 - published["spot_discount"]))
    assert isnan(world.price("V100", "owned").value)


def test_every_measure_has_a_published_value_or_says_that_nothing_is_assumed(world):
    for name in LABELS:
        found = world[name]
        assert not isnan(found.published) and found.published_source
        assert found.low <= found.value <= found.high
    assert {"mfu", "pue"} <= LABELS.keys() and len(world.table().frame) >= len(LABELS)


def test_unknown_names_are_sentences(world):
    with pytest.raises(DcbudgetError, match="nothing is measured under the name 'mfo'; there are mfu"):
        world["mfo"]
    with pytest.raises(DcbudgetError, match="a kind of price is one of on-demand, committed, spot, owned"):
        world.price("H100", "cheap")


def test_published_prices_are_in_the_currency_or_not_there(tmp_path):
    """Dollars of a price page are no euros; with a rate they are converted."""
    bill = [charge("x", "1", BillingCurrency="EUR")]
    bare = Calibration("", str(make(tmp_path / "bare", charges=bill)))
    assert isnan(bare.price("H100", "on-demand").value) and bare["mfu"].value == 0.41
    db = make(tmp_path / "rated", charges=bill)
    with warehouse.connect(db, write=True) as con:
        con.execute("insert into rates by name select date '2026-05-01' as date, 'USD' as from_currency,"
                    " 'EUR' as to_currency, 0.5 as rate")  # fmt: skip
    rated, published = Calibration("", str(db)), warehouse.reference("published").set_index("name")["value"]
    assert rated.price("H100", "on-demand").value == pytest.approx(published["on_demand_price:H100"] / 2)
    assert rated["power_price_per_kwh"].unit == "EUR per kWh"


def test_fleet_tells_power_and_life(tmp_path):
    """Two servers of 4 GPUs that draw 5 kW each: 1,250 W a GPU, at 0.1 less 0.02 / 1.3 of heat for each kWh."""
    work = job(1, "a-x", "hall", "h100", 1, *(f"2026-02-02T{hour}:00:00" for hour in ("00", "01", "02")))
    db = make(tmp_path, fleet=[FLEET | {"in_service_date": "2026-01-01", "retire_date": "2026-09-01"}],
              jobs=[work])  # fmt: skip
    known = Calibration("2026-02", str(db))
    assert known["gpu_watts"].value == pytest.approx(1250)
    assert known["pue"].value == 1.3 and known["server_life_years"].value == 0.25
    assert known["power_price_per_kwh"].value == pytest.approx(0.1 - 0.02 / 1.3, abs=1e-5)
    assert known.price("H100", "owned").value > 0


def test_a_retired_fleet_and_a_price_to_come_tell_nothing(tmp_path):
    """The fleet left in February; 8 H100 cost 32 an hour from January on and 80 from June on."""
    db = make(tmp_path, charges=[egress("2026-05", "1")], fleet=[FLEET | {"retire_date": "2026-02-20"}])
    listed = {"provider": "Cloud", "region": "x", "sku": "h100-8x", "gpu_model": "H100", "gpus": "8",
              "pricing_category": "Standard", "unit": "Hours", "currency": "USD"}  # fmt: skip
    prices = [listed | {"unit_price": price, "effective_from": day}
              for price, day in (("24", "2025-01-01"), ("32", "2026-01-01"), ("80", "2026-06-01"))]  # fmt: skip
    load([write(tmp_path / "prices.csv", prices)], db)
    known = Calibration("2026-05", str(db))
    assert known.price("H100", "on-demand").value == 4
    assert (known["pue"].count, known["server_life_years"].count) == (0, 0)


def test_published_discounts_turn_round_on_a_price(world):
    """A larger discount is a lower price."""
    spot, discount = (
        world.price("V100", "spot"),
        warehouse.reference("published").set_index("name").loc["spot_discount"],
    )
    full = warehouse.reference("published").set_index("name")["value"]["on_demand_price:V100"]
    assert (spot.low, spot.high) == pytest.approx((full * (1 - discount["high"]), full * (1 - discount["low"])))
    assert spot.low < spot.high


def test_months_before_the_last_twelve_and_after_the_month_do_not_count(tmp_path):
    hours = ("2026-05-02T00:00:00", "2026-05-02T00:00:00", "2026-05-02T10:00:00")
    later = [hour.replace("2026-05", "2026-06") for hour in hours]
    jobs = [job(1, "a-x", "east", "h100", 1, *hours), job(2, "a-x", "east", "h100", 1, *later, state="FAILED")]
    bill = [charge(f"n{month}", "100", start=f"2026-0{month}-01", end=f"2026-0{month + 1}-01", gpus=("H100", 1, 100),
                   tags='{"cluster":"east"}') for month in (5, 6)]  # fmt: skip
    db = str(make(tmp_path, charges=bill, jobs=jobs))
    assert Calibration("2026-05", db)["failure_share"].value == 0
    assert Calibration("2026-06", db)["failure_share"].value == 0.5
    assert Calibration(pd.Timestamp("2026-06-01"), db)["failure_share"].count == 2


def test_sample_measures_what_was_planted(sample):
    truth = json.loads((Path(__file__).parents[1] / "data/sample/truth.json").read_text())
    change = next(event for event in truth["events"] if event["name"] == "price-change")["evidence"]
    discount = 0.95  # of the provider's list
    assert sample.price("H100", "on-demand").value == pytest.approx(
        float(change["list_price_after"]) / 8 * discount, rel=1e-3
    )
    assert sample.price("H100", "on-demand").low == pytest.approx(
        float(change["list_price_before"]) / 8 * discount, rel=1e-3
    )
    assert sample["price_trend_per_year"].value > 0
    assert 0.3 < sample["mfu"].low < sample["mfu"].value < sample["mfu"].high < 0.5
    assert set(sample.gpu_models) == {"H100", "A100", "L4"}
    measured = [name for name in LABELS if sample[name].count]
    told_by_none = {"kg_co2e_per_kwh", "checkpoint_minutes", "restart_minutes", "network_gb_per_second"}
    assert set(LABELS) - set(measured) == told_by_none
    assert all(sample.price("A100", kind).count for kind in PRICES)


def test_sample_services_and_power_are_what_the_bill_says(sample, sample_db):
    """Once more from the charges and requests: power as June paid for it, storage by the TB, tokens by the second."""
    june = "timestamp '2026-06-01'"
    power, storage = warehouse.query(
        f"select (select sum(e.effective_cost) / sum(e.kwh) from energy_monthly e where e.month = {june})::double as a,"
        " (select 1000 * sum(EffectiveCost) / sum(ConsumedQuantity) from charges where ServiceCategory = 'Storage'"
        f" and ConsumedUnit = 'GB-Months' and ProviderName <> 'Owned' and BillingPeriodStart = {june})::double as b",
        sample_db).iloc[0]  # fmt: skip
    assert sample["power_price_per_kwh"].value == pytest.approx(power)
    assert sample["storage_price_per_tb_month"].value == pytest.approx(storage, rel=0.01)
    year = f"t.month > {june} - interval 12 month and t.month <= {june}"
    served = warehouse.query(
        "with served as (select t.month, t.project, sum(t.input_tokens + t.output_tokens) as tokens from tokens_monthly"
        f" t where {year} group by all), held as (select t.month, t.project, sum(t.gpu_hours) as hours from"
        " gpu_ledger_monthly t where t.bucket in ('useful', 'failed or restarted', 'held but idle') group by all)"
        " select (sum(tokens) / sum(3600 * hours))::double as rate from served join held using (month, project)",
        sample_db)["rate"].iloc[0]  # fmt: skip
    assert sample["tokens_per_second_per_gpu"].value == pytest.approx(served)

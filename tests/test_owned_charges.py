"""Owned hardware as charges: depreciation, power, staff and space, month by month, by hand."""

from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcbudget import warehouse
from tiny import FLEET, charge, job, make, rows

COLUMNS = "ServiceName, EffectiveCost, BilledCost, ConsumedQuantity::double, ConsumedUnit, x_gpu_hours"
JOB = job(1, "a-x", "hall", "h100", 1, "2026-02-27T00:00:00", "2026-02-27T01:00:00", "2026-02-27T02:00:00")


def last_bill(month="2026-06"):
    """A bill that says how far the owned charges go."""
    year, number = map(int, month.split("-"))
    end = f"{year + number // 12}-{number % 12 + 1:02}-01"
    return [charge("anything", "1", start=f"{month}-01", end=end)]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """The two servers of FLEET, and the same with measured power, retired on 11 March at 00:00."""
    retired = FLEET | {"asset_id": "srv-2", "retire_date": "2026-03-11", "measured_kw": "4", "purchase_date": ""}
    return make(tmp_path_factory.mktemp("ledger"), charges=last_bill(), fleet=[FLEET, retired])


def lines(db, asset, month, category="Usage"):
    where = f"where ResourceId = '{asset}' and ChargeCategory = '{category}' and BillingPeriodStart = '{month}-01'"
    return {row[0]: row[1:] for row in rows(db, f"select {COLUMNS} from owned_charges {where}")}


def test_first_month_from_the_day_of_service(ledger):
    """16 days = 384 h of two servers: 10 kW drawn, 8 GPUs, 1800.02 over 3 months."""
    found = lines(ledger, "srv-1", "2026-01")
    assert found["Owned hardware"] == (Decimal("600.01"), 0, 1, "Months", 8 * 384)
    # 384 h x 10 kW x (1.3 x 0.10 - 0.02); kWh with the losses of the hall
    assert found["Power"] == (Decimal("422.40"), Decimal("422.40"), pytest.approx(384 * 10 * 1.3), "kWh", None)
    assert found["Facility and staff"] == (Decimal("100"), Decimal("100"), 1, "Months", None)
    assert set(found) == {"Owned hardware", "Power", "Facility and staff"}
    period = "select distinct ChargePeriodStart, ChargePeriodEnd from owned_charges where ResourceId = 'srv-1'"
    assert rows(ledger, f"{period} and ChargeCategory = 'Usage' and BillingPeriodStart = '2026-01-01'") == [
        (datetime(2026, 1, 16), datetime(2026, 2, 1))
    ]


def test_whole_month_and_the_odd_cent(ledger):
    february, march = lines(ledger, "srv-1", "2026-02"), lines(ledger, "srv-1", "2026-03")
    assert february["Owned hardware"][0] == Decimal("600.00")
    assert march["Owned hardware"][0] == Decimal("600.01")
    assert february["Power"][0] == Decimal("739.20")  # 672 h x 10 kW x 0.11
    assert february["Owned hardware"][4] == 8 * 672


def test_after_its_life_it_costs_power_and_staff_only(ledger):
    june = lines(ledger, "srv-1", "2026-06")
    assert june["Owned hardware"][0] == 0
    assert june["Owned hardware"][4] == 8 * 720
    assert june["Power"][0] == Decimal("792.00")  # 720 h x 10 kW x 0.11
    assert june["Facility and staff"][0] == 100


def test_depreciation_sums_to_price_less_residual(ledger):
    found = rows(ledger, "select sum(EffectiveCost) from owned_charges where ServiceName = 'Owned hardware'"
                         " and ChargeCategory = 'Usage' and ResourceId = 'srv-1'")  # fmt: skip
    assert found == [(Decimal("1800.02"),)]


def test_retired_in_the_month(ledger):
    """Measured power goes before the nameplate; 10 days of March; nothing after."""
    march = lines(ledger, "srv-2", "2026-03")
    assert march["Owned hardware"][4] == 8 * 240
    assert march["Power"][0] == Decimal("211.20")  # 240 h x 2 x 4 kW x 0.11
    assert lines(ledger, "srv-2", "2026-04") == {}


def test_retired_on_the_first_of_a_month(tmp_path):
    """Retired on 1 March at 00:00, February is the last month."""
    db = make(tmp_path, charges=last_bill(), fleet=[FLEET | {"retire_date": "2026-03-01"}])
    assert lines(db, "srv-1", "2026-02")["Owned hardware"][4] == 8 * 672
    assert lines(db, "srv-1", "2026-03") == {}


def test_purchase_is_billed_once_and_not_amortised_again(ledger):
    columns = "BillingPeriodStart::date, BilledCost, EffectiveCost, ListCost, ConsumedQuantity::int"
    found = rows(
        ledger, f"select ResourceId, {columns} from owned_charges where ChargeCategory = 'Purchase' order by 1"
    )
    assert found == [
        ("srv-1", date(2025, 12, 1), Decimal("2000.02"), 0, Decimal("2000.02"), 2),
        ("srv-2", date(2026, 1, 1), Decimal("2000.02"), 0, Decimal("2000.02"), 2),
    ]
    billed = rows(ledger, "select sum(BilledCost) from owned_charges where ServiceName = 'Owned hardware'")
    assert billed == [(Decimal("4000.04"),)]


def test_nothing_after_the_last_bill(ledger):
    assert rows(ledger, "select max(ChargePeriodEnd) from owned_charges") == [(datetime(2026, 7, 1),)]


def test_capacity_of_the_month_is_the_hours_in_service(ledger):
    found = warehouse.mart("gpu_hours_monthly", ledger).set_index("month")["capacity_gpu_hours"]
    assert found["2026-01-01"] == 2 * 8 * 384
    assert found["2026-03-01"] == 8 * 744 + 8 * 240
    assert found["2026-06-01"] == 8 * 720


def test_capacity_by_day_sums_to_the_month(ledger):
    daily = warehouse.mart("gpu_hours_daily", ledger).set_index("day")["capacity_gpu_hours"]
    assert daily["2026-01-16"] == pytest.approx(2 * 8 * 24)
    assert "2026-01-15" not in daily.index
    assert daily["2026-03-10"] == pytest.approx(2 * 8 * 24)
    assert daily["2026-03-11"] == pytest.approx(8 * 24)
    assert daily["2026-03-01":"2026-03-31"].sum() == pytest.approx(8 * 744 + 8 * 240)


def test_what_is_not_given_costs_nothing(tmp_path):
    """Storage without power, staff or residual value."""
    empty = dict.fromkeys(("nameplate_kw", "power_fraction", "pue", "tariff_per_kwh", "heat_credit_per_kwh",
                           "staff_cost_per_month", "space_cost_per_month", "residual_value", "gpu_model",
                           "gpus_per_unit"), "")  # fmt: skip
    disks = FLEET | empty | {"kind": "storage", "units": "1", "in_service_date": "2026-05-01", "life_months": "2"}
    db = make(tmp_path, charges=last_bill(), fleet=[disks])
    assert lines(db, "srv-1", "2026-05") == {"Owned hardware": (Decimal("500.01"), 0, 1, "Months", 0)}
    assert lines(db, "srv-1", "2026-06")["Owned hardware"][0] == Decimal("500.00")
    assert rows(db, "select distinct ServiceCategory from owned_charges") == [("Storage",)]
    assert rows(db, "select kw from inventory") == [(None,)]


def test_without_a_bill_the_jobs_say_how_far(tmp_path):
    db = make(tmp_path, fleet=[FLEET], jobs=[JOB])
    assert rows(db, "select max(BillingPeriodStart) from owned_charges") == [(datetime(2026, 2, 1),)]


def test_without_bill_and_jobs_nothing_is_charged_retired_or_not(tmp_path):
    db = make(tmp_path, fleet=[FLEET, FLEET | {"asset_id": "srv-2", "retire_date": "2026-03-11"}])
    assert rows(db, "select count(*) from owned_charges") == [(0,)]


def test_bought_after_the_last_bill(tmp_path):
    later = FLEET | {"in_service_date": "2026-08-01", "purchase_date": "2026-07-20"}
    assert rows(make(tmp_path, charges=last_bill(), fleet=[later]), "select count(*) from owned_charges") == [(0,)]


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    """A database whose bills reach to 2060."""
    db = make(tmp_path_factory.mktemp("far"), charges=last_bill("2060-01"))
    with warehouse.connect(db, write=True) as con:
        yield con


CENTS = st.integers(0, 10**10).map(lambda cents: Decimal(cents) / 100)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(price=CENTS, share=st.integers(0, 100), units=st.integers(0, 500), life=st.integers(1, 180),
       start=st.dates(date(2024, 1, 1), date(2044, 12, 31)))  # fmt: skip
def test_depreciation_sums_to_the_cent_whatever_the_price_and_life(far, price, share, units, life, start):
    residual = (price * share / 100).quantize(Decimal("0.01"))
    far.execute("begin")
    try:
        far.execute(
            "insert into fleet (asset_id, kind, units, in_service_date, life_months, purchase_price, residual_value,"
            " currency) values ('a', 'server', ?, ?, ?, ?, ?, 'USD')",
            [units, start, life, price, residual],
        )
        total, months, least = far.execute(
            "select sum(EffectiveCost), count(*) filter (EffectiveCost > 0), min(EffectiveCost) from owned_charges"
        ).fetchone()
    finally:
        far.execute("rollback")
    assert total == (price - residual) * units
    assert months <= life
    assert least >= 0

"""Owned hardware as charges: depreciation, write-off, power by the hour, staff and space, month by month, by hand."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import log
from zoneinfo import ZoneInfo

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
    # 2 x 50 a month x 384 h of 744 h
    assert found["Facility and staff"][:2] == (Decimal("51.61"), Decimal("51.61"))
    assert found["Facility and staff"][2:] == (pytest.approx(384 / 744), "Months", None)
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


def hour_price(hours: str, price: str, days="", since="2020-01-01", zone="Europe/Berlin", **more) -> dict:
    """A line of the tariff `grid`; `hours` as 22-6."""
    first, last = hours.split("-")
    return {"tariff": "grid", "effective_from": since, "days": days, "from_hour": first, "to_hour": last,
            "price_per_kwh": price, "currency": "USD", "timezone": zone} | more  # fmt: skip


def power(db, month="2026-05"):
    """(money, kWh, currency) of srv-1's power."""
    return rows(db, "select EffectiveCost::double, ConsumedQuantity::double, BillingCurrency from owned_charges"
                    " where ServiceName = 'Power' and ResourceId = 'srv-1'"
                    f" and BillingPeriodStart = '{month}-01' order by 3")  # fmt: skip


# One unit that draws 1 kW without losses and costs nothing but its power: a price of 1 makes money of hours.
HEATER = FLEET | {"units": "1", "in_service_date": "2024-01-01", "nameplate_kw": "1", "power_fraction": "",
                  "pue": "", "tariff": "grid", "tariff_per_kwh": "", "heat_credit_per_kwh": ""}  # fmt: skip


def test_a_month_of_one_server_as_a_controller_works_it_out(tmp_path):
    server = FLEET | {
        "units": "1", "in_service_date": "2026-01-01", "life_months": "36", "purchase_price": "36000",
        "interconnect_price": "4000", "residual_value": "4000", "nameplate_kw": "10", "power_fraction": "0.6",
        "pue": "1.25", "heat_credit_per_kwh": "0.02", "tariff": "grid", "tariff_per_kwh": "",
        "staff_cost_per_month": "300", "space_cost_per_month": "150.50",
    }  # fmt: skip
    tariff = [hour_price("22-6", "0.10"), hour_price("6-22", "0.20"), hour_price("17-20", "0.40", "weekday")]
    found = lines(make(tmp_path, charges=last_bill(), fleet=[server], tariffs=tariff), "srv-1", "2026-05")
    # (36,000 + 4,000 of interconnect - 4,000 of residual value) / 36 months
    assert found["Owned hardware"][:2] == (1000, 0)
    # May 2026 has 31 days, 21 of them from Monday to Friday
    night, peak = 31 * 8, 21 * 3
    day = 31 * 16 - peak
    assert (night, day, peak, night + day + peak) == (248, 433, 63, 744)
    # the server draws 10 kW x 0.6 = 6 kW, the hall 6 kW x 1.25 = 7.5 kW
    bought = 248 * 7.5 * 0.10 + 433 * 7.5 * 0.20 + 63 * 7.5 * 0.40
    heat_sold = 744 * 6 * 0.02
    assert (round(bought, 2), round(heat_sold, 2)) == (1024.50, 89.28)
    assert found["Power"] == (Decimal("935.22"), Decimal("935.22"), 744 * 7.5, "kWh", None)
    assert found["Facility and staff"] == (Decimal("450.50"), Decimal("450.50"), 1, "Months", None)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham"])
def test_every_hour_has_the_price_of_its_local_hour_once(tmp_path, zone):
    """The quarters of an hour of months in which clocks change, one by one; each hour of a week has a price of its own.

    Lord Howe's clocks change by half an hour, Chatham is 12:45 h ahead of UTC.
    """
    tariff = [hour_price(f"{hour}-{hour + 1}", str((hour + 1) ** 3 * factor), days, zone=zone)
              for days, factor in (("weekday", 1), ("weekend", 50)) for hour in range(24)]  # fmt: skip
    db = make(tmp_path, charges=last_bill("2026-11"), fleet=[HEATER], tariffs=tariff)
    for month in (3, 4, 9, 10, 11):
        moment, end = datetime(2026, month, 1, tzinfo=UTC), datetime(2026, month + 1, 1, tzinfo=UTC)
        expected, hours = 0.0, (end - moment) / timedelta(hours=1)
        while moment < end:
            local = moment.astimezone(ZoneInfo(zone))
            expected += (local.hour + 1) ** 3 * (50 if local.weekday() > 4 else 1) / 4
            moment += timedelta(minutes=15)
        assert power(db, f"2026-{month:02}") == [(pytest.approx(expected, rel=1e-12), hours, "USD")]


def test_the_clocks_change(tmp_path):
    """At 1 a kWh from 2 to 3 o'clock: no such hour on 29 March, two of them on 25 October."""
    db = make(tmp_path, charges=last_bill("2026-11"), fleet=[HEATER],
              tariffs=[hour_price("2-3", "1"), hour_price("3-2", "0")])  # fmt: skip
    assert [power(db, f"2026-{month}") for month in ("03", "09", "10")] == [
        [(30, 744, "USD")], [(30, 720, "USD")], [(32, 744, "USD")]
    ]  # fmt: skip


def test_february_of_a_leap_year_has_a_day_more(tmp_path):
    db = make(tmp_path, charges=last_bill("2028-03"), fleet=[HEATER], tariffs=[hour_price("0-24", "1")])
    assert (power(db, "2027-02"), power(db, "2028-02")) == ([(672, 672, "USD")], [(696, 696, "USD")])


def test_a_new_price_within_a_month(tmp_path):
    """The second price holds from 16 May at 00:00 of Berlin, 15 May at 22:00 UTC: 15 x 24 - 2 h at 1, the rest at 3."""
    db = make(tmp_path, charges=last_bill(), fleet=[HEATER],
              tariffs=[hour_price("0-24", "1"), hour_price("0-24", "3", since="2026-05-16")])  # fmt: skip
    assert power(db, "2026-04") == [(720, 720, "USD")]
    assert power(db) == [(358 * 1 + 386 * 3, 744, "USD")]
    assert power(db, "2026-06") == [(2160, 720, "USD")]


def test_the_first_price_holds_from_its_day_on_for_all_that_name_it(tmp_path):
    """New York's 1 May begins at 04:00 UTC, the month of the ledger at 00:00; a second heater comes a month later."""
    first, second = HEATER | {"in_service_date": "2026-05-01"}, HEATER | {"asset_id": "srv-2"}
    tariff = [hour_price("0-24", "1", since="2026-05-01", zone="America/New_York")]
    db = make(tmp_path, charges=last_bill(), fleet=[first, second | {"in_service_date": "2026-06-01"}], tariffs=tariff)
    assert power(db) == [(744, 744, "USD")]
    assert power(db, "2026-06") == [(720, 720, "USD")]


def test_a_part_month_at_prices_by_the_hour(tmp_path):
    """In service from 16 to 20 May, four days of Kolkata's 18 to 6 o'clock at 1, else 2."""
    short = HEATER | {"in_service_date": "2026-05-16", "retire_date": "2026-05-20"}
    tariff = [hour_price("18-6", "1", zone="Asia/Kolkata"), hour_price("6-18", "2", zone="Asia/Kolkata")]
    db = make(tmp_path, charges=last_bill(), fleet=[short], tariffs=tariff)
    assert power(db) == [(4 * 12 * 1 + 4 * 12 * 2, 96, "USD")]


def test_weekdays_go_before_every_day_and_later_lines_before_earlier(tmp_path):
    tariff = [hour_price("8-9", "7", "weekday"), hour_price("0-24", "0"), hour_price("8-10", "1")]
    db = make(tmp_path, charges=last_bill(), fleet=[HEATER], tariffs=tariff)
    assert power(db) == [(21 * 7 + 10 * 1 + 31 * 1, 744, "USD")]


def test_hours_without_a_price_have_the_flat_one_or_no_amount(tmp_path):
    """From 8 to 20 o'clock only: 31 x 12 h at 1; the other half at the flat 0.5, or unknown, and a check says so."""
    tariff = [hour_price("8-20", "1")]
    flat = make(tmp_path / "flat", charges=last_bill(), fleet=[HEATER | {"tariff_per_kwh": "0.5"}], tariffs=tariff)
    assert power(flat) == [(31 * 12 * 1.5, 744, "USD")]
    none = make(tmp_path / "none", charges=last_bill(), fleet=[HEATER], tariffs=tariff)
    assert power(none) == [(None, 744, "USD")]
    unknown = make(tmp_path / "unknown", charges=last_bill(), fleet=[HEATER])
    assert power(unknown) == [(None, 744, "USD")]
    for db, months in ((flat, 0), (none, 30), (unknown, 30)):
        assert warehouse.check(db).set_index("check")["offending_rows"]["effective_cost_known"] == months


def test_power_bought_in_another_currency_is_kept_apart(tmp_path):
    """Hardware in USD, power in EUR; in the hours without a tariff it is bought in USD."""
    server = HEATER | {"tariff_per_kwh": "0.5", "heat_credit_per_kwh": "0.1", "staff_cost_per_month": "10",
                       "space_cost_per_month": ""}  # fmt: skip
    tariff = [hour_price("8-20", "1", currency="EUR")]
    db = make(tmp_path, charges=last_bill(), fleet=[server], tariffs=tariff)
    assert power(db) == [(372 * 0.9, 372, "EUR"), (pytest.approx(372 * 0.4), 372, "USD")]
    found = rows(db, "select currency, sum(effective_cost)::double from cost_monthly where provider = 'Owned'"
                     " and month = '2026-05-01' group by 1 order by 1")  # fmt: skip
    assert found == [("EUR", 372 * 0.9), ("USD", pytest.approx(372 * 0.4 + 10))]


def test_metered_energy_goes_before_measured_and_nameplate_power(tmp_path):
    """900 kWh of both units, 1.3 x 900 kWh of the hall; the half month before it has none and goes by the nameplate."""
    reading = {"asset_id": "srv-1", "month": "2026-02", "kwh": "900"}
    db = make(tmp_path, charges=last_bill(), fleet=[FLEET | {"measured_kw": "3"}], readings=[reading])
    assert power(db, "2026-02") == [(99, pytest.approx(1170), "USD")]  # 900 x (1.3 x 0.10 - 0.02)
    assert power(db, "2026-03") == [(pytest.approx(744 * 2 * 3 * 0.11), pytest.approx(744 * 2 * 3 * 1.3), "USD")]


@pytest.mark.parametrize("month, offends", [("2025-12", 1), ("2026-01", 0), ("2026-03", 0), ("2026-04", 1)])
def test_a_reading_of_a_month_out_of_service_is_found(tmp_path, month, offends):
    """In service from 16 January, retired on 11 March."""
    reading = {"asset_id": "srv-1", "month": month, "kwh": "900"}
    db = make(tmp_path, charges=last_bill(), fleet=[FLEET | {"retire_date": "2026-03-11"}], readings=[reading])
    assert warehouse.check(db).set_index("check")["offending_rows"]["power_readings_in_service"] == offends


def adjustments(db):
    columns = "ChargeDescription, BillingPeriodStart::date, BilledCost, EffectiveCost"
    return rows(db, f"select {columns} from owned_charges where ChargeCategory = 'Adjustment'")


RETIRED = FLEET | {"life_months": "6", "purchase_price": "1300", "retire_date": "2026-03-11"}


@pytest.mark.parametrize(
    "changes, expected",
    [
        # 2 x (1300 - 100) over 6 months is 400 a month; January to March are 1200, 1200 and the residual 200 are left
        ({}, ("Write-off: GPU server", date(2026, 3, 1), 0, 1200)),
        ({"residual_value": ""}, ("Write-off: GPU server", date(2026, 3, 1), 0, 1300)),
        ({"sale_price": "350"}, ("Write-off: GPU server", date(2026, 3, 1), -700, 1400 - 700)),
        ({"sale_price": "800"}, ("Gain on sale: GPU server", date(2026, 3, 1), -1600, 1400 - 1600)),
        ({"sale_price": "700"}, ("Write-off: GPU server", date(2026, 3, 1), -1400, 0)),
        # on the first day of a month, the month before is the last one
        ({"retire_date": "2026-03-01"}, ("Write-off: GPU server", date(2026, 3, 1), 0, 1600)),
        ({"retire_date": "2026-01-16"}, ("Write-off: GPU server", date(2026, 1, 1), 0, 2000)),
        ({"life_months": "2", "sale_price": "150"}, ("Gain on sale: GPU server", date(2026, 3, 1), -300, -100)),
        ({"life_months": "2"}, None),
        ({"retire_date": "2026-07-01"}, None),
    ],
)
def test_retired_before_its_end(tmp_path, changes, expected):
    db = make(tmp_path, charges=last_bill(), fleet=[RETIRED | changes])
    assert adjustments(db) == ([expected] if expected else [])


def test_bought_months_before_it_serves(tmp_path):
    server = FLEET | {"purchase_date": "2026-04-30", "in_service_date": "2026-08-01"}
    db = make(tmp_path, charges=last_bill(), fleet=[server])
    assert rows(
        db, "select ChargeCategory, BillingPeriodStart::date, BilledCost, EffectiveCost from owned_charges"
    ) == [("Purchase", date(2026, 4, 1), Decimal("2000.02"), 0)]


def test_storage_and_network_are_resources_of_their_own(tmp_path):
    plain = HEATER | {"gpu_model": "", "gpus_per_unit": "", "life_months": "40", "tariff": "", "tariff_per_kwh": "0.25"}
    disks = plain | {"asset_id": "sto-1", "kind": "storage", "purchase_price": "4100"}
    switch = plain | {"asset_id": "net-1", "kind": "network", "purchase_price": "500", "staff_cost_per_month": ""}
    db = make(tmp_path, charges=last_bill(), fleet=[disks, switch])
    found = warehouse.mart("resource_monthly", db, month="2026-05-01", owned=True)
    cost = found.groupby("resource")["effective_cost"].sum()
    # (price - 100) / 40 + 744 kWh x 0.25 + space 20, and staff 30 for the disks
    assert cost.to_dict() == {"storage": 100 + 186 + 50, "network": 10 + 186 + 20}


def declining(price, residual, life, rate=None):
    """Book values by month, step by step: the larger of rate x book and the rest spread evenly, not below residual."""
    book, rate, values = price, min(rate / 12 if rate else 2 / life, 1), [price]
    for month in range(life):
        book -= min(max(book * rate, (book - residual) / (life - month)), book - residual)
        values.append(book)
    return values


@pytest.mark.parametrize(
    "price, residual, life, first, last, published",
    [
        # https://learn.microsoft.com/office/vba/api/excel.worksheetfunction.vdb says what VDB is; the numbers are of
        # spreadsheet manuals: ptti.com/html/help/VDB_spre.htm, and SpreadScript User's Guide 1.2, function VDB
        (10000, 1000, 7, 3, 4, 1041.23),
        (10000, 500, 120, 2, 4, 319.6289),
    ],
)
def test_declining_balance_is_that_of_spreadsheets(tmp_path, price, residual, life, first, last, published):
    server = FLEET | {"units": "1", "purchase_price": str(price), "residual_value": str(residual), "life_months":
                      str(life), "depreciation": "declining", "in_service_date": "2026-01-01"}  # fmt: skip
    db = make(tmp_path, charges=last_bill("2026-12"), fleet=[server])
    months = [f"2026-{number:02}" for number in range(first + 1, last + 1)]
    found = sum(lines(db, "srv-1", month)["Owned hardware"][0] for month in months)
    assert float(found) == pytest.approx(published, abs=0.011)


def test_a_published_training_run_on_owned_servers(tmp_path):
    """GPT-3 by Epoch AI, "The rising costs of training frontier AI models": 2,198,105 USD of December 2024.

    3,552,000 hours of V100s at 18,625 USD, with an interconnect of 19 % of the cluster; bought on 2018-06-25, trained
    from 2019-10-01; value falls by 0.14 orders of magnitude a year; 0.25 kW a chip with its part of the server.
    """
    server_to_chip = ((10 / 16) / 0.3 + (1.5 / 4) / 0.3) / 2
    cluster = FLEET | {
        "gpu_model": "V100", "gpus_per_unit": "1", "units": "10000", "purchase_date": "2018-06-25",
        "in_service_date": "2018-07-01", "life_months": "120", "purchase_price": "18625",
        "interconnect_price": f"{18625 * 0.19 / 0.81:.4f}", "residual_value": "", "depreciation": "declining",
        "declining_rate": f"{0.14 * log(10)}", "nameplate_kw": f"{0.25 * server_to_chip}", "power_fraction": "0.75",
        "pue": "1.25", "tariff_per_kwh": "0.0667", "heat_credit_per_kwh": "", "staff_cost_per_month": "",
        "space_cost_per_month": "",
    }  # fmt: skip
    db = make(tmp_path, charges=last_bill("2019-10"), fleet=[cluster])
    month = lines(db, "srv-1", "2019-10")
    # the month's depreciation, by hours of an average month of 8766 / 12 h, and power by those of October
    hardware = float(month["Owned hardware"][0]) / (10000 * 8766 / 12)
    energy = float(month["Power"][0]) / (10000 * 744)
    assert 3_552_000 * (hardware + energy) * 119.349 / 113.400 == pytest.approx(2_198_105, rel=0.005)


def test_published_energy_and_carbon(tmp_path):
    """LLaMA-13B (Touvron et al. 2023, table 15): 135,168 GPU-hours at 400 W, PUE 1.1 and 0.385 kg: 59 MWh, 23 t."""
    gpus = FLEET | {"gpus_per_unit": "1", "units": "704", "in_service_date": "2026-05-01", "retire_date": "2026-05-09",
                    "nameplate_kw": "0.4", "power_fraction": "", "pue": "1.1", "kg_co2e_per_kwh": "0.385"}  # fmt: skip
    silent = FLEET | {"asset_id": "srv-2", "cluster": "annex", "kg_co2e_per_kwh": ""}
    db = make(tmp_path, charges=last_bill(), fleet=[gpus, silent])
    assert lines(db, "srv-1", "2026-05")["Owned hardware"][4] == 135_168
    energy = warehouse.mart("energy_monthly", db, month="2026-05-01").set_index("cluster")
    assert energy.loc["hall", "kwh"] / 1000 == pytest.approx(59, rel=0.01)
    assert energy.loc["hall", "kg_co2e"] / 1000 == pytest.approx(23, rel=0.01)
    assert energy["kg_co2e"].isna()["annex"]


CENTS = st.integers(0, 10**10).map(lambda cents: Decimal(cents) / 100)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(price=CENTS, network=st.none() | CENTS, share=st.integers(0, 100), units=st.integers(0, 500),
       life=st.integers(1, 180), start=st.dates(date(2024, 1, 1), date(2044, 12, 31)),
       rate=st.sampled_from([None, "double", 0.05, 0.32, 1.0, 2.0]),
       served=st.none() | st.integers(0, 5000), sale=st.none() | CENTS)  # fmt: skip
def test_over_a_life_what_was_paid_is_what_it_cost(far, price, network, share, units, life, start, rate, served, sale):
    """Whatever the price, life, method and end: in all to the last digit, and month by month to the cent."""
    paid = price + (network or 0)
    residual = (paid * share / 100).quantize(Decimal("0.01"))
    retired = None if served is None else start + timedelta(days=served)
    sale = None if retired is None else sale
    far.execute("begin")
    try:
        far.execute(
            "insert into fleet (asset_id, kind, units, in_service_date, life_months, purchase_price,"
            " interconnect_price, residual_value, retire_date, sale_price, depreciation, declining_rate, currency)"
            " values ('a', 'server', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'USD')",
            [units, start, life, price, network, residual, retired, sale, rate and "declining",
             rate if isinstance(rate, float) else None],
        )  # fmt: skip
        found = far.execute(
            "select ChargeCategory, BilledCost, EffectiveCost from owned_charges_live order by ChargePeriodStart"
        ).fetchall()
    finally:
        far.execute("rollback")
    got_back = residual if sale is None else sale
    assert sum(effective for _, _, effective in found) == (paid - got_back) * units
    assert sum(billed for _, billed, _ in found) == (paid - (sale or 0)) * units
    months = [effective for category, _, effective in found if category == "Usage"]
    assert min(months, default=0) >= 0
    if rate:
        fraction = rate if isinstance(rate, float) else None
        values = declining(float(paid * units), float(residual * units), life, fraction)
    else:
        values = [float(paid * units) - float((paid - residual) * units) * n / life for n in range(life + 1)]
    for month, effective in enumerate(months[:life]):
        assert float(effective) == pytest.approx(values[month] - values[month + 1], abs=0.011, rel=1e-9)
    assert not any(months[life:])

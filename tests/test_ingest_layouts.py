"""The workbook's own layouts: fleet ledger, budget, price list, project rules and run metrics."""

import csv
import io
from datetime import date, datetime
from decimal import Decimal

import duckdb
import pytest

from focus_rows import ask, assert_conserved, charge, charges, load_one, rejects, write_focus

ROWS = {
    "fleet": {"asset_id": "pod-1", "kind": "server", "units": "4", "in_service_date": "2026-01-01", "life_months": "48",
              "purchase_price": "250000.25", "currency": "EUR", "gpu_model": "h100", "gpus_per_unit": "8",
              "power_fraction": "0.6", "pue": "1.2", "retire_date": "2029-12-31"},
    "tariffs": {"tariff": "grid", "effective_from": "2026-01-01", "days": "weekday", "from_hour": "22", "to_hour": "6",
                "price_per_kwh": "0.0825", "currency": "EUR", "timezone": "Europe/Berlin"},
    "power_readings": {"asset_id": "pod-1", "month": "2026-05-01", "kwh": "1234.5"},
    "budget": {"plan_version": "v1", "month": "2026-05-01", "project": "a", "category": "compute", "amount": "100.10",
               "currency": "USD", "driver": "gpu_hours"},
    "prices": {"provider": "Cloud", "sku": "h100x8", "unit": "hour", "unit_price": "12.29", "currency": "USD",
               "effective_from": "2026-01-01", "gpu_model": "h100", "gpus": "8"},
    "rules": {"assign": "project", "field": "ResourceId", "pattern": "server-1", "value": "a"},
    "run_metrics": {"run_id": "r1", "metric": "loss", "value": "0.25", "step": "10",
                    "time": "2026-05-01T02:00:00+02:00"},
}  # fmt: skip
TABLES = {"fleet": "fleet", "tariffs": "tariffs", "power_readings": "power_readings", "budget": "budget_lines",
          "prices": "prices", "rules": "project_rules", "run_metrics": "run_metrics"}  # fmt: skip
# Another record of each layout.
OTHER = {"fleet": {"asset_id": "pod-2"}, "tariffs": {"days": "weekend"}, "power_readings": {"asset_id": "pod-2"},
         "budget": {"project": "b"}, "prices": {"sku": "l40s"}, "rules": {"pattern": "x"},
         "run_metrics": {"step": "20"}}  # fmt: skip


def load_rows(tmp_path, db, rows, name="plan.csv", delimiter=","):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / name).write_text(out.getvalue(), encoding="utf-8-sig", newline="")
    result = load_one(tmp_path / name, db)
    if result.status in ("loaded", "replaced"):
        assert_conserved(result, db)
    return result


def count(db, layout) -> int:
    return ask(db, f"select count(*) from {TABLES[layout]}")[0][0]


@pytest.mark.parametrize("layout", ROWS)
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_layout_is_found_by_its_header(tmp_path, db, layout, delimiter):
    """Its columns stand in any order and case, beside a bad record."""
    first = {name.upper(): value for name, value in reversed(ROWS[layout].items())}
    second = {**first, **{name.upper(): value for name, value in OTHER[layout].items()}}
    required = next(iter(ROWS[layout])).upper()
    result = load_rows(tmp_path, db, [first, {**first, required: ""}, second], delimiter=delimiter)
    assert (result.status, result.format, result.rows_loaded, result.rows_rejected) == ("loaded", layout, 2, 1)
    assert rejects(db) == [(3, required.lower(), None, "is empty")]
    assert count(db, layout) == 2


@pytest.mark.parametrize("layout", ROWS)
def test_a_layout_as_parquet(tmp_path, db, layout):
    load_rows(tmp_path, db, [ROWS[layout]], "source.csv")
    expected = ask(db, f"select * exclude (x_load_id, x_source_row) from {TABLES[layout]}")
    path = tmp_path / "typed.parquet"
    duckdb.sql(f"copy (from '{tmp_path / 'source.csv'}') to '{path}' (format parquet)")
    result = load_one(path, db)
    assert (result.status, result.format) == ("replaced", layout)
    assert ask(db, f"select * exclude (x_load_id, x_source_row) from {TABLES[layout]}") == expected


@pytest.mark.parametrize(
    ("layout", "changes", "rejected"),
    [
        ("fleet", {"units": "1.5"}, ("units", "1.5", "not a whole number")),
        ("fleet", {"units": "1_000"}, ("units", "1_000", "not a whole number")),
        ("fleet", {"units": "-1"}, ("units", "-1", "must not be negative")),
        ("fleet", {"life_months": "0"}, ("life_months", "0", "must be at least 1")),
        ("fleet", {"in_service_date": "2026-13-01"},
         ("in_service_date", "2026-13-01", "not a date such as 2026-05-01")),
        ("fleet", {"in_service_date": "2026-05-01 12:00"},
         ("in_service_date", "2026-05-01 12:00", "not a date such as 2026-05-01")),
        ("fleet", {"retire_date": "2025-12-31"}, ("retire_date", "2025-12-31", "lies before in_service_date")),
        ("fleet", {"power_fraction": "60"}, ("power_fraction", "60.0", "must lie between 0 and 1")),
        ("fleet", {"pue": "0.9"}, ("pue", "0.9", "must be at least 1")),
        ("fleet", {"residual_value": "250000.26"},
         ("residual_value", "250000.260000000000000000000000", "exceeds what was paid")),
        ("fleet", {"interconnect_price": "-1"},
         ("interconnect_price", "-1.000000000000000000000000", "must not be negative")),
        ("fleet", {"sale_price": "1", "retire_date": ""},
         ("sale_price", "1.000000000000000000000000", "is given without a retire_date")),
        ("fleet", {"depreciation": "linear"}, ("depreciation", "linear", "must be straight-line or declining")),
        ("fleet", {"declining_rate": "40"}, ("declining_rate", "40.0", "must lie above 0 and not above 2")),
        ("tariffs", {"from_hour": "24"}, ("from_hour", "24", "must lie between 0 and 23")),
        ("tariffs", {"to_hour": "25"}, ("to_hour", "25", "must lie between 0 and 24")),
        ("tariffs", {"to_hour": "22"}, ("to_hour", "22", "must differ from from_hour")),
        ("tariffs", {"days": "Monday"}, ("days", "Monday", "must be weekday, weekend or empty")),
        ("tariffs", {"timezone": "Berlin"}, ("timezone", "Berlin", "is no time zone such as Europe/Berlin")),
        ("power_readings", {"month": "2026-05-09"}, ("month", "2026-05-09", "must be the first day of a month")),
        ("power_readings", {"kwh": "-1"}, ("kwh", "-1.0", "must not be negative")),
        ("fleet", {"kind": "sofa"}, ("kind", "sofa", "must be server, storage or network")),
        ("fleet", {"currency": "Euro"}, ("currency", "Euro", "must be a currency code such as USD")),
        ("budget", {"month": "2026-05-02"}, ("month", "2026-05-02", "must be the first day of a month")),
        ("budget", {"amount": "1,000.00"}, ("amount", "1,000.00", "not a decimal number with at most 24 decimals")),
        ("prices", {"unit_price": "-1"}, ("unit_price", "-1.000000000000000000000000", "must not be negative")),
        ("rules", {"assign": "planet"}, ("assign", "planet", "must be project or cluster")),
        ("run_metrics", {"value": "high"}, ("value", "xxxx", "not a number, NaN or Infinity")),
        ("run_metrics", {"value": ""}, ("value", None, "is empty")),
        ("run_metrics", {"time": "noon"}, ("time", "xxxx", "not a time such as 2026-05-01T00:00:00Z")),
    ],
)  # fmt: skip
def test_bad_rows(tmp_path, db, layout, changes, rejected):
    good = {**ROWS[layout], **OTHER[layout]}
    load_rows(tmp_path, db, [{**ROWS[layout], **changes}, good])
    assert rejects(db) == [(2, *rejected)]
    assert count(db, layout) == 1


def test_a_missing_column(tmp_path, db):
    row = {name: value for name, value in ROWS["budget"].items() if name != "amount"}
    path = tmp_path / "budget.csv"
    path.write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    result = load_one(path, db, "budget")
    assert result.message == "budget.csv: no budget file, column amount is missing"


def test_values(tmp_path, db):
    """Exact money, dates, times in UTC, and models in capitals."""
    for layout, row in ROWS.items():
        load_rows(tmp_path, db, [row], f"{layout}.csv")
    assert ask(db, "select purchase_price, in_service_date, gpu_model, units from fleet") == [
        (Decimal("250000.25"), date(2026, 1, 1), "H100", 4)
    ]
    assert ask(db, "select time, value, step from run_metrics") == [(datetime(2026, 5, 1), 0.25, 10)]
    assert ask(db, "select amount, month from budget_lines") == [(Decimal("100.10"), date(2026, 5, 1))]


def test_money_of_a_fleet_is_price_times_units(tmp_path, db):
    result = load_rows(tmp_path, db, [ROWS["fleet"], {**ROWS["fleet"], "asset_id": "pod-2", "pue": "0"}])
    assert [(c.currency, c.read, c.loaded, c.rejected) for c in result.cost] == [
        ("EUR", Decimal("2000002"), Decimal("1000001"), Decimal("1000001"))
    ]


def test_money_of_a_fleet_counts_the_interconnect(tmp_path, db):
    result = load_rows(tmp_path, db, [{**ROWS["fleet"], "interconnect_price": "0.50"}])
    assert [cost.loaded for cost in result.cost] == [Decimal("1000003")]


def test_a_tariff_has_one_currency_and_one_zone_from_a_date_on(tmp_path, db):
    line = ROWS["tariffs"]
    wrong = [{"currency": "USD", "from_hour": "8"}, {"timezone": "", "from_hour": "9"}]
    later = {"effective_from": "2026-07-01", "currency": "USD", "timezone": ""}
    load_rows(tmp_path, db, [line, *({**line, **changes} for changes in (*wrong, later))])
    assert rejects(db) == [
        (3, "currency", "USD", "differs from line 2 of the same tariff and date"),
        (4, "timezone", None, "differs from line 2 of the same tariff and date"),
    ]
    assert count(db, "tariffs") == 2


def test_a_tariff_is_stated_anew_from_a_date_on(tmp_path, db):
    line = ROWS["tariffs"]
    load_rows(tmp_path, db, [line, {**line, "days": "weekend"}, {**line, "effective_from": "2026-07-01"}], "first.csv")
    result = load_rows(tmp_path, db, [{**line, "from_hour": "0"}], "second.csv")
    assert result.status == "replaced"
    assert ask(db, "select effective_from, from_hour from tariffs order by all") == [
        (date(2026, 1, 1), 0), (date(2026, 7, 1), 22)
    ]  # fmt: skip


def test_a_plan_version_is_replaced_as_a_whole(tmp_path, db):
    line = ROWS["budget"]
    load_rows(tmp_path, db, [line, {**line, "project": "b"}, {**line, "plan_version": "v0"}], "first.csv")
    result = load_rows(tmp_path, db, [{**line, "amount": "7"}], "second.csv")
    assert result.status == "replaced"
    assert ask(db, "select plan_version, project, amount from budget_lines order by all") == [
        ("v0", "a", Decimal("100.10")), ("v1", "a", Decimal(7))
    ]  # fmt: skip


@pytest.mark.parametrize("layout", ["fleet", "power_readings", "prices", "run_metrics"])
def test_a_record_again_is_stated_anew(tmp_path, db, layout):
    load_rows(tmp_path, db, [ROWS[layout], {**ROWS[layout], **OTHER[layout]}], "first.csv")
    result = load_rows(tmp_path, db, [{**ROWS[layout], "gpu_model": "X", "model": "X"}], "second.csv")
    assert (result.status, count(db, layout)) == ("replaced", 2)


def test_a_record_twice_in_a_file_is_kept_as_it_stands_last(tmp_path, db):
    load_rows(tmp_path, db, [{**ROWS["budget"], "driver": "a\nb"}, {**ROWS["budget"], "amount": "7"}])
    assert ask(db, "select amount from budget_lines") == [(Decimal(7),)]
    assert rejects(db) == [
        (2, "plan_version", None, "the same plan_version, month, project, category, currency as line 4, which is kept")
    ]


def test_a_rule_for_a_tag_beside_tags_that_are_no_json(tmp_path, db):
    load_rows(tmp_path, db, [{**ROWS["rules"], "field": "tag:team", "pattern": "*", "value": "{value}"}])
    rows = charges(4)
    rows[1]["Tags"] = "<script>"
    rows[2]["Tags"] = '{"team": '
    result = load_one(write_focus(tmp_path / "bill.csv", rows), db)
    assert result.status == "loaded", result.message
    assert ask(db, "select x_project from charges order by x_source_row") == [("a",), (None,), (None,), ("a",)]


def test_rules_give_projects_before_and_after_a_bill(tmp_path, db):
    rows = charges(3)
    load_one(write_focus(tmp_path / "bill.csv", rows), db)
    load_rows(tmp_path, db, [ROWS["rules"], {**ROWS["rules"], "pattern": "*", "value": "rest-{value}"}])
    load_one(write_focus(tmp_path / "more.csv", [charge(1, BillingAccountId="acct-2")]), db)
    assert ask(db, "select ResourceId, x_project from charges order by all") == [
        ("server-0", "rest-server-0"), ("server-1", "a"), ("server-1", "a"), ("server-2", "rest-server-2")
    ]  # fmt: skip

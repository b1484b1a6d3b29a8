"""Google Cloud's billing export: the same charges from dotted CSV, nested Parquet and JSON lines."""

import json
from datetime import datetime
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus_rows import ask, load_one
from native_rows import (
    DAMAGE,
    FEW,
    assert_damage_stays_in_its_rows,
    load_sound,
    rejected,
    summed,
    write_csv,
    write_json_lines,
    write_parquet,
)


def labels(**pairs: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in pairs.items()]


def line(number: int = 0, cost: float = 10.5, credits: tuple = (), **more) -> dict:
    """A line of the detailed export, as BigQuery writes it in JSON."""
    return {
        "billing_account_id": "01A2B3-C4D5E6-F70819",
        "service": {"id": "6F81", "description": "Compute Engine"},
        "sku": {"id": f"SKU-{number}", "description": "Nvidia H100 80GB GPU running in Americas"},
        "usage_start_time": f"2026-05-{number % 28 + 1:02} 07:00:00 UTC",
        "usage_end_time": f"2026-05-{number % 28 + 1:02} 08:00:00 UTC",
        "project": {"id": "ml", "name": "ML", "labels": labels(team="all", unit="x")},
        "labels": labels(team="vision"),
        "system_labels": labels(**{"compute.googleapis.com/machine_spec": "a3-highgpu-8g"}),
        "location": {"location": "us-central1", "country": "US", "region": "us-central1", "zone": "us-central1-a"},
        "resource": {"name": f"vm-{number}", "global_name": f"//compute.googleapis.com/vm-{number}"},
        "export_time": "2026-06-02 00:00:00 UTC",
        "cost": cost,
        "cost_at_list": 12.25,
        "currency": "USD",
        "currency_conversion_rate": 1.0,
        "usage": {"amount": 3600.0, "unit": "seconds", "amount_in_pricing_units": 1.0, "pricing_unit": "hour"},
        "credits": list(credits),
        "invoice": {"month": "202605"},
        "cost_type": "regular",
        "adjustment_info": {"id": None, "description": None, "mode": None, "type": None},
        "price": {"effective_price": "10.5", "tier_start_amount": "0"},
        **more,
    }


LINES = [
    line(0),
    line(1, 8.0, [{"name": "CUD", "amount": -3.25, "type": "COMMITTED_USAGE_DISCOUNT"},
                  {"name": "SUD", "amount": -0.5, "type": "SUSTAINED_USAGE_DISCOUNT"}]),
    line(2, 4.0, [{"name": "Trial", "amount": -4.0, "type": "PROMOTION"}]),
    line(3, 1.23, cost_type="tax"),
    line(4, -0.01, cost_type="rounding_error"),
    line(5, -2.5, cost_type="adjustment", adjustment_info={"id": "a1", "description": "x", "mode": "", "type": ""}),
    line(6, 100.0, sku={"id": "C", "description": "Commitment v1: A3 in Americas for 1 Year"}),
    line(7, 1.25e-11),
]  # fmt: skip
EXPECTED = [
    ("10.5", "Usage", "Standard"), ("4.25", "Usage", "Committed"), ("0", "Usage", "Standard"), ("1.23", "Tax", None),
    ("-0.01", "Adjustment", None), ("-2.5", "Adjustment", None), ("100", "Purchase", "Committed"),
    ("0.0000000000125", "Usage", "Standard"),
]  # fmt: skip


def flat(row: dict, separator: str = ".") -> dict[str, str]:
    """The line as CSV: structs as dotted columns, lists as JSON."""
    out = {}
    for name, value in row.items():
        if isinstance(value, dict):
            out |= {f"{name}{separator}{inner}": v for inner, v in value.items()}
        else:
            out[name] = value
    return {
        name: "" if value is None else json.dumps(value) if isinstance(value, list) else str(value)
        for name, value in out.items()
    }


def written(folder, form: str):
    if form in (".", "_"):
        return write_csv(folder / "export.csv", [flat(row, form) for row in LINES])
    source = write_json_lines(folder / "export.json", LINES)
    times = ", ".join(f"{name}::timestamptz as {name}" for name in ("usage_start_time", "usage_end_time"))
    if form == "JSON lines":
        return source
    return write_parquet(folder / "export.parquet", source, f"* replace ({times})")


@pytest.mark.parametrize("form", [".", "_", "Parquet", "JSON lines"])
def test_every_form_gives_the_same_charges(tmp_path, db, form):
    result = load_sound(written(tmp_path, form), db)
    assert result.format == "gcp_billing detailed"
    held = ask(db, "select BilledCost, ChargeCategory, PricingCategory from charges order by x_source_row")
    assert held == [(D(cost), category, pricing) for cost, category, pricing in EXPECTED]
    assert ask(db, "select sum(BilledCost - EffectiveCost), sum(ContractedCost) from charges") == [
        (D(0), sum(D(str(row["cost"])) for row in LINES))
    ]
    assert ask(db, "select BillingAccountId, BillingPeriodStart, BillingPeriodEnd, ChargePeriodStart, ChargePeriodEnd,"
                   " ListCost, ServiceCategory, ConsumedQuantity, ConsumedUnit, ContractedUnitPrice, AvailabilityZone,"
                   " SubAccountId, SkuPriceDetails from charges where ResourceName = 'vm-0'") == [
        ("01A2B3-C4D5E6-F70819", datetime(2026, 5, 1), datetime(2026, 6, 1), datetime(2026, 5, 1, 7),
         datetime(2026, 5, 1, 8), D("12.25"), "Compute", D(3600), "seconds", D("10.5"), "us-central1-a", "ml",
         '{"InstanceType":"a3-highgpu-8g"}')
    ]  # fmt: skip
    tags, extra = ask(db, "select Tags, x_extra from charges where ResourceName = 'vm-1'")[0]
    assert json.loads(tags) == {"team": "vision", "unit": "x"}, "a label counts before the project's"
    extra = json.loads(extra)
    credits = extra["credits"] if isinstance(extra["credits"], list) else json.loads(extra["credits"])
    assert [credit["type"] for credit in credits] == ["COMMITTED_USAGE_DISCOUNT", "SUSTAINED_USAGE_DISCOUNT"]
    assert ask(db, "select ChargeClass from charges where ResourceName = 'vm-5'") == [("Correction",)]


def test_the_standard_export_has_no_resources(tmp_path, db):
    rows = [{name: value for name, value in row.items() if name not in ("resource", "price")} for row in LINES]
    result = load_sound(write_csv(tmp_path / "export.csv", [flat(row) for row in rows]), db)
    assert (result.format, result.rows_loaded) == ("gcp_billing standard", len(LINES))


def test_one_credit_a_row(tmp_path, db):
    rows = [flat(line(0)) | {"credits.name": "CUD", "credits.amount": "-3.25"}, flat(line(1))]
    for row in rows:
        row.pop("credits")
    load_sound(write_csv(tmp_path / "export.csv", rows), db)
    assert ask(db, "select BilledCost from charges order by x_source_row") == [(D("7.25"),), (D("10.5"),)]


def test_bad_rows_are_rejected_alone(tmp_path, db):
    rows = [flat(line(number)) for number in range(8)]
    rows[1]["cost"] = "ten"
    rows[2]["credits"] = '[{"name": "x"}]'
    rows[3]["credits"] = "[{"
    rows[4]["invoice.month"] = "2026-May"
    rows[5]["currency"] = ""
    rows[6]["labels"] = "[{"
    result = load_one(write_csv(tmp_path / "export.csv", rows), db)
    assert (result.rows_loaded, result.rows_rejected) == (3, 5)
    assert rejected(db) == [
        (3, "cost", "ten", "not a decimal number with at most 24 decimals"),
        (4, "credits", '[{"name": "x"}]', "not a list of credits with an amount each"),
        (5, "credits", "[{", "not a list of credits with an amount each"),
        (6, "BillingPeriodStart", "2026-May", "not a time such as 2026-05-01T00:00:00Z"),
        (7, "BillingCurrency", None, "is empty"),
    ]
    assert ask(db, "select Tags from charges where ResourceName = 'vm-6'")[0][0].count("x_unreadable") == 1


def test_bad_lines_of_json_are_rejected_alone(tmp_path, db):
    path = write_json_lines(tmp_path / "export.json", LINES)
    lines = path.read_text().splitlines()
    lines[2] = lines[2][:200]
    lines[4] = json.dumps({"cost": 3})
    path.write_text("\n".join([*lines, "", "17"]) + "\n")
    result = load_one(path, db)
    assert (result.rows_loaded, result.rows_rejected, result.rows_skipped) == (6, 3, 1)
    assert [(line, column, reason) for line, column, _, reason in rejected(db)] == [
        (3, "line", "not a line of JSON"), (5, "BillingCurrency", "is empty"), (10, "BilledCost", "is empty"),
    ]  # fmt: skip


@FEW
@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from(sorted(flat(line()))), DAMAGE), max_size=8))
def test_damage_stays_in_its_rows(tmp_path_factory, changes):
    folder, rows = tmp_path_factory.mktemp("gcp"), [flat(row) for row in LINES]
    for position, name, text in changes:
        rows[position][name] = text
    assert_damage_stays_in_its_rows(folder / "gcp.csv", folder / "db", rows, {position for position, *_ in changes})


@pytest.mark.real
def test_real(real, db):
    source = real / "billing/gcp_export_2026-07.csv"
    rows, cost = summed(source, "cost")
    result = load_sound(source, db)
    assert (result.rows_read, [(c.currency, c.read, c.loaded) for c in result.cost]) == (rows, [("USD", cost, cost)])
    assert (rows, ask(db, "select sum(EffectiveCost) from charges")) == (8928, [(cost,)])
    assert ask(db, "select count(*) from charges where SkuPriceDetails like '%a2-highgpu-1g%'")[0][0] > 0

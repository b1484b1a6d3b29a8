"""AWS Cost and Usage Reports, legacy and 2.0, CSV and Parquet: the same charges, amortised as AWS does it."""

import gzip
import json
from datetime import datetime
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcbudget.ingest import aws_cur, azure, focus, gcp, native, oci
from dcbudget.ingest.source import open_source
from focus_rows import ask, load_one
from native_rows import (
    DAMAGE,
    FEW,
    assert_damage_stays_in_its_rows,
    load_sound,
    rejected,
    summed,
    write_csv,
    write_parquet,
)

SP, RI = "arn:aws:savingsplans::1:savingsplan/a", "arn:aws:ec2:us-east-1:1:reserved-instances/b"
# A plan of 10 an hour used up in one hour and to 4 in the next, a partly used reservation, and the rest of a bill:
# (type, billed, effective, what else the line says).
LINES = [
    ("Usage", "98.32", "98.32", {"lineItem/ResourceId": "i-1", "product/instanceType": "p5.48xlarge",
                                 "pricing/publicOnDemandCost": "100.5", "resourceTags/user:Team": "ml"}),
    ("SavingsPlanCoveredUsage", "15", "10", {"savingsPlan/SavingsPlanEffectiveCost": "10",
                                             "savingsPlan/SavingsPlanARN": SP, "pricing/publicOnDemandCost": "15"}),
    ("SavingsPlanNegation", "-15", "0", {"savingsPlan/SavingsPlanARN": SP}),
    ("SavingsPlanRecurringFee", "10", "0", {"savingsPlan/TotalCommitmentToDate": "10", "savingsPlan/SavingsPlanARN": SP,
                                            "savingsPlan/UsedCommitment": "10"}),
    ("SavingsPlanCoveredUsage", "6", "4", {"savingsPlan/SavingsPlanEffectiveCost": "4",
                                           "savingsPlan/SavingsPlanARN": SP}),
    ("SavingsPlanNegation", "-6", "0", {"savingsPlan/SavingsPlanARN": SP}),
    ("SavingsPlanRecurringFee", "10", "6", {"savingsPlan/TotalCommitmentToDate": "10", "savingsPlan/SavingsPlanARN": SP,
                                            "savingsPlan/UsedCommitment": "4"}),
    ("SavingsPlanUpfrontFee", "100", "0", {"savingsPlan/SavingsPlanARN": SP}),
    ("DiscountedUsage", "0", "3.25", {"reservation/EffectiveCost": "3.25", "reservation/ReservationARN": RI}),
    ("RIFee", "5", "2", {"reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": "1.5",
                         "reservation/UnusedRecurringFee": "0.5", "reservation/ReservationARN": RI}),
    ("Fee", "50", "0", {"reservation/ReservationARN": RI}),
    ("Fee", "7", "7", {"lineItem/ProductCode": "AWSSupportBusiness"}),
    ("Tax", "1.23", "1.23", {}),
    ("Credit", "-2", "-2", {}),
    ("Refund", "-4", "-4", {}),
    ("EdpDiscount", "-1", "-1", {}),
    ("Usage", "0.0000000001", "0.0000000001", {"lineItem/ProductCode": "AmazonS3", "product/productFamily": "Storage"}),
]  # fmt: skip
CATEGORIES = ["Usage", "Usage", "Usage", "Purchase", "Usage", "Usage", "Purchase", "Purchase", "Usage", "Purchase",
              "Purchase", "Purchase", "Tax", "Credit", "Adjustment", "Adjustment", "Usage"]  # fmt: skip


def line(number: int, kind: str, cost: str, more: dict[str, str]) -> dict[str, str]:
    return {
        "identity/LineItemId": f"line{number}", "bill/PayerAccountId": "111", "bill/InvoiceId": "",
        "bill/BillingPeriodStartDate": "2026-05-01T00:00:00.000Z",
        "bill/BillingPeriodEndDate": "2026-06-01T00:00:00.000Z", "bill/InvoicingEntity": "Amazon Web Services, Inc.",
        "lineItem/UsageAccountId": "222", "lineItem/LineItemType": kind, "lineItem/ProductCode": "AmazonEC2",
        "lineItem/UsageStartDate": f"2026-05-{number % 28 + 1:02}T00:00:00Z", "lineItem/UsageType": "BoxUsage",
        "lineItem/UsageEndDate": f"2026-05-{number % 28 + 1:02}T01:00:00Z", "lineItem/UsageAmount": "1",
        "lineItem/CurrencyCode": "USD", "lineItem/UnblendedCost": cost,
        "lineItem/LineItemDescription": f"{kind} {number}",
        "product/instanceType": "", "product/productFamily": "Compute Instance", "product/ProductName": "EC2",
        "pricing/unit": "Hrs", "pricing/publicOnDemandCost": "", "pricing/RateCode": "r", "lineItem/ResourceId": "",
        "reservation/ReservationARN": "", "reservation/EffectiveCost": "0", "reservation/UnusedRecurringFee": "0",
        "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": "0", "savingsPlan/SavingsPlanARN": "",
        "savingsPlan/SavingsPlanEffectiveCost": "0", "savingsPlan/TotalCommitmentToDate": "0",
        "savingsPlan/UsedCommitment": "0", "resourceTags/user:Team": "", **more,
    }  # fmt: skip


def legacy() -> list[dict[str, str]]:
    return [line(number, kind, cost, more) for number, (kind, cost, _, more) in enumerate(LINES)]


def cur2() -> list[dict[str, str]]:
    """The lines as CUR 2.0 has them: names of products and tags in maps."""
    rows = []
    for row in legacy():
        new = {aws_cur.snake(name): value for name, value in row.items()}
        tag = new.pop("resource_tags_user_team")
        new["resource_tags"] = json.dumps({"user_team": tag, "aws_created_by": "jane"} if tag else {})
        new["product"] = json.dumps({"product_name": new.pop("product_product_name")})
        rows.append(new | {"bill_payer_account_name": "Payer", "line_item_usage_account_name": "Research",
                           "discount": "{}", "cost_category": "{}"})  # fmt: skip
    return rows


def written(folder, form: str):
    """The lines in a form."""
    source = write_csv(folder / "lines.csv", cur2() if "2.0" in form else legacy())
    doubles = ", ".join(
        f'try_cast("{name}" as double) as "{name}"' for name in map(aws_cur.snake, legacy()[0])
        if name.endswith(("_cost", "_fee", "_period", "_amount", "_date_", "to_date", "commitment"))
    )  # fmt: skip
    times = ", ".join(
        f'"{name}"::timestamp as "{name}"'
        for name in map(aws_cur.snake, legacy()[0])
        if name.endswith("_date") and "to_date" not in name
    )
    if form == "legacy Parquet":
        source = write_csv(folder / "snake.csv", [{aws_cur.snake(k): v for k, v in row.items()} for row in legacy()])
        return write_parquet(folder / "lines.parquet", source, f"* replace ({doubles}, {times})")
    if form == "2.0 Parquet":
        maps = ", ".join(f"{name}::json::map(varchar, varchar) as {name}" for name in ("resource_tags", "product"))
        return write_parquet(folder / "lines.parquet", source, f"* replace ({doubles}, {times}, {maps})")
    return source


@pytest.mark.parametrize("form", ["legacy CSV", "legacy Parquet", "2.0 CSV", "2.0 Parquet"])
def test_every_form_gives_the_same_charges(tmp_path, db, form):
    result = load_sound(written(tmp_path, form), db)
    assert result.format == ("aws_cur 2.0" if "2.0" in form else "aws_cur legacy")
    held = ask(db, "select BilledCost, EffectiveCost, ChargeCategory from charges order by x_source_row")
    assert held == [(D(b), D(e), c) for (_, b, e, _), c in zip(LINES, CATEGORIES, strict=True)]
    assert ask(db, "select ServiceName, SkuPriceDetails, BillingPeriodEnd, ChargePeriodEnd, ConsumedQuantity, ListCost,"
                   " ConsumedUnit, ServiceCategory, PricingCategory from charges where ResourceId = 'i-1'") == [
        ("EC2", '{"InstanceType":"p5.48xlarge"}', datetime(2026, 6, 1), datetime(2026, 5, 1, 1), D(1), D("100.5"),
         "Hrs", "Compute", "Standard")
    ]  # fmt: skip
    tags = ask(db, "select Tags from charges where Tags is not null")
    assert tags == [('{"Team":"ml"}' if form == "legacy CSV" else '{"team":"ml"}',)]


def test_a_commitment_costs_the_same_used_or_not(tmp_path, db):
    """Two hours of a plan of 10 an hour cost 20, billed and effective, however much of it was used."""
    load_sound(written(tmp_path, "legacy CSV"), db)
    plan = f"CommitmentDiscountId = '{SP}' and ChargeFrequency <> 'One-Time'"
    assert ask(db, f"select sum(BilledCost), sum(EffectiveCost) from charges where {plan}") == [(D(20), D(20))]
    assert ask(db, "select CommitmentDiscountStatus, CommitmentDiscountType, sum(EffectiveCost) from charges"
                   " where CommitmentDiscountStatus is not null group by all order by all") == [
        ("Unused", "Reserved Instance", D(2)), ("Unused", "Savings Plan", D(6)),
        ("Used", "Reserved Instance", D("3.25")), ("Used", "Savings Plan", D(14)),
    ]  # fmt: skip
    quantity = "select sum(ConsumedQuantity) from charges where ChargeCategory = 'Usage'"
    assert ask(db, quantity) == [(D(5),)], "a negation uses nothing"


def test_a_discount_inside_the_line(tmp_path, db):
    """CUR 2.0 without discount lines: the net columns are what is invoiced, where a line has a discount."""
    rows = cur2()[:2]
    rows[0] |= {"discount": '{"total_discount": -8.32}', "line_item_net_unblended_cost": "90"}
    rows[1] |= {"discount_total_discount": "-1", "line_item_net_unblended_cost": "14",
                "savings_plan_net_savings_plan_effective_cost": "9"}  # fmt: skip
    rows.append(cur2()[16] | {"line_item_net_unblended_cost": "0"})
    load_sound(write_csv(tmp_path / "cur.csv", rows), db)
    assert ask(db, "select BilledCost, EffectiveCost from charges order by x_source_row") == [
        (D(90), D(90)), (D(14), D(9)), (D("1e-10"), D("1e-10"))]  # fmt: skip


def test_an_effective_cost_that_is_not_told_stays_empty(tmp_path, db):
    rows = [{name: value for name, value in row.items() if name != "reservation/EffectiveCost"} for row in legacy()]
    load_sound(write_csv(tmp_path / "cur.csv", rows), db)
    assert ask(db, "select ChargeDescription from charges where EffectiveCost is null") == [("DiscountedUsage 8",)]


def test_tags_that_differ_in_case_alone_and_people(tmp_path, db):
    rows = legacy()[:1]
    rows[0] |= {"resourceTags/user:team": "x", "resourceTags/aws:createdBy": "jane", "resourceTags/aws:eks:name": "c1"}
    load_sound(write_csv(tmp_path / "cur.csv", rows), db)
    tags, extra = ask(db, "select Tags, x_extra from charges")[0]
    assert json.loads(tags) == {"Team": "ml", "team (2)": "x", "aws:eks:name": "c1"}
    assert "jane" not in extra
    assert json.loads(extra)["identity/LineItemId"] == "line0"


def test_unreadable_tags_are_kept_as_they_are(tmp_path, db):
    rows = cur2()[:2]
    rows[0]["resource_tags"] = '{"user_team": "ml'
    load_sound(write_csv(tmp_path / "cur.csv", rows), db)
    assert [json.loads(tags) for (tags,) in ask(db, "select Tags from charges where Tags is not null")] == [
        {"x_unreadable": '{"user_team": "ml'}
    ]


def test_files_of_one_period_add_up(tmp_path, db):
    rows = legacy()
    for part, some in enumerate((rows[:6], rows[6:12], rows[12:])):
        load_sound(write_csv(tmp_path / f"part-{part}.csv", some), db)
    billed = sum(D(cost) for _, cost, *_ in LINES)
    assert ask(db, "select count(*), sum(BilledCost) from charges") == [(len(LINES), billed)]


@pytest.mark.parametrize("key", ["reportKeys", "dataFiles"])
def test_a_manifest_says_that_it_is_one(tmp_path, db, key):
    path = tmp_path / "cur-Manifest.json"
    path.write_text(json.dumps({"assemblyId": "1", "columns": [{"name": "x"}], key: ["cur-1.csv.gz"]}, indent=1))
    result = load_one(path, db)
    assert (result.status, result.message) == (
        "failed", "cur-Manifest.json: this is the manifest of a report; load the files that it names")  # fmt: skip


def test_bad_rows_are_rejected_alone(tmp_path, db):
    rows = legacy()
    rows[1]["lineItem/UnblendedCost"] = "15,0"
    rows[3]["savingsPlan/UsedCommitment"] = "all"
    rows[5]["lineItem/UsageStartDate"] = "yesterday"
    rows[8]["lineItem/CurrencyCode"] = "dollar"
    rows[10]["lineItem/LineItemType"] = ""
    rows[12]["lineItem/UnblendedCost"] = ""
    rows[14]["lineItem/UsageEndDate"] = "2026-04-01T00:00:00Z"
    result = load_one(write_csv(tmp_path / "cur.csv", rows), db)
    assert (result.rows_loaded, result.rows_rejected) == (10, 7)
    assert rejected(db) == [
        (3, "line_item_unblended_cost", "15,0", "not a decimal number with at most 24 decimals"),
        (5, "savings_plan_used_commitment", "all", "not a decimal number with at most 24 decimals"),
        (7, "ChargePeriodStart", "yesterday", "not a time such as 2026-05-01T00:00:00Z"),
        (10, "BillingCurrency", "dollar", "must be a currency code such as USD"),
        (12, "ChargeCategory", None, "is empty"),
        (14, "BilledCost", None, "is empty"),
        (16, "ChargePeriodEnd", "2026-04-01 00:00:00", "the charge ends before it starts"),
    ]


@FEW
@given(st.lists(st.tuples(st.integers(0, 16), st.sampled_from(sorted(cur2()[0])), DAMAGE), max_size=8))
def test_damage_stays_in_its_rows(tmp_path_factory, changes):
    folder, rows = tmp_path_factory.mktemp("cur"), cur2()
    for position, name, text in changes:
        rows[position][name] = text
    assert_damage_stays_in_its_rows(folder / "cur.csv", folder / "db", rows, {position for position, *_ in changes})


def test_every_field_of_the_mapping_is_one_of_the_report():
    documented = {"bill_payer_account_name", "line_item_usage_account_name", "discount", "discount_total_discount",
                  "line_item_net_unblended_cost", "line_item_availability_zone", "line_item_operation",
                  "line_item_legal_entity",
                  "savings_plan_net_savings_plan_effective_cost", "product_servicename", "product_region",
                  "product_region_code", "product_sku", "pricing_rate_id", "pricing_public_on_demand_rate"}  # fmt: skip
    used = {name for name in native.fields_used(aws_cur.MAPPING) if not name.startswith("reservation_net_")}
    assert used - {aws_cur.snake(name) for name in line(0, "Usage", "1", {})} == documented


@pytest.mark.real
@pytest.mark.parametrize("how", ["csv", "gzip", "parquet"])
def test_real(real, tmp_path, db, how):
    source = real / "billing/aws_cur_legacy.csv"
    path = source
    if how == "gzip":
        path = tmp_path / "cur.csv.gz"
        path.write_bytes(gzip.compress(source.read_bytes()))
    elif how == "parquet":
        path = write_parquet(tmp_path / "cur.parquet", source, "*")
    rows, billed = summed(source, "lineItem/UnblendedCost")
    result = load_sound(path, db)
    assert (result.rows_read, [(c.currency, c.read, c.loaded) for c in result.cost]) == (
        rows,
        [("USD", billed, billed)],
    )
    assert (rows, round(billed, 2)) == (1281, D("1.68"))
    assert ask(db, "select sum(EffectiveCost) from charges") == [(billed,)]


@pytest.mark.real
def test_real_in_two_files(real, tmp_path, db):
    """Lines that differ in their operation alone are no restatement of one another."""
    source = real / "billing/aws_cur_legacy.csv"
    head, *lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    for part in range(2):
        path = tmp_path / f"cur-{part}.csv"
        path.write_text(head + "".join(lines[part::2]), encoding="utf-8")
        load_sound(path, db)
    assert ask(db, "select count(*), sum(BilledCost) from charges") == [summed(source, "lineItem/UnblendedCost")]


@pytest.mark.real
def test_no_reader_takes_anothers_files(real):
    """Of the readers of bills one knows each bill, and none knows a job log, a price list or a trace."""
    bills = (aws_cur.READER, azure.READER, gcp.READER, oci.READER, focus.READER)
    known = {
        path.name: [reader.name for reader in bills if reader.detect(open_source(path))]
        for path in sorted(real.rglob("*"))
        if path.is_file() and path.suffix not in (".md", ".tfevents")
    }
    assert {name: readers for name, readers in known.items() if readers} == {
        "aws_cur_legacy.csv": ["aws_cur"], "gcp_export_2026-07.csv": ["gcp_billing"],
        "azure_ea.csv": ["azure"], **{path.name: ["azure"] for path in (real / "billing").glob("EA_*.csv")},
        **{path.name: ["focus"] for path in (real / "billing").glob("focus*usage*.csv")},
        "focus_1.0_sample.csv": ["focus"],
    }  # fmt: skip

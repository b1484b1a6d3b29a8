"""FOCUS bills against the rules of FOCUS: what is found, of which version, and that it stops nothing."""

import csv
import json
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from dcbudget import cli, conformance, warehouse
from focus_rows import charges, load_one, write_focus

# What makes a charge one of FOCUS 1.2, without a finding.
CONFORMING = {
    "BillingAccountType": "Account", "InvoiceId": "inv-1", "ChargeFrequency": "Usage-Based",
    "ServiceSubcategory": "Virtual Machines", "ConsumedUnit": "Hours", "ResourceType": "Server", "SkuId": "s",
    "SkuMeter": "Hours", "SkuPriceId": "s/1", "SkuPriceDetails": "{}", "PricingCategory": "Standard",
    "ListUnitPrice": "3", "ContractedUnitPrice": "2", "CommitmentDiscountId": "", "CommitmentDiscountStatus": "",
    "CommitmentDiscountCategory": "", "CommitmentDiscountType": "", "CommitmentDiscountQuantity": "",
    "PricingCurrency": "USD", "PricingCurrencyEffectiveCost": "1", "CapacityReservationStatus": "",
}  # fmt: skip


def found(db) -> list[tuple]:
    """(rule, rows, line, found) of every finding."""
    frame = conformance.findings(db).astype(object)
    frame = frame.where(frame.notna(), None)
    return [tuple(row) for row in frame[["rule", "rows", "line", "found"]].itertuples(index=False)]


def load_rows(tmp_path, db, rows):
    return load_one(write_focus(tmp_path / "bill.csv", rows), db)


def test_a_conforming_bill(tmp_path, db):
    assert load_rows(tmp_path, db, charges(3, **CONFORMING)).format == "focus 1.2"
    assert found(db) == []


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"InvoiceIssuerName": ""}, ("InvoiceIssuerName-C-003-M", None)),
        ({"ChargeFrequency": "Usage-based"}, ("ChargeFrequency-C-003-M", "Usage-based")),
        ({"ChargeClass": "Refund"}, ("ChargeClass-C-005-C", "Refund")),
        ({"BillingCurrency": "usd"}, ("BillingCurrency-C-003-M", "usd")),
        ({"ServiceSubcategory": "Object Storage"}, ("ServiceSubcategory-C-004-M", "Object Storage")),
        ({"ServiceSubcategory": "Blobs"}, ("ServiceSubcategory-C-003-M", "Blobs")),
        ({"Tags": '{"team": ["a"]}'}, ("Tags-C-001-M", None)),
        ({"Tags": "team=a"}, ("Tags-C-001-M", None)),
        ({"ListCost": "3.00001"}, ("ListCost-C-009-C", "3.000010000000000000000000")),
        ({"ListUnitPrice": "-3", "ListCost": "-3"}, ("ListUnitPrice-C-008-M", "-3.000000000000000000")),
        ({"PricingUnit": ""}, ("PricingUnit-C-006-C", None)),
        ({"ConsumedQuantity": "", "ConsumedUnit": ""}, ("ConsumedQuantity-C-006-C", None)),
        ({"CommitmentDiscountStatus": "Used"}, ("CommitmentDiscountStatus MUST be null", "Used")),
        ({"PricingCurrency": ""}, ("PricingCurrency-C-004-M", None)),
        ({"EffectiveCost": "1,5"}, ("EffectiveCost-C-002-M", "1,5")),
        ({"EffectiveCost": ""}, ("EffectiveCost-C-003-M", None)),
    ],
)
def test_a_charge_that_breaks_a_rule(tmp_path, db, changes, finding):
    """The rule, one row of three, its line, and what stands there; a rejected row is a finding just as well."""
    rows = charges(3, **CONFORMING)
    rows[1].update(changes)
    load_rows(tmp_path, db, rows)
    assert found(db) == [(finding[0], 1, 3, finding[1])]


@pytest.mark.parametrize(
    "changes",
    [
        {"ListCost": "3.0000001"},
        {"ListCost": "7", "ChargeClass": "Correction"},
        {"ListCost": "3000000.5", "ListUnitPrice": "3000000"},
        {"CommitmentDiscountId": "c", "CommitmentDiscountStatus": "Used", "CommitmentDiscountCategory": "Spend",
         "CommitmentDiscountType": "Plan", "CommitmentDiscountQuantity": "1", "CommitmentDiscountUnit": "Hours"},
    ],
)  # fmt: skip
def test_a_charge_that_keeps_the_rules(tmp_path, db, changes):
    rows = charges(3, **CONFORMING, CommitmentDiscountUnit="")
    rows[1].update(changes)
    load_rows(tmp_path, db, rows)
    assert found(db) == []


def test_columns_that_a_file_lacks(tmp_path, db):
    """Of a file as a whole: mandatory and recommended columns; a conditional one is no finding."""
    rows = [{name: text for name, text in row.items() if name not in ("ListCost", "InvoiceId", "ListUnitPrice")}
            for row in charges(2, **CONFORMING)]  # fmt: skip
    assert load_rows(tmp_path, db, rows).rows_loaded == 2
    frame = conformance.findings(db)
    assert list(frame[["rule", "level", "requirement"]].itertuples(index=False, name=None)) == [
        ("CostAndUsage-D-033-O", "SHOULD", "InvoiceId SHOULD be present"),
        ("CostAndUsage-D-032-M", "MUST", "ListCost MUST be present"),
    ]
    assert frame[["rows", "line"]].isna().all(axis=None)


def test_rules_are_those_of_the_version(tmp_path, db):
    """InvoiceId came with 1.2, the renamed providers with 1.3, where the old names may be absent."""
    of_1_0 = charges(1, ChargeFrequency="Usage-Based")
    renamed = {"ServiceProviderName": "Cloud", "HostProviderName": "Cloud", "BillingAccountId": "acct-3"}
    of_1_3 = charges(1, 7, **CONFORMING | renamed)
    for row in of_1_3:
        del row["ProviderName"], row["PublisherName"]
    half = charges(1, 9, **CONFORMING | {"ServiceProviderName": "Cloud", "BillingAccountId": "acct-4"})
    for name, rows in (("a", of_1_0), ("b", of_1_3), ("c", half)):
        load_one(write_focus(tmp_path / name, rows), db)
    frame = conformance.findings(db)
    assert list(frame[["file", "version", "requirement"]].itertuples(index=False, name=None)) == [
        ("c", "1.3", "HostProviderName MUST be present")
    ]


def test_formats_of_a_whole_column(tmp_path, db):
    """Times without a zone and numbers with a plus are read, and told of once."""
    row = {"ChargePeriodEnd": "2026-05-03 00:00:00", "BilledCost": "+1"}
    assert load_rows(tmp_path, db, charges(2, **CONFORMING | row)).rows_loaded == 2
    assert found(db) == [
        ("BilledCost-C-003-M", None, None, "+1"),
        ("ChargePeriodEnd-C-002-M", None, None, "2026-05-03 00:00:00"),
    ]


def test_every_rule_can_be_asked(db):
    """Each names a column and SQL that there are; each allowed value belongs to a rule."""
    rules = conformance._rules()
    assert len({rule["rule"] for rule in rules}) == len(rules) > 100
    with warehouse.connect(db, write=True) as con:
        columns = {row[0] for row in con.execute("describe landed.charges_none").fetchall()}
        for rule in rules:
            assert rule["column"] in columns or (rule["kind"], rule["since"]) == ("present", "1.3")
            assert rule["kind"] in conformance.REQUIREMENTS and rule["level"] in ("MUST", "SHOULD")
            con.execute(f"select {conformance._broken(rule, 'landed.charges_none')} from landed.charges_none")
    for rule in rules:
        if rule["kind"] in ("allowed", "under", "currency"):
            assert conformance._values(rule["column"])


def test_levels_and_columns_are_those_of_the_specification(real):
    """Every column that FOCUS 1.2 calls mandatory must be present, and every one that it never allows to be null."""
    text = (real / "reference/focus_spec_v1.2_columns.tsv").read_bytes().decode()
    spec = [[cell.strip() for cell in line.split("\t")[:5]] for line in text.split("\n") if line.count("\t") >= 4]
    rules = [rule for rule in conformance._rules() if rule["since"] <= "1.2"]
    present = {(rule["column"], rule["level"]) for rule in rules if rule["kind"] == "present"}
    mandatory = {(name, "MUST") for name, level, *_ in spec if level == "Mandatory"}
    # a zone that a provider does not have is no fault
    recommended = {(name, "SHOULD") for name, level, *_ in spec if level == "Recommended"}
    assert present == mandatory | recommended - {("AvailabilityZone", "SHOULD")}
    filled = {rule["column"] for rule in rules if rule["kind"] == "not_null" and not rule["condition"]}
    conditional = {"BillingAccountType"}  # null only where the account is
    assert {name for name, _, nullable, *_ in spec if nullable == "False"} - conditional <= filled
    numbers = {rule["column"] for rule in rules if rule["kind"] == "numeric"}
    assert numbers == {name for name, _, _, kind, *_ in spec if kind == "Decimal"}
    since = {name: first for name, *_, first in spec}
    assert all(rule["since"] >= since[rule["column"]][:3] for rule in rules)


def test_the_sample_of_focus_1_0(real, db):
    """Counts by Python's csv; its times have no zone and seven rows write Usage-based."""
    path = real / "billing/focus_1.0_sample.csv"
    load_one(path, db)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = [{name: None if text in ("", "NULL") else text for name, text in row.items()}
                for row in csv.DictReader(stream)]  # fmt: skip
    counts = {rule: count for rule, count, *_ in found(db) if count is not None}

    def off(cost: str, price: str) -> int:
        products = [(Decimal(row[price]) * Decimal(row["PricingQuantity"]), Decimal(row[cost])) for row in rows
                    if row[price] and row["PricingQuantity"] and row[cost]]  # fmt: skip
        return sum(abs(product - told) > Decimal("1e-6") * max(1, abs(told)) for product, told in products)

    used = [row for row in rows if row["ChargeCategory"] in ("Usage", "Purchase")]
    assert counts == {
        "ChargeFrequency-C-003-M": sum(row["ChargeFrequency"] == "Usage-based" for row in rows),
        "ConsumedQuantity-C-004-C": sum(row["ConsumedQuantity"] is not None and row["ChargeCategory"] != "Usage"
                                        for row in rows),
        "ContractedCost-C-003-M": sum(row["ContractedCost"] is None for row in rows),
        "ContractedCost-C-009-C": off("ContractedCost", "ContractedUnitPrice"),
        "ContractedUnitPrice-C-006-C": sum(row["ContractedUnitPrice"] is None for row in used),
        "ContractedUnitPrice-C-009-C": sum(Decimal(row["ContractedUnitPrice"] or 0) < 0 for row in rows),
        "ListCost-C-009-C": off("ListCost", "ListUnitPrice"),
        "PricingCategory-C-004-C": sum(row["PricingCategory"] is None for row in used),
        "ResourceType-C-004-C": sum(row["ResourceId"] is None and row["ResourceType"] is not None for row in rows),
        "ResourceType-C-005-C": sum(row["ResourceId"] is not None and row["ResourceType"] is None for row in rows),
        "SkuPriceId-C-005-C": sum(row["SkuPriceId"] is None for row in used),
    }  # fmt: skip
    whole = {rule: value for rule, count, _, value in found(db) if count is None}
    assert whole.keys() == {f"{name}-C-002-M" for name in ("BillingPeriodEnd", "BillingPeriodStart",
                                                           "ChargePeriodEnd", "ChargePeriodStart")}  # fmt: skip
    assert set(whole.values()) <= {row[rule.split("-")[0]] for rule in whole for row in rows}


@pytest.mark.parametrize("name", ["focus_1_2_cost_and_usage_aws", "focus_1_2_cost_and_usage_gcp",
                                  "focus_1_3_cost_and_usage_aws"])  # fmt: skip
def test_bills_made_to_the_specification(real, db, name):
    load_one(real / f"billing/{name}.csv", db)
    assert found(db) == []


def test_findings_are_listed_and_no_error(tmp_path, db):
    rows = charges(2, **CONFORMING)
    rows[1]["PricingUnit"] = ""
    load_rows(tmp_path, db, rows)
    shown = CliRunner().invoke(cli.app, ["check", "--db", str(db)])
    assert shown.exit_code == 0
    assert "FOCUS conformance" in shown.output and "PricingUnit-C-006-C" in shown.output
    told = CliRunner().invoke(cli.app, ["check", "--db", str(db), "--json"])
    assert told.exit_code == 0
    assert json.loads(told.output)["conformance"] == [
        {"file": "bill.csv", "version": "1.2", "rule": "PricingUnit-C-006-C", "level": "MUST",
         "requirement": "PricingUnit MUST NOT be null where PricingQuantity is not null", "rows": 1, "line": 3,
         "found": None}
    ]  # fmt: skip

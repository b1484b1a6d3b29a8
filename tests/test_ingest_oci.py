"""Oracle Cloud's cost reports."""

import gzip
import json
from datetime import datetime
from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from focus_rows import ask, load_one
from native_rows import DAMAGE, FEW, assert_damage_stays_in_its_rows, load_sound, rejected, summed, write_csv


def line(number: int = 0, cost: str = "32.5", **more: str) -> dict[str, str]:
    return {
        "lineItem/referenceNo": f"V2.{number}", "lineItem/tenantId": "ocid1.tenancy.oc1..a",
        "lineItem/intervalUsageStart": f"2026-05-{number % 28 + 1:02}T00:00Z",
        "lineItem/intervalUsageEnd": f"2026-05-{number % 28 + 1:02}T01:00Z", "product/service": "COMPUTE",
        "product/resource": "PIC_COMPUTE_GPU", "product/compartmentId": "c", "product/compartmentName": "research",
        "product/region": "uk-london-1", "product/availabilityDomain": "xyz:UK-LONDON-1-AD-1",
        "product/resourceId": f"ocid1.instance.oc1..{number}", "usage/billedQuantity": "8",
        "usage/billedQuantityOverage": "", "cost/subscriptionId": "20209880", "cost/productSku": "B98415",
        "product/Description": "OCI - Compute - GPU - H100", "cost/unitPrice": "4.0625", "cost/unitPriceOverage": "",
        "cost/myCost": cost, "cost/myCostOverage": "", "cost/currencyCode": "USD",
        "cost/billingUnitReadable": "GPU HOURS", "cost/skuUnitDescription": "GPU Per Hour", "cost/overageFlag": "N",
        "lineItem/isCorrection": "false", "lineItem/backreferenceNo": "", "tags/ml.team": "vision",
        "tags/Oracle-Tags.CreatedBy": "jane@example.com", **more,
    }  # fmt: skip


def test_a_report(tmp_path, db):
    """Gzipped, with a correction that takes part of a line back."""
    rows = [line(0), line(1, "0.000000000000001"), line(2, "-30.5", **{"lineItem/isCorrection": "true"})]
    source = write_csv(tmp_path / "report.csv", rows)
    path = tmp_path / "0001000000123456-00001.csv.gz"
    path.write_bytes(gzip.compress(source.read_bytes()))
    result = load_sound(path, db)
    assert (result.format, result.rows_read, result.cost[0].read) == ("oci_cost", *summed(source, "cost/myCost"))
    assert ask(db, "select BilledCost, EffectiveCost, ContractedCost, ListCost, ChargeClass from charges"
                   " order by x_source_row") == [
        (D("32.5"), D("32.5"), D("32.5"), None, None), (D("1e-15"), D("1e-15"), D("1e-15"), None, None),
        (D("-30.5"), D("-30.5"), D("-30.5"), None, "Correction"),
    ]  # fmt: skip
    assert ask(db, "select BillingAccountId, SubAccountId, BillingPeriodStart, BillingPeriodEnd, ChargePeriodStart,"
                   " ChargePeriodEnd, ServiceCategory, PricingQuantity, PricingUnit, RegionId, Tags from charges"
                   " order by x_source_row limit 1") == [
        ("20209880", "ocid1.tenancy.oc1..a", datetime(2026, 5, 1), datetime(2026, 6, 1), datetime(2026, 5, 1),
         datetime(2026, 5, 1, 1), "Compute", D(8), "GPU HOURS", "uk-london-1", '{"ml.team":"vision"}')
    ]  # fmt: skip
    extra = json.loads(ask(db, "select x_extra from charges")[0][0])
    assert extra["product/compartmentName"] == "research"
    assert "jane" not in json.dumps(extra)


def test_bad_rows_are_rejected_alone(tmp_path, db):
    rows = [line(number) for number in range(6)]
    rows[1]["cost/myCost"] = "free"
    rows[2]["lineItem/intervalUsageStart"] = "2026-05-32T00:00Z"
    rows[3]["cost/currencyCode"] = "?"
    rows[4]["cost/myCost"] = ""
    result = load_one(write_csv(tmp_path / "report.csv", rows), db)
    assert (result.rows_loaded, result.rows_rejected) == (2, 4)
    assert [row[:3] for row in rejected(db)] == [
        (3, "cost/myCost", "free"), (4, "ChargePeriodStart", "2026-05-32T00:00:00Z"), (5, "BillingCurrency", "?"),
        (6, "BilledCost", None),
    ]  # fmt: skip


@FEW
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(sorted(line())), DAMAGE), max_size=8))
def test_damage_stays_in_its_rows(tmp_path_factory, changes):
    folder, rows = tmp_path_factory.mktemp("oci"), [line(number) for number in range(5)]
    for position, name, text in changes:
        rows[position][name] = text
    assert_damage_stays_in_its_rows(folder / "oci.csv", folder / "db", rows, {position for position, *_ in changes})

"""Azure cost details: every edition's names, dates either way round, actual against amortised costs."""

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
    write_parquet,
)

RESERVATION = "/providers/Microsoft.Capacity/reservationOrders/o/reservations/r"
PLAN = "/providers/Microsoft.BillingBenefits/savingsPlanOrders/o/savingsPlans/p"


def line(number: int = 0, cost: str = "1", **more: str) -> dict[str, str]:
    """A line of an Enterprise Agreement's file, as of 2023."""
    return {
        "BillingAccountId": "8611537", "BillingAccountName": "Contoso", "BillingPeriodStartDate": "09/01/2023",
        "BillingPeriodEndDate": "09/30/2023", "AccountOwnerId": "jane@contoso.com", "SubscriptionId": f"sub-{number}",
        "SubscriptionName": "Research", "Date": f"09/{number % 28 + 1:02}/2023", "Product": "ND96isr H100 v5",
        "PartNumber": "AAA-1", "MeterId": f"m{number}", "MeterCategory": "Virtual Machines", "MeterName": "ND96isr",
        "Quantity": "1", "EffectivePrice": cost, "Cost": cost, "UnitPrice": "2", "BillingCurrency": "USD",
        "ResourceLocation": "UK South", "ResourceId": f"/subscriptions/s/virtualMachines/vm-{number}",
        "AdditionalInfo": '{"ServiceType":"Standard_ND96isr_H100_v5","VCPUs":96}', "UnitOfMeasure": "1 Hour",
        "Tags": '"env": "prod","team": "ml"', "ChargeType": "Usage", "Frequency": "UsageBased",
        "PricingModel": "OnDemand", "PayGPrice": "3", "benefitId": "", "benefitName": "", **more,
    }  # fmt: skip


def covered(number: int, cost: str, model: str, kind: str = "Usage") -> dict[str, str]:
    benefit = PLAN if model == "SavingsPlan" else RESERVATION
    return line(number, cost, PricingModel=model, ChargeType=kind, benefitId=benefit, benefitName="b")


ACTUAL = [
    line(0, "5"),
    covered(1, "300", "Reservation", "Purchase"),
    covered(2, "-50", "Reservation", "Refund"),
    covered(3, "0", "Reservation"),
    line(4, "20", ChargeType="Purchase", Frequency="OneTime", PricingModel=""),
    line(5, "0.7", ChargeType="Tax"),
    line(6, "0.01", ChargeType="RoundingAdjustment", PricingModel=""),
]
AMORTIZED = [
    line(0, "5"),
    covered(3, "8", "Reservation"),
    covered(4, "4", "SavingsPlan"),
    covered(5, "2", "Reservation", "UnusedReservation"),
    covered(6, "1", "SavingsPlan", "UnusedSavingsPlan"),
]


def test_actual_costs(tmp_path, db):
    """A purchase is billed and no cost of its day; what covered usage is worth is not told."""
    assert load_sound(write_csv(tmp_path / "actual.csv", ACTUAL), db).format == "azure actual"
    columns = "BilledCost, EffectiveCost, ChargeCategory, ChargeClass"
    assert ask(db, f"select {columns} from charges order by x_source_row") == [
        (D(5), D(5), "Usage", None), (D(300), D(0), "Purchase", None), (D(-50), D(0), "Purchase", "Correction"),
        (D(0), None, "Usage", None), (D(20), D(20), "Purchase", None), (D("0.7"), D("0.7"), "Tax", None),
        (D("0.01"), D("0.01"), "Adjustment", None),
    ]  # fmt: skip


def test_amortised_costs(tmp_path, db):
    """What commitments cover is no billed cost, used or not."""
    assert load_sound(write_csv(tmp_path / "amortized.csv", AMORTIZED), db).format == "azure amortized"
    columns = "BilledCost, EffectiveCost, CommitmentDiscountStatus, CommitmentDiscountType, PricingCategory"
    assert ask(db, f"select {columns} from charges order by x_source_row") == [
        (D(5), D(5), None, None, "Standard"), (D(0), D(8), "Used", "Reservation", "Committed"),
        (D(0), D(4), "Used", "Savings Plan", "Committed"), (D(0), D(2), "Unused", "Reservation", "Committed"),
        (D(0), D(1), "Unused", "Savings Plan", "Committed"),
    ]  # fmt: skip


def test_a_line_of_the_enterprise_agreement(tmp_path, db):
    load_sound(write_csv(tmp_path / "ea.csv", [line(0, "5")], "utf-8-sig"), db)
    assert ask(db, "select BillingAccountId, BillingPeriodStart, BillingPeriodEnd, ChargePeriodStart, ChargePeriodEnd,"
                   " ProviderName, RegionId, ResourceName, ServiceCategory, ConsumedQuantity, ConsumedUnit,"
                   " PricingUnit, ListCost, ContractedCost from charges") == [
        ("8611537", datetime(2023, 9, 1), datetime(2023, 10, 1), datetime(2023, 9, 1), datetime(2023, 9, 2),
         "Microsoft", "uksouth", "vm-0", "Compute", D(1), "Hour", "1 Hour", None, None)
    ]  # fmt: skip
    tags, details, extra = ask(db, "select Tags, SkuPriceDetails, x_extra from charges")[0]
    assert json.loads(tags) == {"env": "prod", "team": "ml"}
    assert json.loads(details) == {"InstanceType": "Standard_ND96isr_H100_v5"}
    assert json.loads(extra) == {"MeterId": "m0", "EffectivePrice": "5"}, "people's addresses are left out"


def mca(row: dict[str, str]) -> dict[str, str]:
    """The same line as the Customer Agreement's file has it."""
    names = {"Cost": "costInBillingCurrency", "Product": "productName"}
    new = {names.get(name, name[0].lower() + name[1:]): value for name, value in row.items()}
    return new | {"billingProfileId": "profile", "billingProfileName": "Profile", "costInPricingCurrency": "1",
                  "pricingCurrency": "EUR", "paygCostInBillingCurrency": "9.5", "exchangeRatePricingToBilling": "1.1",
                  "resourceGroupName": "rg", "invoiceId": "G1", "SubscriptionId": row["SubscriptionId"]}  # fmt: skip


def test_a_line_of_the_customer_agreement(tmp_path, db):
    row = mca(line(0, "5"))
    row.pop("subscriptionId")
    load_sound(write_csv(tmp_path / "mca.csv", [row]), db)
    columns = "BillingAccountId, BillingAccountName, BilledCost, ListCost, InvoiceId, PricingCurrency, SubAccountId"
    assert ask(db, f"select {columns} from charges") == [
        ("profile", "Profile", D(5), D("9.5"), "G1", "EUR", "sub-0")
    ]  # fmt: skip


def test_a_pay_as_you_go_line(tmp_path, db):
    """No account, no billing period, no kind of charge: the subscription, the calendar month and usage."""
    row = {"SubscriptionGuid": "s", "ResourceGroup": "rg", "UsageDateTime": "2019-09-10", "MeterCategory": "Storage",
           "MeterId": "m", "UsageQuantity": "2", "ResourceRate": "1.5", "PreTaxCost": "3", "Currency": "EUR",
           "InstanceId": "/subscriptions/s/disks/d", "Tags": "", "UnitOfMeasure": "1 GB"}  # fmt: skip
    load_sound(write_csv(tmp_path / "payg.csv", [row]), db)
    assert ask(db, "select BillingAccountId, BilledCost, EffectiveCost, BillingPeriodStart, BillingPeriodEnd,"
                   " ChargePeriodEnd, ChargeCategory, ConsumedUnit, ResourceName, Tags from charges") == [
        ("s", D(3), D(3), datetime(2019, 9, 1), datetime(2019, 10, 1), datetime(2019, 9, 11), "Usage", "GB", "d", None)
    ]  # fmt: skip


def test_a_file_without_a_currency_is_refused(tmp_path, db):
    row = line()
    row.pop("BillingCurrency")
    result = load_one(write_csv(tmp_path / "ea.csv", [row]), db)
    assert (result.status, result.message) == (
        "failed", "ea.csv: no Azure cost details, column BillingCurrency is missing")  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        {"Date": "Datum", "Cost": "Kosten", "Quantity": "Menge", "MeterId": "Verbrauchseinheits-ID"},
        {"Date": "Date", "Cost": "Coût", "Quantity": "Quantité", "MeterId": "ID du compteur"},
        {"Date": "Fecha", "Cost": "Costo", "Quantity": "Cantidad", "MeterId": "Id. de medidor"},
        {"Date": "日付", "Cost": "コスト", "Quantity": "数量", "MeterId": "測定 ID"},
    ],
    ids=["German", "French", "Spanish", "Japanese"],
)
def test_localised_header(tmp_path, db, names):
    """Azure puts the English name in parentheses behind the translation."""
    english = {"Cost": "CostInBillingCurrency"}
    rows = [{f"{names.get(k, 'x')} ({english.get(k, k)})": v for k, v in line(n, "5").items()} for n in range(3)]
    load_sound(write_csv(tmp_path / "export.csv", rows, "utf-8-sig"), db)
    assert ask(db, "select count(*), sum(BilledCost), min(ChargePeriodStart), max(ResourceName) from charges") == [
        (3, D(15), datetime(2023, 9, 1), "vm-2")
    ]


def test_two_names_of_the_same_field(tmp_path, db):
    result = load_sound(write_csv(tmp_path / "ea.csv", [line(0, "5", CostInBillingCurrency="7", ResourceName="n")]), db)
    assert [(c.currency, c.read) for c in result.cost] == [("USD", D(5))]


@pytest.mark.parametrize(
    ("dates", "period", "days"),
    [
        (("9/2/2023", "9/3/2023"), ("9/1/2023", "9/30/2023"), [(9, 2), (9, 3)]),
        (("2/9/2023", "3/9/2023"), ("1/9/2023", "30/9/2023"), [(9, 2), (9, 3)]),
        (("02/09/2023", "03/09/2023"), ("2/1/2023", "3/1/2023"), [(2, 9), (3, 9)]),
        (("2023-09-02", "2023-09-03"), ("2023-09-01", "2023-09-30"), [(9, 2), (9, 3)]),
        (("2023-09-02T00:00:00Z", "2023-09-03T00:00:00"), ("9/1/2023", "9/30/2023"), [(9, 2), (9, 3)]),
        (("09/02/2023 00:00:00", "9/3/2023"), ("09/01/2023", "09/30/2023"), [(9, 2), (9, 3)]),
    ],
    ids=["month first", "day first", "month first where nothing tells", "ISO", "ISO with times", "with times"],
)
def test_dates(tmp_path, db, dates, period, days):
    start, end = period
    rows = [line(n, Date=date, BillingPeriodStartDate=start, BillingPeriodEndDate=end) for n, date in enumerate(dates)]
    load_sound(write_csv(tmp_path / "ea.csv", rows), db)
    held = ask(db, "select ChargePeriodStart from charges order by x_source_row")
    assert held == [(datetime(2023, month, day),) for month, day in days]


def test_one_damaged_date_does_not_turn_the_others(tmp_path, db):
    rows = [line(n) for n in range(5)]
    rows[2]["Date"] = "13/14/2023"
    load_one(write_csv(tmp_path / "ea.csv", rows), db)
    assert [row[:3] for row in rejected(db)] == [(4, "ChargePeriodStart", "13/14/2023")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5.64902E-05", "0.0000564902"),
        ("0.123456789012345678901234", "0.123456789012345678901234"),
        ("-1.50", "-1.5"),
        ("1.23456789012345678E-10", "0.000000000123456789012346"),
    ],
)
def test_money(tmp_path, db, text, value):
    """Exact, but for what a floating-point number has beyond 24 decimals."""
    load_sound(write_csv(tmp_path / "ea.csv", [line(0, text)]), db)
    assert ask(db, "select BilledCost, EffectiveCost from charges") == [(D(value), D(value))]


def test_parquet(tmp_path, db):
    source = write_csv(tmp_path / "ea.csv", AMORTIZED)
    typed = "* replace (Cost::double as Cost, strptime(Date, '%m/%d/%Y')::date as Date)"
    assert load_sound(write_parquet(tmp_path / "ea.parquet", source, typed), db).format == "azure amortized"
    assert ask(db, "select sum(BilledCost), sum(EffectiveCost), max(ChargePeriodEnd) from charges") == [
        (D(5), D(20), datetime(2023, 9, 8))
    ]


def test_bad_rows_are_rejected_alone(tmp_path, db):
    rows = [line(n) for n in range(8)]
    rows[1]["Cost"] = "1,5"
    rows[2]["Date"] = "soon"
    rows[3]["BillingPeriodEndDate"] = "later"
    rows[4]["BillingCurrency"] = ""
    rows[5]["Cost"] = ""
    rows[6]["Quantity"] = "many"
    result = load_one(write_csv(tmp_path / "ea.csv", rows), db)
    assert (result.rows_loaded, result.rows_rejected) == (2, 6)
    assert [row[:3] for row in rejected(db)] == [
        (3, "Cost", "1,5"), (4, "ChargePeriodStart", "soon"), (5, "BillingPeriodEnd", "later"),
        (6, "BillingCurrency", None), (7, "BilledCost", None), (8, "PricingQuantity", "many"),
    ]  # fmt: skip


def test_an_open_quote_in_the_middle(tmp_path, db):
    rows = [line(n) for n in range(6)]
    path = write_csv(tmp_path / "ea.csv", rows)
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace("ND96isr H100", '"ND96isr H100', 1)
    path.write_text("\n".join(lines) + "\n")
    result = load_one(path, db)
    assert (result.status, result.rows_loaded) == ("loaded", 5)


@FEW
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(sorted(line())), DAMAGE), max_size=8))
def test_damage_stays_in_its_rows(tmp_path_factory, changes):
    folder, rows = tmp_path_factory.mktemp("azure"), [dict(row) for row in AMORTIZED]
    for position, name, text in changes:
        rows[position][name] = text
    assert_damage_stays_in_its_rows(folder / "ea.csv", folder / "db", rows, {position for position, *_ in changes})


REAL = {
    "azure_ea.csv": ("azure actual", "CostInBillingCurrency", 27, "CAD"),
    "EA_ActualCost_Small.csv": ("azure actual", "Cost", 11, "USD"),
    "EA_AmortizedCost_Small.csv": ("azure amortized", "Cost", 28, "USD"),
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real(real, tmp_path, db, name):
    """The file's cost is the billed one of actual costs, but for what commitments cover the effective one."""
    form, column, count, currency = REAL[name]
    rows, cost = summed(real / "billing" / name, column)
    result = load_sound(real / "billing" / name, db)
    assert (result.format, result.rows_read, rows) == (form, count, count)
    sums = ("sum(BilledCost) filter (ChargeCategory = 'Purchase')",
            "sum(EffectiveCost) filter (CommitmentDiscountStatus is not null)")  # fmt: skip
    bought = ask(db, f"select coalesce({sums[0]}, 0), coalesce({sums[1]}, 0) from charges")[0]
    assert [(c.currency, c.read) for c in result.cost] == [(currency, cost - bought[1])]
    assert ask(db, "select sum(EffectiveCost) from charges") == [(cost - bought[0],)]
    assert bought == {"EA_ActualCost_Small.csv": (D("3.25"), D(0)),
                      "EA_AmortizedCost_Small.csv": (D(0), D("0.499152000468"))}.get(name, (D(0), D(0)))  # fmt: skip


@pytest.mark.real
def test_real_file_without_rows(real, db):
    result = load_sound(real / "billing/EA_NoRows.csv", db)
    assert (result.rows_read, result.rows_loaded, result.cost) == (0, 0, [])


def test_a_file_without_tags(tmp_path, db):
    rows = [{name: text for name, text in row.items() if name not in ("Tags", "AdditionalInfo")} for row in ACTUAL]
    load_sound(write_csv(tmp_path / "actual.csv", rows), db)
    assert ask(db, "select count(*), count(Tags) from charges") == [(len(ACTUAL), 0)]

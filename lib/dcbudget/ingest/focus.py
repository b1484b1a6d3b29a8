"""FOCUS 1.0 to 1.3 cost and usage exports (FinOps Open Cost and Usage Specification), CSV or Parquet."""

from dcbudget.errors import UnreadableFile
from dcbudget.ingest.plan import Column, Dialect, Options, Plan, Reader, Rule, ref
from dcbudget.ingest.source import Source
from dcbudget.quoting import literal

MONEY = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingCurrencyEffectiveCost")
QUANTITY = (
    "CommitmentDiscountQuantity",
    "ConsumedQuantity",
    "ContractedUnitPrice",
    "ListUnitPrice",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyListUnitPrice",
    "PricingQuantity",
)
TIME = ("BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart")
# Mandatory in every version from 1.0 on.
MANDATORY = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd",
    "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
)  # fmt: skip
OPTIONAL_TEXT = (
    "AvailabilityZone", "BillingAccountType", "CapacityReservationId", "CapacityReservationStatus",
    "ChargeFrequency", "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName",
    "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit", "ConsumedUnit",
    "InvoiceId", "PricingCategory", "PricingCurrency", "RegionId", "RegionName", "ResourceId",
    "ResourceName", "ResourceType", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails",
    "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags",
)  # fmt: skip
COLUMNS = tuple(dict.fromkeys((*MANDATORY, *MONEY, *QUANTITY, *TIME, *OPTIONAL_TEXT)))
# A row without one of these is no charge; other empty fields are findings of `dcbudget check`.
REQUIRED = (
    "BilledCost", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory",
    "ChargePeriodEnd", "ChargePeriodStart", "EffectiveCost",
)  # fmt: skip
# Without one of these columns a file is not loaded: charges could neither be counted, told apart nor replaced.
NEEDED = (*REQUIRED, "BillingAccountId", "ProviderName", "ServiceName")
# 1.3 names these anew and keeps the old ones as deprecated.
RENAMED = {"ProviderName": "ServiceProviderName", "PublisherName": "HostProviderName"}
OURS = {"x_project": "text", "x_cluster": "text", "x_gpu_model": "text", "x_gpu_hours": "number"}
FIRST_SEEN = (
    ("1.3", {"serviceprovidername", "hostprovidername", "contractapplied", "allocatedmethodid"}),
    ("1.2", {"invoiceid", "billingaccounttype", "subaccounttype", "pricingcurrency"}),
    ("1.1", {"capacityreservationid", "skumeter", "skupricedetails", "servicesubcategory"}),
)
NAMES = {name.lower() for name in COLUMNS}


def detect(source: Source) -> bool:
    names = {name.lower() for name in source.best_delimiter(NAMES)[1]}
    return len(names & {name.lower() for name in MANDATORY}) >= 10


def plan(source: Source, options: Options) -> Plan:
    """Columns by name, whatever their order and case; columns that FOCUS 1.2 lacks are kept in `x_extra`."""
    delimiter, header = source.best_delimiter(NAMES)
    by_name = {name.lower(): name for name in reversed(header)}
    for new, old in ((new, old) for old, new in RENAMED.items() if old.lower() not in by_name):
        if new.lower() in by_name:
            by_name[old.lower()] = by_name[new.lower()]
    missing = [name for name in NEEDED if name.lower() not in by_name]
    if missing:
        raise UnreadableFile(f"{source.path.name}: not a FOCUS export, column {', '.join(missing)} is missing")
    version = next((v for v, names in FIRST_SEEN if names & set(by_name)), "1.0")
    return Plan(
        format=f"focus {version}",
        dataset="charges",
        fields=header,
        columns=_columns(header, by_name),
        dialect=Dialect(delimiter),
        rules=_rules(options),
        money="BilledCost",
        currency="BillingCurrency",
    )


def _columns(header: list[str], by_name: dict[str, str]) -> dict[str, Column]:
    columns = {}
    for name in COLUMNS:
        kind = "money" if name in MONEY else "quantity" if name in QUANTITY else "time" if name in TIME else "text"
        if name.lower() in by_name:
            columns[name] = Column(ref(by_name[name.lower()]), kind, name in REQUIRED)
    for name, kind in OURS.items():
        if name in by_name:
            columns[name] = Column(ref(by_name[name]), kind)
    used = {by_name[name.lower()] for name in columns}
    extra = [name for name in dict.fromkeys(header) if name not in used]
    if extra:
        pairs = ", ".join(f"{literal(name)}, {ref(name)}" for name in extra)
        some = ", ".join(f"{ref(name)}" for name in extra)
        columns["x_extra"] = Column(f"case when coalesce({some}) is not null then json_object({pairs})::varchar end")
    return columns


def _rules(options: Options) -> list[Rule]:
    as_of = options.as_of.strftime("%Y-%m-%d")
    return [
        Rule("ChargePeriodEnd", "ChargePeriodEnd < ChargePeriodStart", "the charge ends before it starts",
             "ChargePeriodEnd::varchar"),
        Rule("BillingPeriodEnd", "BillingPeriodEnd <= BillingPeriodStart", "the billing period ends before it starts",
             "BillingPeriodEnd::varchar"),
        Rule("ChargePeriodStart", f"ChargePeriodStart > timestamp {literal(as_of)} + interval 2 day",
             f"lies in the future (seen from {as_of})", "ChargePeriodStart::varchar"),
        Rule("PricingQuantity",
             "least(PricingQuantity, ConsumedQuantity) < 0 and greatest(BilledCost, EffectiveCost) > 0"
             " and ChargeClass is distinct from 'Correction'",
             "a negative quantity with a positive cost, and not a correction",
             "least(PricingQuantity, ConsumedQuantity)::varchar"),
    ]  # fmt: skip


READER = Reader("focus", "charges", "FOCUS 1.0-1.3 cost and usage export, CSV or Parquet", detect, plan)

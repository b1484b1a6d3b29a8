"""Oracle Cloud Infrastructure's cost reports (CSV, usually gzipped).

Columns: https://docs.oracle.com/iaas/Content/Billing/Concepts/costusagereportsoverview.htm.
To FOCUS: the column pages of github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec (supporting_content); where this
differs, it says so.
"""

from dcbudget.errors import UnreadableFile
from dcbudget.ingest import native
from dcbudget.ingest.native import json_of
from dcbudget.ingest.plan import Column, Dialect, Options, Plan, Reader, ref
from dcbudget.ingest.source import Source

SERVICE_CATEGORIES = {
    "AI and Machine Learning": ("DATA_SCIENCE", "GENERATIVE_AI", "AI_SERVICES"),
    "Analytics": ("BIGDATA", "DATA_FLOW", "ANALYTICS"),
    "Compute": ("COMPUTE", "FUNCTIONS", "OKE", "CONTAINER_ENGINE"),
    "Databases": ("DATABASE", "AUTONOMOUS_DATABASE", "MYSQL", "NOSQL", "POSTGRESQL"),
    "Integration": ("STREAMING", "QUEUE", "INTEGRATION"),
    "Management and Governance": ("TELEMETRY", "LOGGING", "MONITORING", "NOTIFICATIONS"),
    "Networking": ("NETWORK", "VIRTUAL_CLOUD_NETWORK", "LOAD_BALANCER", "DNS", "FASTCONNECT"),
    "Security": ("KMS", "VAULT", "WAF", "CLOUD_GUARD"),
    "Storage": ("BLOCK_STORAGE", "OBJECTSTORE", "OBJECT_STORAGE", "FILE_STORAGE"),
}  # fmt: skip
_START = "{time:lineItem/intervalUsageStart}"

MAPPING = {
    # What the usage costs. Where FOCUS_Spec has BilledCost, it takes cost/myCostOverage, which is the part of a cost
    # that exceeds a yearly commitment: nothing for the many who stay within it, and myCost contains it.
    "BilledCost": "[cost/myCost]",
    "EffectiveCost": "[cost/myCost]",
    "ContractedCost": "[cost/myCost]",
    "ContractedUnitPrice": "[cost/unitPrice]",
    "BillingAccountId": "coalesce([cost/subscriptionId], [lineItem/tenantId])",
    "BillingCurrency": "[cost/currencyCode]",
    # Reports name no billing period: the calendar month of the usage.
    "BillingPeriodStart": f"date_trunc('month', to_utc({_START}, 'UTC'))::varchar",
    "BillingPeriodEnd": f"(date_trunc('month', to_utc({_START}, 'UTC')) + interval 1 month)::varchar",
    "InvoiceIssuerName": "'Oracle'",
    "ProviderName": "'Oracle'",
    "PublisherName": "'Oracle'",
    "ChargePeriodStart": _START,
    "ChargePeriodEnd": "{time:lineItem/intervalUsageEnd}",
    "ChargeCategory": "'Usage'",
    "ChargeClass": "case when lower([lineItem/isCorrection]) = 'true' then 'Correction' end",
    "ChargeDescription": "[product/Description]",
    "ChargeFrequency": "'Usage-Based'",
    "PricingQuantity": "[usage/billedQuantity]",
    "PricingUnit": "coalesce([cost/billingUnitReadable], [cost/skuUnitDescription])",
    "ConsumedQuantity": "coalesce([usage/consumedQuantity], [usage/billedQuantity])",
    "ConsumedUnit": "coalesce([usage/consumedQuantityUnits], [cost/billingUnitReadable], [cost/skuUnitDescription])",
    "ServiceName": "[product/service]",
    "ServiceCategory": native.category("[product/service]", SERVICE_CATEGORIES),
    "SkuId": "[cost/productSku]",
    "SkuMeter": "[product/resource]",
    "ResourceId": "[product/resourceId]",
    "RegionId": "[product/region]",
    "AvailabilityZone": "[product/availabilityDomain]",
    "SubAccountId": "[lineItem/tenantId]",
}
AMOUNTS = frozenset({"cost/myCost"})
NEEDED = ("lineItem/intervalUsageStart", "lineItem/intervalUsageEnd", "cost/myCost", "cost/currencyCode")
PERSONAL_TAGS = ("oracle-tags.createdby",)


def detect(source: Source) -> bool:
    by_name = _names(source)[1]
    return all(name.lower() in by_name for name in ("cost/myCost", "lineItem/intervalUsageStart"))


def plan(source: Source, options: Options) -> Plan:
    delimiter, by_name, header = _names(source)
    if missing := [name for name in NEEDED if name.lower() not in by_name]:
        raise UnreadableFile(f"{source.path.name}: no OCI cost report, column {', '.join(missing)} is missing")

    def find(name: str) -> str | None:
        return ref(by_name[name.lower()]) if name.lower() in by_name else None

    columns = native.map_columns(MAPPING, find, AMOUNTS, {f"{{time:{name}}}": _time(find(name)) for name in NEEDED[:2]})
    tags = {name.partition("/")[2]: ref(name) for name in header if name.lower().startswith("tags/")}
    columns["Tags"] = Column(json_of({name: sql for name, sql in tags.items() if name.lower() not in PERSONAL_TAGS}))
    personal = tuple(f"tags/{name}" for name in PERSONAL_TAGS)
    columns["x_extra"] = native.extra(header, columns, personal)
    return Plan(
        format="oci_cost",
        dataset="charges",
        fields=header,
        columns=columns,
        dialect=Dialect(delimiter),
        rules=native.charge_rules(options, AMOUNTS, find),
        money="BilledCost",
        currency="BillingCurrency",
    )


def _names(source: Source) -> tuple[str, dict[str, str], list[str]]:
    """The delimiter, the fields by their name in lower case, and the fields."""
    delimiter, header = source.best_delimiter({name.lower() for name in NEEDED})
    header = native.unique(header) if source.kind == "text" else header
    return delimiter, {name.lower(): name for name in reversed(header)}, header


def _time(field: str) -> str:
    """`2026-05-01T00:00Z` has no seconds, which a time needs here."""
    return f"regexp_replace({field}, '(T\\d\\d:\\d\\d)(Z?)$', '\\1:00\\2')"


READER = Reader("oci_cost", "charges", "Oracle Cloud Infrastructure cost report, CSV", detect, plan)

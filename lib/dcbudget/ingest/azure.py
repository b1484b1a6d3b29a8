"""Azure cost details: Enterprise Agreement, Customer Agreement and pay-as-you-go, actual or amortised costs.

Columns: https://learn.microsoft.com/azure/cost-management-billing/automate/understand-usage-details-fields.
To FOCUS: https://learn.microsoft.com/cloud-computing/finops/focus/convert; where this differs, it says so.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from dcbudget.errors import UnreadableFile
from dcbudget.ingest import native
from dcbudget.ingest.native import choose, json_of
from dcbudget.ingest.plan import Dialect, Options, Plan, Reader, ref
from dcbudget.ingest.source import Source, duckdb_path
from dcbudget.quoting import literal, quote

# Field -> its other names in older and newer editions. Names are compared without case and spaces, and a localised
# header such as `Kosten (CostInBillingCurrency)` goes by the English name that Azure puts in its parentheses.
SYNONYMS = {
    "AdditionalInfo": ("AdditionalInformation",),
    "BillingCurrency": ("BillingCurrencyCode", "Currency"),
    "ConsumedService": ("ServiceName",),
    "Cost": ("CostInBillingCurrency", "PreTaxCost"),
    "Date": ("UsageDateTime", "UsageDate"),
    "MeterSubCategory": ("MeterSubcategory",),
    "PaygCost": ("PaygCostInBillingCurrency",),
    "Product": ("ProductName",),
    "Quantity": ("UsageQuantity", "ConsumedQuantity"),
    "ResourceGroup": ("ResourceGroupName",),
    "ResourceId": ("InstanceId", "InstanceName"),
    "ResourceLocation": ("Location", "ResourceLocationNormalized"),
    "SubscriptionId": ("SubscriptionGuid",),
}

# ChargeType and PricingModel are absent from pay-as-you-go files, which hold nothing but usage.
CHARGE = "coalesce([ChargeType], 'Usage')"
MODEL = "lower(replace([PricingModel], ' ', ''))"
_COMMITTED = f"coalesce({MODEL} in ('reservation', 'savingsplan'), false)"
_UNUSED = f"{CHARGE} in ('UnusedReservation', 'UnusedSavingsPlan')"
_PURCHASED = f"{CHARGE} in ('Purchase', 'Refund') and {_COMMITTED}"
_COVERED = f"{CHARGE} = 'Usage' and {_COMMITTED}"
# What is left once a unit such as `1 GB` has lost its one; `10K` and `100 Hours` are prices of blocks.
_UNIT = r"nullif(regexp_extract([UnitOfMeasure], '^1[ /]?(\D.*)$', 1), '')"
_BENEFIT = "lower([BenefitId])"

SERVICE_CATEGORIES = {
    "AI and Machine Learning": ("Azure Machine Learning", "Cognitive Services", "Foundry Models", "Azure AI Search",
                                "Foundry Tools", "Azure OpenAI"),
    "Analytics": ("Azure Databricks", "Azure Synapse Analytics", "Azure Data Explorer", "HDInsight", "Microsoft Fabric",
                  "Azure Data Factory v2"),
    "Compute": ("Virtual Machines", "Virtual Machines Licenses", "Azure Kubernetes Service", "Container Instances",
                "Container Registry", "Functions", "Azure App Service", "Azure Container Apps", "Cloud Services"),
    "Databases": ("SQL Database", "SQL Managed Instance", "Azure Cosmos DB", "Azure Database for MySQL",
                  "Azure Database for PostgreSQL", "Redis Cache", "Azure Cache for Redis"),
    "Integration": ("Event Hubs", "Service Bus", "Event Grid", "Logic Apps", "API Management"),
    "Management and Governance": ("Azure Monitor", "Log Analytics", "Automation", "Application Insights"),
    "Networking": ("Virtual Network", "Bandwidth", "Load Balancer", "VPN Gateway", "ExpressRoute", "Azure DNS",
                   "Application Gateway", "Azure Firewall", "Content Delivery Network", "NAT Gateway"),
    "Security": ("Key Vault", "Microsoft Defender for Cloud", "Advanced Threat Protection", "Security Center",
                 "Advanced Data Security", "Sentinel"),
    "Storage": ("Storage", "Azure NetApp Files", "Backup", "Azure Managed Lustre", "Azure HPC Cache"),
}  # fmt: skip
# Where the meter category is none of these, the family, which goes by the use.
SERVICE_FAMILIES = {
    "AI and Machine Learning": ("AI + Machine Learning",),
    "Analytics": ("Analytics",),
    "Compute": ("Compute", "Containers"),
    "Databases": ("Databases",),
    "Integration": ("Integration",),
    "Internet of Things": ("Internet of Things",),
    "Management and Governance": ("Management and Governance",),
    "Networking": ("Networking",),
    "Security": ("Security",),
    "Storage": ("Storage",),
    "Web": ("Web",),
}

# In `{date:Name}` a date of the file, as text that begins with the year; in `{day after:Name}` the next day.
MAPPING = {
    # A line that commitments cover costs something in an amortised file alone, where it is no billed cost; Microsoft
    # says so of usage, and what of a commitment is unused was paid with the purchase just as well.
    "BilledCost": f"case when {_COVERED} or {_UNUSED} then 0 else [Cost] end",
    # In a file of actual costs covered usage costs nothing, and what it is worth is told by the amortised file alone.
    "EffectiveCost": f"case when {_PURCHASED} then 0"
                     f" when {_COVERED} and [Cost] = 0 and coalesce(to_double([Quantity]), 1) <> 0 then null"
                     " else [Cost] end",
    # Only the Customer Agreement tells it. The contracted cost is not told: Microsoft's formula needs the block size
    # of each price, and the quantity is already one of blocks in the Enterprise Agreement.
    "ListCost": "[PaygCost]",
    "ListUnitPrice": "case when [ExchangeRatePricingToBilling] is null then [PayGPrice] end",
    "ContractedUnitPrice": "[UnitPrice]",
    "BillingAccountName": "[BillingAccountName]",
    "BillingCurrency": "[BillingCurrency]",
    "BillingPeriodStart": "{date:BillingPeriodStartDate}",
    "BillingPeriodEnd": "{day after:BillingPeriodEndDate}",
    "InvoiceId": "[InvoiceId]",
    "InvoiceIssuerName": "coalesce([PartnerName], 'Microsoft')",
    "ProviderName": "'Microsoft'",
    "PublisherName": "coalesce([PublisherName], 'Microsoft')",
    "ChargePeriodStart": "{date:Date}",
    "ChargePeriodEnd": "{day after:Date}",
    "ChargeCategory": choose(CHARGE, {
        "Usage": ("Usage", "UnusedReservation", "UnusedSavingsPlan"),
        "Purchase": ("Purchase", "Refund"),
        "Credit": ("Credit",),
        "Tax": ("Tax",),
    }, "'Adjustment'"),
    "ChargeClass": f"case when {CHARGE} = 'Refund' then 'Correction' end",
    "ChargeDescription": "[Product]",
    "ChargeFrequency": choose("[Frequency]", {
        "One-Time": ("OneTime",), "Recurring": ("Recurring",), "Usage-Based": ("UsageBased",)}),
    "CommitmentDiscountId": "coalesce([BenefitId], [ReservationId])",
    "CommitmentDiscountName": "coalesce([BenefitName], [ReservationName])",
    "CommitmentDiscountCategory": f"case when contains({_BENEFIT}, '/microsoft.capacity/') then 'Usage'"
                                  f" when contains({_BENEFIT}, '/microsoft.billingbenefits/') then 'Spend' end",
    "CommitmentDiscountType": f"case when contains({_BENEFIT}, '/microsoft.capacity/') then 'Reservation'"
                              f" when contains({_BENEFIT}, '/microsoft.billingbenefits/') then 'Savings Plan' end",
    "CommitmentDiscountStatus": f"case when {_UNUSED} then 'Unused' when {_COVERED} then 'Used' end",
    "PricingCategory": choose(MODEL, {
        "Standard": ("ondemand",), "Dynamic": ("spot",), "Committed": ("reservation", "savingsplan")}),
    "PricingQuantity": "[Quantity]",
    "PricingUnit": "[UnitOfMeasure]",
    "PricingCurrency": "[PricingCurrency]",
    "ConsumedQuantity": f"case when {CHARGE} = 'Usage' and {_UNIT} is not null then [Quantity] end",
    "ConsumedUnit": f"case when {CHARGE} = 'Usage' then {_UNIT} end",
    "ServiceName": "coalesce([MeterCategory], [ConsumedService])",
    "ServiceCategory": native.category("[MeterCategory]", SERVICE_CATEGORIES,
                                       native.category("[ServiceFamily]", SERVICE_FAMILIES)),
    "ServiceSubcategory": "[MeterSubCategory]",
    "SkuId": "coalesce([ProductId], [PartNumber])",
    "SkuMeter": "[MeterName]",
    "SkuPriceDetails": json_of({"InstanceType": native.json_value("[AdditionalInfo]", "ServiceType")}),
    "ResourceId": "[ResourceId]",
    "ResourceName": r"coalesce([ResourceName], nullif(regexp_extract([ResourceId], '([^/]+)/?$', 1), ''))",
    "RegionId": "lower(replace([ResourceLocation], ' ', ''))",
    "RegionName": "[ResourceLocation]",
    "AvailabilityZone": "[AvailabilityZone]",
    "SubAccountId": "[SubscriptionId]",
    "SubAccountName": "[SubscriptionName]",
    "Tags": "{tags}",
}  # fmt: skip
# Of the Customer Agreement the billing profile is what is invoiced; pay-as-you-go files know the subscription alone.
ACCOUNT_OF_EA = "coalesce([BillingAccountId], [SubscriptionId])"
ACCOUNT_OF_MCA = {"BillingAccountId": "coalesce([BillingProfileId], [BillingAccountId])",
                  "BillingAccountName": "coalesce([BillingProfileName], [BillingAccountName])"}  # fmt: skip
OF_MCA = {"costinpricingcurrency", "exchangeratepricingtobilling", "previousinvoiceid"}
AMOUNTS = frozenset({"Cost", "PaygCost"})
DATES = ("Date", "BillingPeriodStartDate", "BillingPeriodEndDate")
# Fields that name people: they do not reach the database.
PERSONAL = ("accountownerid", "serviceadministratorid")

NEEDED = ("Date", "Cost", "Quantity", "MeterId")
KNOWN = {name.lower() for field, others in SYNONYMS.items() for name in (field, *others)} | {
    "meterid", "quantity", "subscriptionname", "billingperiodstartdate", "chargetype", "unitofmeasure", "tags",
}  # fmt: skip


def detect(source: Source) -> bool:
    by_name = _names(source)[1]
    return all(name.lower() in by_name for name in NEEDED)


def plan(source: Source, options: Options) -> Plan:
    delimiter, by_name, header = _names(source)
    missing = [name for name in (*NEEDED, "BillingCurrency") if name.lower() not in by_name]
    if missing:
        raise UnreadableFile(f"{source.path.name}: no Azure cost details, column {', '.join(missing)} is missing")

    def find(name: str) -> str | None:
        return ref(by_name[name.lower()]) if name.lower() in by_name else None

    known = _look(source, header, delimiter, by_name)
    mapping = {**MAPPING, "BillingAccountId": ACCOUNT_OF_EA, **(ACCOUNT_OF_MCA if OF_MCA & by_name.keys() else {})}
    columns = native.map_columns(mapping, find, AMOUNTS, _places(known, find))
    columns["x_extra"] = native.extra(header, columns, PERSONAL)
    return Plan(
        format=f"azure {'amortized' if known.amortised else 'actual'}",
        dataset="charges",
        fields=header,
        columns=columns,
        dialect=Dialect(delimiter),
        rules=native.charge_rules(options, AMOUNTS, find),
        money="BilledCost",
        currency="BillingCurrency",
    )


@dataclass(frozen=True)
class _Known:
    """What is to be known of a file as a whole before its rows can be read."""

    day_first: bool = False
    amortised: bool = False


def _names(source: Source) -> tuple[str, dict[str, str], list[str]]:
    """The delimiter, the fields by their English name in lower case, and the fields."""
    candidates = []
    for delimiter in (",", ";", "\t", "|"):
        header = source.header(delimiter)
        header = native.unique(header) if source.kind == "text" else header
        by_name = {_english(name): name for name in reversed(header)}
        candidates.append((delimiter, by_name, header))
    delimiter, by_name, header = max(candidates, key=lambda candidate: len(candidate[1].keys() & KNOWN))
    for field, others in SYNONYMS.items():
        for other in others:
            if other.lower() in by_name:
                by_name.setdefault(field.lower(), by_name[other.lower()])
    return delimiter, by_name, header


def _english(name: str) -> str:
    in_parentheses = re.fullmatch(r".*\(([A-Za-z ]+)\)\s*", name)
    return re.sub(r"[\s_-]", "", in_parentheses[1] if in_parentheses else name).lower()


def _places(known: _Known, find: native.Find) -> dict[str, str]:
    places = {"{tags}": _tags(find("Tags")) if find("Tags") else "null::varchar"}
    for name in DATES:
        places[f"{{date:{name}}}"] = _date(name, False, known, find)
        places[f"{{day after:{name}}}"] = _date(name, True, known, find)
    return places


def _date(name: str, day_after: bool, known: _Known, find: native.Find) -> str:
    """SQL text of a date; the month of the charge stands in for a billing period that a file does not tell."""
    pattern = "%d/%m/%Y" if known.day_first else "%m/%d/%Y"

    def iso(field: str) -> str:
        day = f"regexp_extract({field}, '^\\d+/\\d+/\\d{{4}}')"
        return f"coalesce(strftime(try_strptime({day}, '{pattern}'), '%Y-%m-%d'), {field})"

    charge = iso(find("Date"))
    if find(name) is None:
        month = f"date_trunc('month', to_utc({charge}, 'UTC'))"
        return f"({month}{' + interval 1 month' if day_after else ''})::varchar"
    date = iso(find(name))
    return f"coalesce((to_utc({date}, 'UTC') + interval 1 day)::varchar, {date})" if day_after else date


def _tags(field: str) -> str:
    """A JSON object, or its members without the braces."""
    return native.json_object_of(
        f"case when starts_with(ltrim({field}), '{{') then {field} else '{{' || {field} || '}}' end"
    )


def _look(source: Source, header: list[str], delimiter: str, by_name: dict[str, str]) -> _Known:
    """Read the whole file's dates and kinds of charge, or its beginning where it is too damaged for a quick look.

    `9/2/2023` alone does not say which is the day: days come first where more dates begin than go on with a number
    above 12. A file is amortised where what commitments cover costs something, and actual where commitments are bought
    in it or none is seen.
    """
    names = [
        by_name[name.lower()] for name in (*DATES, "ChargeType", "PricingModel", "Cost") if name.lower() in by_name
    ]

    def find(name: str) -> str | None:
        return ref(by_name[name.lower()]) if name.lower() in by_name else None

    def votes(number: int) -> str:
        dates = [sql for name in DATES if (sql := find(name))]
        return " + ".join(
            f"count(*) filter (try_cast(split_part({sql}, '/', {number}) as int) between 13 and 31)" for sql in dates
        )

    amortised = native.fill(f"count(*) filter ({_UNUSED} or ({_COVERED} and try_cast([Cost] as double) <> 0))", find)
    with duckdb.connect() as con, TemporaryDirectory(prefix="dcbudget-") as folder:
        for reading in _readings(source, header, delimiter, names, Path(folder) / "head.csv"):
            with suppress(duckdb.Error):
                day_first, month_first, rows = con.execute(
                    f"select {votes(1)}, {votes(2)}, {amortised} from ({reading})"
                ).fetchone()
                return _Known(day_first > month_first, rows > 0)
    return _Known()


def _readings(source: Source, header: list[str], delimiter: str, names: list[str], head: Path) -> Iterator[str]:
    """SQL that reads some fields of a file as text, and where that fails, of its beginning."""
    if source.kind == "parquet":
        fields = ", ".join(f"{quote(name)}::varchar as {ref(name)}" for name in names)
        yield f"select {fields} from read_parquet({literal(duckdb_path(source.path))}, hive_partitioning = false)"
        return
    columns = ", ".join(f"{literal('f:' + name)}: 'VARCHAR'" for name in header)
    for path, compression in ((source.path, source.compression), (head, "none")):
        if path == head:
            head.write_text(source.head, encoding="utf-8")
        yield (
            f"select {', '.join(map(ref, names))} from read_csv({literal(duckdb_path(path))}, columns = {{{columns}}},"
            f" delim = {literal(delimiter)}, header = true, quote = '\"', escape = '\"', auto_detect = false,"
            f" compression = {literal(compression)}, store_rejects = true)"
        )


READER = Reader("azure", "charges", "Azure cost details (EA, MCA, pay-as-you-go), actual or amortized", detect, plan)

"""Google Cloud's billing export to BigQuery, standard or detailed: CSV with dotted names, Parquet, or JSON lines.

Columns: https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/detailed-usage.
To FOCUS: Google's BigQuery view (cloud.google.com/resources/google-cloud-focus) and the column pages of
github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec (supporting_content); where this differs, it says so.
"""

import json

from dcbudget.errors import UnreadableFile
from dcbudget.ingest import native
from dcbudget.ingest.native import json_of
from dcbudget.ingest.plan import Column, Dialect, Options, Plan, Reader, Rule, ref
from dcbudget.ingest.source import Source
from dcbudget.quoting import literal

REGULAR = "[cost_type] = 'regular' or [cost_type] is null"
# The fee of a commitment; what it saves is a credit on the usage.
_FEE = "starts_with([sku.description], 'Commitment ')"
_CUD = "contains([credits], 'COMMITTED_USAGE_DISCOUNT')"

SERVICE_CATEGORIES = {
    "AI and Machine Learning": ("Vertex AI", "Gemini API", "Cloud Machine Learning Engine", "Cloud TPU", "Notebooks"),
    "Analytics": ("BigQuery", "Dataflow", "Cloud Dataflow", "Cloud Dataproc", "Looker", "Cloud Composer"),
    "Compute": ("Compute Engine", "Kubernetes Engine", "Cloud Run", "Cloud Run Functions", "Cloud Functions",
                "App Engine", "Artifact Registry", "Batch"),
    "Databases": ("Cloud SQL", "Cloud Spanner", "Spanner", "Cloud Bigtable", "Bigtable", "Cloud Firestore", "AlloyDB",
                  "Cloud Memorystore for Redis", "MongoDB"),
    "Developer Tools": ("Cloud Build", "Firebase"),
    "Integration": ("Cloud Pub/Sub", "Cloud Tasks", "Workflows"),
    "Management and Governance": ("Cloud Logging", "Cloud Monitoring", "Stackdriver Logging", "Support"),
    "Networking": ("Networking", "Cloud DNS", "Cloud CDN", "Cloud VPN", "Cloud Load Balancing"),
    "Security": ("Secret Manager", "Cloud Key Management Service (KMS)", "Security Command Center"),
    "Storage": ("Cloud Storage", "Cloud Filestore", "Backup and DR Service", "Managed Lustre"),
}  # fmt: skip

MAPPING = {
    # Cost and credits are what is invoiced (FOCUS_Spec, billedcost.md).
    "BilledCost": "try([cost] + {credits})",
    # Google's view gives the billed cost here too: the fee of a commitment stays where it is charged and is not spread
    # over the usage that it covers, whose credits are in the sum.
    "EffectiveCost": "BilledCost",
    "ListCost": "[cost_at_list]",
    "ContractedCost": "[cost]",
    "ListUnitPrice": "[price.list_price]",
    "ContractedUnitPrice": "[price.effective_price]",
    "BillingAccountId": "[billing_account_id]",
    "BillingCurrency": "[currency]",
    # The invoice's month. Google's months begin at midnight in California; the calendar's name for them is kept.
    "BillingPeriodStart": "{month}",
    "BillingPeriodEnd": "(to_utc({month}, 'UTC') + interval 1 month)::varchar",
    "InvoiceIssuerName": "'Google Cloud'",
    "ProviderName": "'Google Cloud'",
    "PublisherName": "coalesce([seller_name], 'Google')",
    "ChargePeriodStart": "[usage_start_time]",
    "ChargePeriodEnd": "[usage_end_time]",
    # The view calls a commitment's fee usage; FOCUS calls it a purchase.
    "ChargeCategory": f"case when ({REGULAR}) then case when {_FEE} then 'Purchase' else 'Usage' end"
                      " when [cost_type] = 'tax' then 'Tax' else 'Adjustment' end",
    "ChargeClass": "case when coalesce([adjustment_info.id], [adjustment_info.description], [adjustment_info.type],"
                   " [adjustment_info.mode]) is not null then 'Correction' end",
    "ChargeDescription": "[sku.description]",
    "CommitmentDiscountId": "[subscription.instance_id]",
    "CommitmentDiscountCategory": "case when contains([credits], '_DISCOUNT_DOLLAR_BASE') then 'Spend'"
                                  f" when {_CUD} then 'Usage' end",
    "PricingCategory": f"case when ({REGULAR}) then case when {_FEE} or {_CUD} then 'Committed'"
                       " when [sku.description] ilike '%spot preemptible%' then 'Dynamic' else 'Standard' end end",
    "PricingQuantity": f"case when {REGULAR} then [usage.amount_in_pricing_units] end",
    "PricingUnit": f"case when {REGULAR} then [usage.pricing_unit] end",
    "ConsumedQuantity": f"case when {REGULAR} then [usage.amount] end",
    "ConsumedUnit": f"case when {REGULAR} then [usage.unit] end",
    "ServiceName": "[service.description]",
    "ServiceCategory": native.category("[service.description]", SERVICE_CATEGORIES),
    "SkuId": "[sku.id]",
    "SkuPriceId": "[sku.id] || coalesce('/' || [price.tier_start_amount], '')",
    "SkuPriceDetails": json_of({"InstanceType": "{machine}"}),
    "ResourceId": "[resource.global_name]",
    "ResourceName": "[resource.name]",
    "RegionId": "coalesce([location.region], [location.location])",
    "AvailabilityZone": "[location.zone]",
    "SubAccountId": "[project.id]",
    "SubAccountName": "[project.name]",
    "Tags": "{tags}",
}  # fmt: skip
AMOUNTS = frozenset({"cost", "cost_at_list", "credits.amount"})

NEEDED = ("billing_account_id", "service.description", "usage_start_time", "cost", "currency", "invoice.month")
# Fields that say more than the column does that uses them.
KEPT = ("credits", "system_labels")
# A line of JSON holds no control characters, so that it is one field of text with this delimiter.
JSON_LINE = Dialect(delimiter="\x1f", header=False, quoted=False)
LINE = "line"


def detect(source: Source) -> bool:
    find = _fields(source)[1]
    return all(find(name) for name in ("billing_account_id", "service.description", "usage_start_time", "cost"))


def plan(source: Source, options: Options) -> Plan:
    header, find, dialect = _fields(source)
    if missing := [name for name in NEEDED if not find(name)]:
        raise UnreadableFile(f"{source.path.name}: no billing export, column {', '.join(missing)} is missing")
    credits = find("credits") or "null::varchar"
    places = {
        "{credits}": _total(credits)
        if find("credits")
        else native.fill("coalesce([credits.amount], 0)", find, AMOUNTS),
        "{month}": _first_day(find("invoice.month")),
        "{machine}": _label(find("system_labels"), "compute.googleapis.com/machine_spec"),
        "{tags}": _tags(find),
    }
    columns = native.map_columns(MAPPING, find, AMOUNTS, places)
    columns["x_extra"] = native.extra(header, columns, keep=KEPT) if dialect != JSON_LINE else _rest_of_line(columns)
    rules = native.charge_rules(options, AMOUNTS, find)
    if find("credits"):
        broken = f"{credits} is not null and ({_total(credits)}) is null"
        rules.insert(0, Rule("credits", broken, "not a list of credits with an amount each", credits))
    if dialect == JSON_LINE:
        rules.insert(0, Rule(LINE, f"not json_valid({ref(LINE)})", "not a line of JSON"))
    return Plan(
        format=f"gcp_billing {'detailed' if find('resource.global_name') else 'standard'}",
        dataset="charges",
        fields=header,
        columns=columns,
        dialect=dialect,
        rules=rules,
        records=f"{ref(LINE)} is not null" if dialect == JSON_LINE else "true",
        money="BilledCost",
        currency="BillingCurrency",
    )


def _fields(source: Source) -> tuple[list[str], native.Find, Dialect]:
    """The fields, where to find one by its BigQuery name, and how they are written.

    A nested field is a column `service.description` (or `service_description`), or inside `service` as JSON, which
    is also what a Parquet struct lands as.
    """
    if source.kind == "text" and source.head.lstrip().startswith("{"):
        known = {"billing_account_id", "usage_start_time", "cost"} <= _keys_of_first_line(source)
        return [LINE], lambda name: _inside(ref(LINE), name) if known else None, JSON_LINE
    delimiter, header = source.best_delimiter({*NEEDED, "service", "service_description"})
    header = native.unique(header) if source.kind == "text" else header
    by_name = {name.lower(): name for name in reversed(header)}

    def find(name: str) -> str | None:
        top, _, rest = name.partition(".")
        for column in (name, name.replace(".", "_")):
            if column in by_name:
                return ref(by_name[column])
        return _inside(ref(by_name[top]), rest) if rest and top in by_name else None

    return header, find, Dialect(delimiter)


def _keys_of_first_line(source: Source) -> set[str]:
    try:
        return set(json.loads(next(line for line in source.head_lines if line.strip())))
    except (ValueError, TypeError):
        return set()


def _inside(document: str, path: str) -> str:
    return f"nullif({native.json_value(document, path)}, '')"


def _first_day(month: str) -> str:
    day = f"left({month}, 4) || '-' || right({month}, 2) || '-01'"
    return f"case when regexp_full_match({month}, '\\d{{6}}') then {day} else {month} end"


def _json_list(sql: str) -> str:
    """A list that was written by Python instead of BigQuery has the wrong quotes."""
    return f"case when json_valid({sql}) then {sql} else replace({sql}, chr(39), chr(34)) end"


def _total(credits: str) -> str:
    """SQL for the sum of a JSON list of credits; null where one has no amount."""
    listed = _json_list(credits)
    amounts = f"list_transform(json_extract_string({listed}, '$[*].amount'), lambda a: {native.amount('a')})"
    whole = f"len(list_filter({amounts}, lambda a: a is not null)) = json_array_length({listed})"
    total = f"case when {whole} then coalesce(try(list_sum({amounts})), 0) end"
    return (
        f"case when {credits} is null then 0::decimal(38, 24) when json_valid({listed}) then case json_type({listed})"
        f" when 'NULL' then 0 when 'ARRAY' then {total} end end"
    )


def _label(labels: str | None, key: str) -> str:
    return native.json_list_value(_json_list(labels), key) if labels else "null::varchar"


def _tags(find: native.Find) -> str:
    """Labels over tags over the project's labels, where they have keys in common."""
    found = [sql for name in ("project.labels", "tags", "labels") if (sql := find(name))]
    if not found:
        return "null::varchar"
    merged = ", ".join(f"coalesce({native.json_object_of_list(_json_list(sql))}, '{{}}')" for sql in found)
    return f"nullif(json_merge_patch('{{}}', {merged})::varchar, '{{}}')"


def _rest_of_line(columns: dict[str, Column]) -> Column:
    """What a line of JSON holds beyond the columns."""
    used = " ".join(column.sql for column in columns.values())
    tops = {name.partition(".")[0] for name in native.fields_used(MAPPING)} | {"labels", "tags"}
    mapped = sorted(top for top in tops - {*KEPT} if f'"{top}"' in used)
    removed = literal(json.dumps(dict.fromkeys(mapped)))
    return Column(f"case when json_valid({ref(LINE)}) then json_merge_patch({ref(LINE)}, {removed})::varchar end")


READER = Reader("gcp_billing", "charges", "Google Cloud billing export: CSV, Parquet or JSON lines", detect, plan)

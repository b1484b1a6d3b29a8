"""AWS Cost and Usage Reports: legacy (slash names in CSV, snake names in Parquet) and CUR 2.0 of Data Exports.

Columns: https://docs.aws.amazon.com/cur/latest/userguide/data-dictionary.html (legacy) and table-dictionary-cur2.html.
To FOCUS: the column pages of github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec (supporting_content).
"""

import re

from dcbudget.errors import UnreadableFile
from dcbudget.ingest import native
from dcbudget.ingest.native import choose, json_of, plus
from dcbudget.ingest.plan import Column, Dialect, Options, Plan, Reader, ref
from dcbudget.ingest.source import Source

TYPE = "[line_item_line_item_type]"
# Line types whose quantity was really used; a negation's quantity is that of the usage which it negates.
_USAGE = f"{TYPE} in ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage')"
# CUR 2.0 without "manual discount compatibility" has no discount lines: the line states its discount itself, and only
# its net columns sum to the invoice (table-dictionary-cur2-discount.html). Elsewhere discounts are lines of their own.
_DISCOUNTED = (
    "(coalesce([discount_total_discount], 0) <> 0 or ([discount_total_discount] is null"
    " and coalesce([discount], '{}') not in ('{}', '[]', 'null')))"
)


def _net(net: str, gross: str) -> str:
    return f"case when {_DISCOUNTED} then coalesce([{net}], [{gross}]) else [{gross}] end"


# Billed: what the invoice sums to, so that a savings plan's covered usage stands beside its negation.
_BILLED = _net("line_item_net_unblended_cost", "line_item_unblended_cost")
# Amortised as AWS's CUR query library does it (wellarchitectedlabs.com, amortized_cost_by_charge_type): covered usage
# costs what the commitment costs for it; a fee costs what of it nobody used; what was paid upfront costs nothing on
# the day it was paid.
_EFFECTIVE = f"""case {TYPE}
    when 'SavingsPlanCoveredUsage'
        then {_net("savings_plan_net_savings_plan_effective_cost", "savings_plan_savings_plan_effective_cost")}
    when 'SavingsPlanRecurringFee'
        then try([savings_plan_total_commitment_to_date] - [savings_plan_used_commitment])
    when 'SavingsPlanNegation' then 0
    when 'SavingsPlanUpfrontFee' then 0
    when 'DiscountedUsage' then {_net("reservation_net_effective_cost", "reservation_effective_cost")}
    when 'RIFee' then case when {_DISCOUNTED}
        then {plus("coalesce([reservation_net_unused_amortized_upfront_fee_for_billing_period],"
                   " [reservation_unused_amortized_upfront_fee_for_billing_period])",
                   "coalesce([reservation_net_unused_recurring_fee], [reservation_unused_recurring_fee])")}
        else {plus("[reservation_unused_amortized_upfront_fee_for_billing_period]",
                   "[reservation_unused_recurring_fee]")} end
    else case when {TYPE} = 'Fee' and [reservation_reservation_a_r_n] is not null then 0 else BilledCost end
    end"""  # fmt: skip

# FOCUS's category of the product codes that matter to a data centre; what is moved or kept goes by product family.
SERVICE_CATEGORIES = {
    "AI and Machine Learning": ("AmazonSageMaker", "AmazonBedrock", "AmazonBedrockService", "comprehend"),
    "Analytics": ("AmazonAthena", "AWSGlue", "ElasticMapReduce", "AmazonKinesis", "AmazonQuickSight"),
    "Compute": ("AmazonEC2", "AWSLambda", "AmazonECS", "AmazonEKS", "AmazonLightsail", "AWSBatch", "AmazonECR",
                "AWSParallelComputingService", "ComputeSavingsPlans"),
    "Databases": ("AmazonRDS", "AmazonDynamoDB", "AmazonElastiCache", "AmazonRedshift", "AmazonNeptune",
                  "AmazonMemoryDB", "AmazonDocDB"),
    "Integration": ("AWSQueueService", "AmazonSNS", "AmazonStates", "AWSEvents", "AmazonMQ"),
    "Internet of Things": ("AWSIoT",),
    "Management and Governance": ("AmazonCloudWatch", "AWSCloudTrail", "AWSConfig", "AWSSystemsManager",
                                  "AWSServiceCatalog", "AWSSupportBusiness", "AWSSupportEnterprise"),
    "Networking": ("AmazonVPC", "AWSDataTransfer", "AWSELB", "AmazonCloudFront", "AmazonRoute53", "AWSDirectConnect"),
    "Security": ("awskms", "AWSSecretsManager", "AmazonGuardDuty", "AWSSecurityHub", "awswaf", "AmazonInspectorV2"),
    "Storage": ("AmazonS3", "AmazonEFS", "AmazonFSx", "AmazonGlacier", "AWSBackup", "AmazonS3GlacierDeepArchive"),
}  # fmt: skip

MAPPING = {
    "BilledCost": _BILLED,
    "EffectiveCost": _EFFECTIVE,
    # The price list's cost; CUR tells no contracted cost.
    "ListCost": f"case when {_USAGE} then [pricing_public_on_demand_cost] end",
    "ListUnitPrice": f"case when {_USAGE} then [pricing_public_on_demand_rate] end",
    "BillingAccountId": "[bill_payer_account_id]",
    "BillingAccountName": "[bill_payer_account_name]",
    "BillingCurrency": "[line_item_currency_code]",
    "BillingPeriodStart": "[bill_billing_period_start_date]",
    "BillingPeriodEnd": "[bill_billing_period_end_date]",
    "InvoiceId": "[bill_invoice_id]",
    "InvoiceIssuerName": "coalesce([bill_invoicing_entity], 'AWS')",
    "ProviderName": "'AWS'",
    "PublisherName": "coalesce([line_item_legal_entity], 'AWS')",
    "ChargePeriodStart": "[line_item_usage_start_date]",
    "ChargePeriodEnd": "[line_item_usage_end_date]",
    "ChargeCategory": choose(TYPE, {
        "Usage": ("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage", "SavingsPlanNegation", "BundledDiscount"),
        "Purchase": ("Fee", "RIFee", "SavingsPlanUpfrontFee", "SavingsPlanRecurringFee"),
        "Tax": ("Tax",),
        "Credit": ("Credit",),
    }, "'Adjustment'"),
    "ChargeClass": f"case when {TYPE} = 'Refund' then 'Correction' end",
    # With the operation, without which a third of a report's lines look like another line of it.
    "ChargeDescription": "[line_item_line_item_description] || coalesce(' (' || [line_item_operation] || ')', '')",
    "ChargeFrequency": choose(TYPE, {
        "Usage-Based": ("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage", "SavingsPlanNegation"),
        "Recurring": ("RIFee", "SavingsPlanRecurringFee"),
        "One-Time": ("Fee", "SavingsPlanUpfrontFee"),
    }),
    "CommitmentDiscountId": "coalesce([reservation_reservation_a_r_n], [savings_plan_savings_plan_a_r_n])",
    "CommitmentDiscountCategory": "case when [reservation_reservation_a_r_n] is not null then 'Usage'"
                                  " when [savings_plan_savings_plan_a_r_n] is not null then 'Spend' end",
    "CommitmentDiscountType": "case when [reservation_reservation_a_r_n] is not null then 'Reserved Instance'"
                              " when [savings_plan_savings_plan_a_r_n] is not null then 'Savings Plan' end",
    "CommitmentDiscountStatus": choose(TYPE, {
        "Used": ("DiscountedUsage", "SavingsPlanCoveredUsage"),
        "Unused": ("RIFee", "SavingsPlanRecurringFee"),
    }),
    "PricingCategory": f"case when {TYPE} in ('DiscountedUsage', 'SavingsPlanCoveredUsage') then 'Committed'"
                       " when contains([line_item_usage_type], 'SpotUsage') then 'Dynamic'"
                       f" when {TYPE} = 'Usage' then 'Standard' end",
    "PricingQuantity": f"case when {_USAGE} then [line_item_usage_amount] end",
    "PricingUnit": "[pricing_unit]",
    "ConsumedQuantity": f"case when {_USAGE} then [line_item_usage_amount] end",
    "ConsumedUnit": f"case when {_USAGE} then [pricing_unit] end",
    "ServiceName": "coalesce([product_product_name], [product_servicename], [line_item_product_code])",
    "ServiceCategory": native.category("[line_item_product_code]", SERVICE_CATEGORIES).replace(
        "case ", "case when [product_product_family] = 'Data Transfer' then 'Networking'"
        " when [line_item_product_code] = 'AmazonEC2' and starts_with([product_product_family], 'Storage')"
        " then 'Storage' ", 1),
    "SkuId": "[product_sku]",
    "SkuMeter": "[line_item_usage_type]",
    "SkuPriceId": "coalesce([pricing_rate_code], [pricing_rate_id])",
    "SkuPriceDetails": json_of({"InstanceType": "[product_instance_type]"}),
    "ResourceId": "[line_item_resource_id]",
    "RegionId": "coalesce([product_region_code], [product_region])",
    "AvailabilityZone": "[line_item_availability_zone]",
    "SubAccountId": "[line_item_usage_account_id]",
    "SubAccountName": "[line_item_usage_account_name]",
}  # fmt: skip
AMOUNTS = frozenset({
    "line_item_unblended_cost", "line_item_net_unblended_cost", "discount_total_discount",
    "pricing_public_on_demand_cost", "reservation_effective_cost", "reservation_net_effective_cost",
    "reservation_unused_amortized_upfront_fee_for_billing_period", "reservation_unused_recurring_fee",
    "reservation_net_unused_amortized_upfront_fee_for_billing_period", "reservation_net_unused_recurring_fee",
    "savings_plan_savings_plan_effective_cost", "savings_plan_net_savings_plan_effective_cost",
    "savings_plan_total_commitment_to_date", "savings_plan_used_commitment",
})  # fmt: skip
# Fields and tags that name people: they do not reach the database.
PERSONAL = ("line_item_iam_principal", "line_item_user_identifier", "resourcetags/aws:createdby",
            "resource_tags_aws_created_by")  # fmt: skip
PERSONAL_TAGS = ("aws_created_by", "aws:createdby")
TAGS = re.compile(r"resourceTags/(user:)?(.+)|resource_tags_(user_)?(.+)", re.IGNORECASE)

NEEDED = {"bill_payer_account_id", "bill_billing_period_start_date", "line_item_line_item_type",
          "line_item_unblended_cost", "line_item_usage_start_date"}  # fmt: skip
OF_CUR_2 = {"bill_payer_account_name", "line_item_usage_account_name", "resource_tags", "cost_category", "product"}


def snake(name: str) -> str:
    """AWS's snake name of a column: `savingsPlan/SavingsPlanARN` is `savings_plan_savings_plan_a_r_n` in Parquet."""
    if "/" not in name:
        return name.lower()
    return re.sub(r"(?<=[^/_:])([A-Z])", r"_\1", name).replace("/", "_").replace(":", "_").lower()


def detect(source: Source) -> bool:
    return _is_manifest(source) or {"line_item_unblended_cost", "line_item_line_item_type"} <= _names(source)[1].keys()


def plan(source: Source, options: Options) -> Plan:
    if _is_manifest(source):
        raise UnreadableFile(f"{source.path.name}: this is the manifest of a report; load the files that it names")
    delimiter, by_name, header = _names(source)
    if missing := sorted(NEEDED - by_name.keys()):
        raise UnreadableFile(f"{source.path.name}: no Cost and Usage Report, column {', '.join(missing)} is missing")

    def find(name: str) -> str | None:
        if name in by_name:
            return ref(by_name[name])
        if name.startswith("product_") and "product" in by_name:
            return native.json_value(ref(by_name["product"]), name.removeprefix("product_"))
        return None

    columns = native.map_columns(MAPPING, find, AMOUNTS)
    columns["Tags"] = Column(_tags(by_name, header))
    columns["x_extra"] = native.extra(header, columns, PERSONAL)
    return Plan(
        format="aws_cur 2.0" if OF_CUR_2 & by_name.keys() else "aws_cur legacy",
        dataset="charges",
        fields=header,
        columns=columns,
        dialect=Dialect(delimiter),
        rules=native.charge_rules(options, AMOUNTS, find),
        money="BilledCost",
        currency="BillingCurrency",
    )


def _names(source: Source) -> tuple[str, dict[str, str], list[str]]:
    """The delimiter, the fields by their snake name, and the fields."""
    known = NEEDED | {"lineitem/unblendedcost", "lineitem/lineitemtype", "bill/payeraccountid"}
    delimiter, header = source.best_delimiter(known)
    header = native.unique(header) if source.kind == "text" else header
    return delimiter, {snake(name): name for name in reversed(header)}, header


def _is_manifest(source: Source) -> bool:
    """`...-Manifest.json` of a legacy report lists `reportKeys`, that of Data Exports `dataFiles`."""
    head = source.head.lstrip()
    return head.startswith("{") and ('"reportKeys"' in head or '"dataFiles"' in head)


def _tags(by_name: dict[str, str], header: list[str]) -> str:
    """Tags as a JSON object, from a map or from columns of their own; the prefix of user-defined tags is taken off."""
    if "resource_tags" in by_name:
        key = "regexp_replace(key, '^user[:_]', '')"
        return native.json_object_of(ref(by_name["resource_tags"]), key, PERSONAL_TAGS)
    pairs = {}
    for name in header:
        if (tag := TAGS.fullmatch(name)) and name.lower() not in PERSONAL:
            pairs[tag[2] or tag[4]] = ref(name)
    return json_of(pairs)


READER = Reader("aws_cur", "charges", "AWS Cost and Usage Report, legacy or 2.0, CSV or Parquet", detect, plan)

"""The ContractCommitment dataset of FOCUS 1.3: the terms that were agreed on, beside the charges and none of them.

Columns: github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec (specification/datasets/contract_commitment).
"""

from dcbudget.errors import UnreadableFile
from dcbudget.ingest import native
from dcbudget.ingest.plan import Column, Dialect, Options, Plan, Reader, Rule, ref
from dcbudget.ingest.source import Source

# Column -> kind; the columns in REQUIRED make the commitment and its scope.
COLUMNS = {
    "BillingCurrency": "text",
    "ContractCommitmentCategory": "text",
    "ContractCommitmentCost": "money",
    "ContractCommitmentDescription": "text",
    "ContractCommitmentId": "text",
    "ContractCommitmentPeriodEnd": "time",
    "ContractCommitmentPeriodStart": "time",
    "ContractCommitmentQuantity": "quantity",
    "ContractCommitmentType": "text",
    "ContractCommitmentUnit": "text",
    "ContractId": "text",
    "ContractPeriodEnd": "time",
    "ContractPeriodStart": "time",
}
REQUIRED = ("ContractCommitmentCategory", "ContractCommitmentId", "ContractCommitmentPeriodEnd",
            "ContractCommitmentPeriodStart", "ContractId")  # fmt: skip
RULES = [
    Rule("ContractCommitmentCategory", "ContractCommitmentCategory not in ('Spend', 'Usage')",
         "must be Spend or Usage", "ContractCommitmentCategory"),
    Rule("ContractCommitmentPeriodEnd", "ContractCommitmentPeriodEnd <= ContractCommitmentPeriodStart",
         "the commitment ends before it starts", "ContractCommitmentPeriodEnd::varchar"),
    Rule("ContractCommitmentCost", "ContractCommitmentCategory = 'Spend' and ContractCommitmentCost is null",
         "is empty, though the commitment is one to spend"),
    Rule("BillingCurrency", "ContractCommitmentCost is not null and BillingCurrency is null", "is empty"),
    Rule("BillingCurrency", "not regexp_full_match(BillingCurrency, '[A-Z]{3}')",
         "must be a currency code such as USD", "BillingCurrency"),
]  # fmt: skip


def detect(source: Source) -> bool:
    by_name = _names(source)[1]
    return "billedcost" not in by_name and {"contractcommitmentid", "contractcommitmentcost"} <= by_name.keys()


def plan(source: Source, options: Options) -> Plan:
    delimiter, by_name, header = _names(source)
    if missing := [name for name in REQUIRED if name.lower() not in by_name]:
        raise UnreadableFile(
            f"{source.path.name}: no ContractCommitment dataset of FOCUS, column {', '.join(missing)} is missing"
        )
    columns = {
        name: Column(ref(by_name[name.lower()]), kind, name in REQUIRED)
        for name, kind in COLUMNS.items()
        if name.lower() in by_name
    }
    absent = {name: Column("null") for name in COLUMNS if name not in columns}
    return Plan(
        format="focus contract_commitment 1.3",
        dataset="contract_commitments",
        fields=header,
        columns={**columns, **absent, "x_extra": native.extra(header, columns)},
        dialect=Dialect(delimiter),
        rules=RULES,
        money="ContractCommitmentCost",
        currency="BillingCurrency",
    )


def _names(source: Source) -> tuple[str, dict[str, str], list[str]]:
    """The delimiter, the fields by their name in lower case, and the fields."""
    delimiter, header = source.best_delimiter({name.lower() for name in COLUMNS})
    return delimiter, {name.lower(): name for name in reversed(header)}, header


READER = Reader(
    "contract_commitments", "contract_commitments", "FOCUS 1.3 ContractCommitment dataset, CSV or Parquet", detect, plan
)

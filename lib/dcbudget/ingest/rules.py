"""Which project and cluster a charge or a job belongs to, by the rules of a file; what no rule matches stays empty."""

import duckdb

from dcbudget.quoting import literal, quote
from dcbudget.warehouse import PROJECT

TARGETS = ("project", "cluster")
CHARGE_FIELDS = (
    "BillingAccountId", "BillingAccountName", "SubAccountId", "SubAccountName", "ResourceId", "ResourceName",
    "ServiceName", "ServiceCategory", "RegionId", "ProviderName", "ChargeDescription",
)  # fmt: skip
JOB_FIELDS = {
    "account": "account",
    "partition": "partition",
    "qos": "qos",
    "user": "user_id",
    "cluster": "cluster",
}

INSTANCES = PROJECT / "data/reference/gpu_instances.csv"
# What one instance of a SKU holds: what the bill says, else what the provider documents of the instance type.
GPUS_OF_A_SKU = """
    create or replace temp table gpus_of_a_sku as
    select
        details,
        coalesce(gpus, reference.ref_gpus) as gpus,
        coalesce(model, reference.ref_model) as gpu_model
    from (
        select distinct
            SkuPriceDetails as details,
            try_cast(SkuPriceDetails->>'$.GpuCount' as double) as gpus,
            SkuPriceDetails->>'$.x_GpuModel' as model,
            lower(SkuPriceDetails->>'$.InstanceType') as instance_type
        from {table}
        where json_valid(SkuPriceDetails)
    ) skus
    left join (
        select lower(instance_type) as instance_type, any_value(gpus) as ref_gpus, any_value(gpu_model) as ref_model
        from {reference} group by 1
    ) reference using (instance_type)
    where coalesce(gpus, reference.ref_gpus) > 0"""
NO_REFERENCE = "(select '' as instance_type, null::double as gpus, null::varchar as gpu_model)"
# Instance-hours of a charge: what was used, or what a commitment paid for and nobody used.
GPU_HOURS = """
    case when ChargeCategory = 'Usage' and lower(coalesce(ConsumedUnit, CommitmentDiscountUnit, PricingUnit))
            in ('hour', 'hours', 'hrs', 'instance-hours')
        then coalesce(ConsumedQuantity, CommitmentDiscountQuantity, PricingQuantity)::double * sku.gpus
    end"""


def assign_charges(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Fill `x_project`, `x_cluster`, `x_gpu_model` and `x_gpu_hours` of a landing table where the file did not."""
    given = con.execute(f"select count(x_project), count(x_cluster) from {table}").fetchone()
    changes = [
        f"x_{target} = {_choice(con, target, _charge_field)}"
        for target, filled in zip(TARGETS, given, strict=True)
        if not filled
    ]
    changes = [change for change in changes if not change.endswith("= null")]
    if changes:
        con.execute(f"update {table} set {', '.join(changes)}")
    reference = f"read_csv({literal(str(INSTANCES))}, all_varchar = false)" if INSTANCES.exists() else NO_REFERENCE
    con.execute(GPUS_OF_A_SKU.format(table=table, reference=reference))
    con.execute(f"""
        update {table} as charge
        set x_gpu_model = coalesce(x_gpu_model, sku.gpu_model), x_gpu_hours = coalesce(x_gpu_hours, {GPU_HOURS})
        from gpus_of_a_sku as sku
        where charge.SkuPriceDetails = sku.details""")
    # told apart first: to plan the macro takes as long as thousands of rows
    models = con.execute(f"select distinct x_gpu_model from {table} where x_gpu_model is not null").fetchall()
    if models:
        con.execute(
            f"""
            update {table} set x_gpu_model = named.model
            from (select model as told, accelerator_model(model) as model from unnest(?) as models (model)) as named
            where x_gpu_model = told and x_gpu_model is distinct from named.model""",
            [[model for (model,) in models]],
        )


def assign_jobs(con: duckdb.DuckDBPyConnection, where: str = "true") -> None:
    """Fill `project` of jobs."""
    con.execute(f"update jobs set project = {_choice(con, 'project', JOB_FIELDS.get)} where {where}")


def assign_all(con: duckdb.DuckDBPyConnection) -> None:
    """Apply the rules, after they changed, to everything that is loaded."""
    tables = con.execute(
        "select table_name from duckdb_tables() where schema_name = 'landed' and table_name in"
        " (select 'charges_' || load_id from loads)"
    ).fetchall()
    for (table,) in tables:
        con.execute(f"update landed.{table} set x_project = null, x_cluster = null")
        assign_charges(con, f"landed.{table}")
    assign_jobs(con)


def _choice(con: duckdb.DuckDBPyConnection, target: str, sql_of) -> str:
    """A case over the rules of a target; `{value}` in a rule's value stands for the field's own text."""
    branches = []
    for field, pattern, value in con.execute(
        "select field, pattern, value from project_rules where assign = ? order by x_source_row", [target]
    ).fetchall():
        column = sql_of(field)
        if column is None:
            continue
        matched = f"{column} is not null" if pattern == "*" else f"{column} glob {literal(pattern)}"
        result = f"replace({literal(value)}, '{{value}}', {column})" if "{value}" in value else literal(value)
        branches.append(f"when {matched} then {result}")
    return f"case {' '.join(branches)} end" if branches else "null"


def _charge_field(field: str) -> str | None:
    if field.startswith("tag:"):
        path = literal("$." + quote(field.removeprefix("tag:")))
        return f"case when json_valid(Tags) then json_extract_string(Tags, {path}) end"
    return quote(field) if field in CHARGE_FIELDS else None

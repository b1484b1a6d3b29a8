"""Writes the files that are measured: generated with DuckDB, the same bytes for the same number of rows.

Run as a program, in a process of its own, so that its memory is not counted as anybody's: `files.py KIND FILE ROWS`.
"""

import sys
from pathlib import Path

import duckdb

# One charge a resource and hour, as hourly exports have them; every row differs from every other.
RESOURCES = 1151
PROJECTS = "['search', 'recommendation', 'vision', 'language', 'speech', 'platform', 'safety']"
# FOCUS columns but those that only Parquet writes otherwise, in the order of the file; `i` is the row from 0.
CHARGES = f"""
    with numbers as (
        select i, i % {RESOURCES} as r, i // {RESOURCES} as h, (hash(i) % 1000000007)::bigint as x,
            (hash(i % {RESOURCES}) % 1000000007)::bigint as s
        from range($rows) t(i)),
    facts as (
        select *, timestamp '2025-01-01' + h * interval 1 hour as begun, r % 4 = 0 as is_gpu,
            round(0.01 + (s % 100000) / 3500.0, 6) as price,
            round(0.02 + (x % 1000003) / 61000.0, 9) as quantity, {PROJECTS}[1 + r % 7] as project
        from numbers)
    select 'east-' || r % 2 || chr(97 + (r % 3)::int) as AvailabilityZone,
        case when is_gpu and r % 8 = 0 then 0 else round(quantity * price * 0.93, 10) end as BilledCost,
        'payer-' || r % 3 as BillingAccountId, 'Example AI' as BillingAccountName,
        'USD' as BillingCurrency, date_trunc('month', begun) + interval 1 month as BillingPeriodEnd,
        date_trunc('month', begun) as BillingPeriodStart,
        case when r % 97 = 0 then 'Tax' else 'Usage' end as ChargeCategory, null::varchar as ChargeClass,
        case when is_gpu then '8x H100 "on demand", hour ' || h else 'Tier ' || r % 11 end as ChargeDescription,
        'Usage-Based' as ChargeFrequency, begun + interval 1 hour as ChargePeriodEnd, begun as ChargePeriodStart,
        case when is_gpu and r % 8 = 0 then 'commitment-' || r % 40 end as CommitmentDiscountId,
        case when is_gpu and r % 8 = 0 then 'Used' end as CommitmentDiscountStatus,
        quantity as ConsumedQuantity, case when is_gpu then 'Hours' else 'GB' end as ConsumedUnit,
        round(quantity * price * 0.95, 10) as ContractedCost, round(price * 0.95, 8) as ContractedUnitPrice,
        round(quantity * price * 0.93, 10) as EffectiveCost, strftime(begun, 'INV-%Y%m-') || r % 3 as InvoiceId,
        'Example SARL' as InvoiceIssuerName, round(quantity * price, 10) as ListCost, price as ListUnitPrice,
        case when is_gpu and r % 8 = 0 then 'Committed' else 'Standard' end as PricingCategory,
        'USD' as PricingCurrency, quantity as PricingQuantity, if(is_gpu, 'Hours', 'GB') as PricingUnit,
        'Example' as ProviderName, 'Example' as PublisherName, 'east-' || r % 2 as RegionId,
        'East ' || r % 2 as RegionName, 'arn:ex:' || r % 9 || ':r/' || s as ResourceId,
        case when r % 3 = 0 then 'node-' || r end as ResourceName,
        case when is_gpu then 'Instance' else 'Bucket' end as ResourceType,
        case when is_gpu then 'Compute' else 'Storage' end as ServiceCategory,
        case when is_gpu then 'Compute' else 'Object Store' end as ServiceName,
        case when is_gpu then 'Virtual Machines' else 'Objects' end as ServiceSubcategory,
        's' || s % 4001 as SkuId, case when is_gpu then 'Hours' else 'GB' end as SkuMeter,
        case when is_gpu then '{{"CoreCount":96,"GpuCount":8,"x_GpuModel":"H100"}}' end
            as SkuPriceDetails,
        's' || s % 4001 || '/' || r % 5 as SkuPriceId, 'acct-' || r % 60 as SubAccountId,
        'Research ' || r % 60 as SubAccountName,
        '{{"project":"' || project || '","team":"t' || r % 23 || '"}}' as Tags
    from facts order by i"""
# What one job every 31 s looks like in Slurm's accounting, each second one with a batch step.
SACCT = """
    with jobs as (
        select n, (hash(n) % 1000000007)::bigint as x, 60 + x % 20000 as run,
            timestamp '2025-01-01' + n * interval 31 second as submitted,
            [1, 1, 1, 2, 4, 8][1 + (x // 7) % 6] as gpus
        from range(1000, 1001 + $rows * 2 // 3) t(n)),
    texts as (
        select *, submitted + (x % 900) * interval 1 second as begun,
            printf('%02d:%02d:%02d', run // 3600, run // 60 % 60, run % 60) as elapsed,
            'billing=' || gpus * 12 || ',cpu=' || gpus * 12 || ',gres/gpu:h100=' || gpus || ',gres/gpu=' || gpus
                || ',mem=' || gpus * 112 || 'G,node=1' as tres
        from jobs)
    select case step when 0 then n::varchar else n || '.batch' end as JobID,
        case step when 0 then ['train', 'finetune', 'eval', 'serve'][1 + x % 4] else 'batch' end as JobName,
        case step when 0 then printf('u%03d', x % 300) end as User, 'account-' || x % 40 as Account,
        'hall-1' as Cluster,
        case step when 0 then ['h100', 'inference', 'debug'][1 + x % 3] end as Partition,
        case step when 0 then 'normal' end as QOS,
        ['COMPLETED', 'COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED by 1233'][1 + x % 5] as State,
        strftime(submitted, '%Y-%m-%dT%H:%M:%S') as Submit, strftime(begun, '%Y-%m-%dT%H:%M:%S') as Start,
        strftime(begun + run * interval 1 second, '%Y-%m-%dT%H:%M:%S') as End, elapsed as Elapsed,
        case step when 0 then '12:00:00' end as Timelimit, 1 as NNodes, gpus * 12 as NCPUS,
        case step when 0 then gpus * 112 || 'G' end as ReqMem, case step when 0 then tres end as ReqTRES,
        tres as AllocTRES, run * 700 as ConsumedEnergyRaw,
        case step when 1 then 'cpu=1-15:28:19,mem=60989013K,gres/gpumem=41867M,gres/gpuutil=' || x % 101 end
            as TRESUsageInAve,
        'node-' || x % 256 as NodeList
    from texts cross join range(2) steps(step)
    where step = 0 or n % 2 = 0 order by n, step limit $rows"""
SWF = """
    select printf('%7d %9d %6d %7d %5d %4d %6d %5d %6d %6d %2d %4d %3d %4d %2d %2d %2d %2d', i + 1, i * 31, x % 5000,
        60 + x % 20000, 1 + x % 128, -1, -1, 1 + x % 128, 600 + x % 40000, -1, x % 6, 1 + x % 300, 1 + x % 40, x % 900,
        1 + x % 3, 1 + x % 4, -1, -1) as line
    from (select i::int as i, (hash(i) % 1000000007)::int as x from range($rows) t(i)) order by i"""
GPU_TRACE = """
    select strftime(timestamp '2025-01-01' + i * interval 31 second, '%Y-%m-%d %H:%M:%S') as timestamp,
        (60 + hash(i) % 20000)::double as duration, [1, 1, 2, 4, 8][1 + (hash(i, 3) % 5)::bigint] as num_gpus,
        duration * num_gpus as gpu_time, substr(md5((hash(i) % 14)::varchar), 1, 6) as cluster
    from range($rows) t(i) order by i"""
DECIMALS = """
    select * replace (round(BilledCost, 10)::decimal(38, 12) as BilledCost,
        round(ContractedCost, 10)::decimal(38, 12) as ContractedCost,
        round(EffectiveCost, 10)::decimal(38, 12) as EffectiveCost, round(ListCost, 10)::decimal(38, 12) as ListCost,
        ConsumedQuantity::decimal(38, 12) as ConsumedQuantity, PricingQuantity::decimal(38, 12) as PricingQuantity,
        ContractedUnitPrice::decimal(38, 12) as ContractedUnitPrice, ListUnitPrice::decimal(38, 12) as ListUnitPrice)
    from ({charges})"""
MAPS = """
    select * replace (from_json(Tags, '"MAP(VARCHAR, VARCHAR)"') as Tags,
        from_json(SkuPriceDetails, '"MAP(VARCHAR, VARCHAR)"') as SkuPriceDetails)
    from ({charges})"""
ISO = "timestampformat '%Y-%m-%dT%H:%M:%SZ'"
# The clouds' own bills: their seeds over and over, with another resource each time.
SEEDS = Path(__file__).resolve().parents[1] / "seeds"
NATIVE = {
    "aws_cur": "lineItem/ResourceId",
    "azure": "ResourceId",
    "gcp_billing": "resource.global_name",
    "oci_cost": "product/resourceId",
}
REPEATED = """
    select * replace (coalesce("{field}", '') || '-' || i as "{field}")
    from range($rows // 6) t(i), read_csv('{seed}', all_varchar = true) limit $rows"""
# Kind of file -> query and the options of `copy`.
KINDS = {
    "csv": (CHARGES, f"format csv, header, {ISO}"),
    "parquet": (DECIMALS.format(charges=CHARGES), "format parquet"),
    "parquet-maps": (MAPS.format(charges=CHARGES), "format parquet"),
    "sacct": (SACCT, "format csv, header, delimiter '|', quote ''"),
    "swf": (SWF, "format csv, header false, delimiter '\x1f', quote ''"),
    "gpu-trace": (GPU_TRACE, "format csv, header"),
    **{
        kind: (REPEATED.format(field=field, seed=SEEDS / f"{kind}.csv"), "format csv, header")
        for kind, field in NATIVE.items()
    },
}


def write(kind: str, path: Path, rows: int) -> None:
    """Write one file; the money is generated as DOUBLE, with at most ten decimals."""
    query, options = KINDS[kind]
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as con:
        con.execute(f"copy ({query.replace('$rows', str(rows))}) to '{path}' ({options})")


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))

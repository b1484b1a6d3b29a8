-- grain: one row a month, cluster, GPU model and currency; GPU-hours, and the effective (amortised) cost of the capacity
-- key: month, cluster, gpu_model, currency
-- source: cost_lines (capacity, cost), job_days (allocated, used), gpu_ledger_monthly (the cost of what no job held);
-- idle = capacity - allocated. Of a pool that is paid in two currencies, jobs held the same share of either part.
with pools as (
    select
        month, cluster, gpu_model, currency, bool_or(owned) as owned,
        coalesce(sum(gpu_hours), 0) as capacity_gpu_hours,
        sum(effective_cost) as effective_cost
    from cost_lines
    where cluster is not null and gpu_model is not null
    group by all
),
capacity as (
    select *, coalesce(capacity_gpu_hours / nullif(sum(capacity_gpu_hours) over pool, 0), 1 / count(*) over pool) as part
    from pools
    window pool as (partition by month, cluster, gpu_model)
),
allocated as (
    select
        date_trunc('month', day)::date as month, cluster, gpu_model,
        sum(gpu_hours) as allocated_gpu_hours,
        sum(used_gpu_hours) as used_gpu_hours,
        sum(measured_gpu_hours) as measured_gpu_hours
    from job_days
    group by all
),
idle as (
    select month, cluster, gpu_model, currency, sum(effective_cost) as idle_effective_cost
    from gpu_ledger_monthly
    where bucket in ('unallocated', 'down', 'reserved but unused', 'unmatched')
    group by all
),
final as (
    select
        coalesce(capacity.month, allocated.month) as month,
        coalesce(capacity.cluster, allocated.cluster) as cluster,
        coalesce(capacity.gpu_model, allocated.gpu_model) as gpu_model,
        capacity.currency,
        owned,
        coalesce(capacity_gpu_hours, 0) as capacity_gpu_hours,
        coalesce(allocated_gpu_hours * coalesce(part, 1), 0) as allocated_gpu_hours,
        used_gpu_hours * coalesce(part, 1) as used_gpu_hours,
        measured_gpu_hours * coalesce(part, 1) as measured_gpu_hours,
        coalesce(capacity_gpu_hours, 0) - coalesce(allocated_gpu_hours * coalesce(part, 1), 0) as idle_gpu_hours,
        effective_cost,
        effective_cost / nullif(capacity_gpu_hours, 0) as effective_cost_per_gpu_hour,
        case when capacity.month is not null then coalesce(idle_effective_cost, 0) end as idle_effective_cost
    from capacity
    full join allocated
        on capacity.month = allocated.month
        and capacity.cluster = allocated.cluster
        and capacity.gpu_model is not distinct from allocated.gpu_model
    left join idle
        on idle.month = capacity.month and idle.cluster = capacity.cluster and idle.currency = capacity.currency
        and idle.gpu_model is not distinct from capacity.gpu_model
)
select * from final

-- grain: one row a month, cluster and GPU model; GPU-hours, and the effective (amortised) cost of the capacity
-- key: month, cluster, gpu_model, currency
-- source: cost_lines (capacity, cost), job_days (allocated, used); idle = capacity - allocated, at the pool's average cost
with capacity as (
    select
        month, cluster, gpu_model, currency, bool_or(owned) as owned,
        coalesce(sum(gpu_hours), 0) as capacity_gpu_hours,
        sum(effective_cost) as effective_cost
    from cost_lines
    where shared and gpu_model is not null
    group by all
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
final as (
    select
        coalesce(capacity.month, allocated.month) as month,
        coalesce(capacity.cluster, allocated.cluster) as cluster,
        coalesce(capacity.gpu_model, allocated.gpu_model) as gpu_model,
        currency,
        owned,
        coalesce(capacity_gpu_hours, 0) as capacity_gpu_hours,
        coalesce(allocated_gpu_hours, 0) as allocated_gpu_hours,
        used_gpu_hours,
        measured_gpu_hours,
        coalesce(capacity_gpu_hours, 0) - coalesce(allocated_gpu_hours, 0) as idle_gpu_hours,
        effective_cost,
        effective_cost / nullif(capacity_gpu_hours, 0) as effective_cost_per_gpu_hour,
        effective_cost * greatest(1 - coalesce(allocated_gpu_hours, 0) / nullif(capacity_gpu_hours, 0), 0)
            as idle_effective_cost
    from capacity
    full join allocated
        on capacity.month = allocated.month
        and capacity.cluster = allocated.cluster
        and capacity.gpu_model is not distinct from allocated.gpu_model
)
select * from final

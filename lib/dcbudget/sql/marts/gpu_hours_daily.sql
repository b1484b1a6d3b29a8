-- grain: one row a day, cluster and GPU model; GPU-hours
-- key: day, cluster, gpu_model
-- source: cost_lines (capacity: what was owned or paid for), job_days (allocated, used)
with starts as (
    select *, unnest(generate_series(date_trunc('day', from_time)::timestamp,
        greatest(to_time - interval 1 microsecond, from_time), interval 1 day)) as day_start
    from cost_lines
    where gpu_hours > 0 and cluster is not null
),
capacity as (
    select
        day_start::date as day,
        cluster,
        gpu_model,
        -- a charge of a moment falls on its day as a whole
        sum(case when to_time = from_time then gpu_hours
            else gpu_hours * epoch(least(to_time, day_start + interval 1 day) - greatest(from_time, day_start))
                / epoch(to_time - from_time) end) as capacity_gpu_hours
    from starts
    group by all
),
allocated as (
    select
        day, cluster, gpu_model,
        sum(gpu_hours) as allocated_gpu_hours,
        sum(used_gpu_hours) as used_gpu_hours,
        sum(measured_gpu_hours) as measured_gpu_hours
    from job_days
    group by all
),
final as (
    select
        coalesce(capacity.day, allocated.day) as day,
        coalesce(capacity.cluster, allocated.cluster) as cluster,
        coalesce(capacity.gpu_model, allocated.gpu_model) as gpu_model,
        coalesce(capacity_gpu_hours, 0) as capacity_gpu_hours,
        coalesce(allocated_gpu_hours, 0) as allocated_gpu_hours,
        used_gpu_hours,
        measured_gpu_hours,
        coalesce(capacity_gpu_hours, 0) - coalesce(allocated_gpu_hours, 0) as idle_gpu_hours
    from capacity
    full join allocated
        on capacity.day = allocated.day
        and capacity.cluster = allocated.cluster
        and capacity.gpu_model is not distinct from allocated.gpu_model
)
select * from final

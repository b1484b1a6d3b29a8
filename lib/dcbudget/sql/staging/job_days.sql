-- grain: one row a day, cluster, partition, GPU model, project, account, end state and bucket
-- key: day, cluster, partition, gpu_model, project, account, state, bucket
-- source: gpu_jobs; a job's GPU-hours fall on the days it ran, [start, end); used = GPU-hours x measured GPU utilisation
with starts as (
    select *, unnest(generate_series(date_trunc('day', from_time)::timestamp,
        greatest(to_time - interval 1 microsecond, from_time), interval 1 day)) as day_start
    from gpu_jobs
),
days as (
    select *, epoch(least(to_time, day_start + interval 1 day) - greatest(from_time, day_start)) / 3600 * gpus as gpu_hours
    from starts
),
final as (
    select
        day_start::date as day,
        cluster,
        partition,
        gpu_model,
        project,
        account,
        state,
        bucket,
        sum(gpu_hours) as gpu_hours,
        sum(gpu_hours * gpu_utilisation) as used_gpu_hours,
        sum(gpu_hours) filter (gpu_utilisation is not null) as measured_gpu_hours
    from days
    group by all
)
select * from final

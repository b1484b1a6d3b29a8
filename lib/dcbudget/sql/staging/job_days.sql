-- grain: one row a day, cluster, partition, GPU model, project and end state
-- key: day, cluster, partition, gpu_model, project, state
-- source: jobs; a job's GPU-hours fall on the days it ran, [start, end); used = GPU-hours x measured GPU utilisation
with spans as (
    select
        cluster, partition, gpu_model, project, state, gpus, gpu_utilisation,
        start_time as from_time,
        coalesce(end_time, start_time + to_microseconds((elapsed_seconds * 1000000)::bigint)) as to_time
    from jobs
    where start_time is not null and gpus > 0
),
starts as (
    select *, unnest(generate_series(date_trunc('day', from_time)::timestamp,
        greatest(to_time - interval 1 microsecond, from_time), interval 1 day)) as day_start
    from spans
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
        state,
        sum(gpu_hours) as gpu_hours,
        sum(gpu_hours * gpu_utilisation) as used_gpu_hours,
        sum(gpu_hours) filter (gpu_utilisation is not null) as measured_gpu_hours
    from days
    group by all
)
select * from final

-- grain: one row a day, cluster, partition, GPU model, project, account, end state and bucket
-- key: day, cluster, partition, gpu_model, project, account, state, bucket
-- source: jobs; a job's GPU-hours fall on the days it ran, [start, end); used = GPU-hours x measured GPU utilisation.
-- A job whose log names no GPU model has that of its partition or cluster, where the fleet or the bill knows one only.
with pools as (
    select distinct cluster, partition, gpu_model from fleet where gpu_model is not null
    union
    select distinct x_cluster, null, x_gpu_model from landed.imported where x_cluster is not null and x_gpu_model is not null
),
of_partition as (
    select cluster, partition, any_value(gpu_model) as partition_model
    from pools
    where partition is not null
    group by all
    having count(distinct gpu_model) = 1
),
of_cluster as (
    select cluster, any_value(gpu_model) as cluster_model from pools group by cluster having count(distinct gpu_model) = 1
),
spans as (
    select
        jobs.cluster, jobs.partition, coalesce(jobs.gpu_model, partition_model, cluster_model) as gpu_model, project, account,
        state, gpus, gpu_utilisation, start_time as from_time,
        coalesce(end_time, start_time + to_microseconds((elapsed_seconds * 1000000)::bigint)) as to_time,
        case
            when state in ('FAILED', 'OUT_OF_MEMORY', 'NODE_FAIL', 'PREEMPTED', 'TIMEOUT') then 'failed or restarted'
            when gpu_utilisation < 0.05 then 'held but idle'
            else 'useful'
        end as bucket
    from jobs
    left join of_partition on of_partition.cluster = jobs.cluster and of_partition.partition = jobs.partition
    left join of_cluster on of_cluster.cluster = jobs.cluster
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

-- grain: one row a job on GPUs that started, never a step
-- key: cluster, job_id, submit_time
-- source: jobs. A job whose log names no GPU model has that of its partition or cluster, where the fleet or the bill
-- knows one only; bucket says what the job's GPU-hours were
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
final as (
    select
        job_id, jobs.cluster, jobs.partition, coalesce(jobs.gpu_model, partition_model, cluster_model) as gpu_model,
        project, account, state, gpus, gpu_utilisation, restarts, submit_time, start_time as from_time,
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
)
select * from final

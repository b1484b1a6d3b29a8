-- grain: one row an attempt: a training run and a job that it ran in, or its log alone where no job is known
-- key: run_id, attempt
-- source: run_metrics, runs, gpu_jobs. A run whose log tells several job ids, or whose job was requeued under its own
-- id, has an attempt a job; of several jobs of one id those count that ran while the log was written. Times are the
-- job's, else the log's; GPU-hours without a job are those of the log, where it tells GPUs. A log without times has none.
with told as (select run_id, count(distinct job_id) as job_ids from run_metrics group by run_id),
logged as (
    select
        run_metrics.run_id,
        coalesce(run_metrics.job_id, runs.job_id) as job_id,
        coalesce(max(run_metrics.cluster), any_value(runs.cluster)) as cluster,
        coalesce(any_value(runs.project), max(run_metrics.project)) as project,
        any_value(runs.model) as model,
        any_value(runs.gpus) as gpus,
        any_value(runs.status) as status,
        min(time) as first_time,
        max(time) as last_time
    from run_metrics
    join runs on runs.run_id = run_metrics.run_id
    join told on told.run_id = run_metrics.run_id
    where run_metrics.job_id is not null or job_ids <= 1
    group by run_metrics.run_id, coalesce(run_metrics.job_id, runs.job_id)
),
fitting as (
    select
        logged.run_id, logged.job_id, gpu_jobs.cluster, gpu_jobs.partition, gpu_jobs.gpu_model,
        coalesce(logged.project, gpu_jobs.project) as project, logged.model, gpu_jobs.state, gpu_jobs.gpus,
        gpu_jobs.gpu_utilisation, gpu_jobs.restarts, submit_time, from_time, to_time,
        first_time < to_time and last_time >= from_time as at_the_time,
        count(*) over (partition by logged.run_id, logged.job_id) as fitting
    from logged
    join gpu_jobs on gpu_jobs.job_id = logged.job_id and gpu_jobs.cluster = coalesce(logged.cluster, gpu_jobs.cluster)
),
ran as (
    select *
    from fitting
    where fitting = 1 or at_the_time
),
alone as (
    select logged.*
    from logged
    left join ran on ran.run_id = logged.run_id and ran.job_id = logged.job_id
    where ran.run_id is null
),
attempts as (
    select
        run_id, job_id, cluster, partition, gpu_model, project, model, state, gpus, gpu_utilisation, restarts,
        submit_time, from_time, to_time, gpus * epoch(to_time - from_time) / 3600 as gpu_hours
    from ran
    union all
    select
        run_id, job_id, cluster, null, null, project, model, status, gpus, null, null,
        null, first_time, last_time, gpus * epoch(last_time - first_time) / 3600
    from alone
),
final as (
    select
        run_id,
        row_number() over (partition by run_id order by from_time, submit_time, job_id) as attempt,
        submit_time is not null as has_job,
        job_id, cluster, partition, gpu_model, project, model, state, gpus, gpu_utilisation, restarts,
        submit_time, from_time as start_time, to_time as end_time, gpu_hours
    from attempts
)
select * from final

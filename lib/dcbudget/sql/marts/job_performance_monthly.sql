-- grain: one row a month, project and GPU model, and one a month and project or a month and GPU model alone (the other null)
-- key: month, grouped_by, project, gpu_model
-- source: gpu_jobs; waits are seconds from submission to start of jobs submitted in the month, completed_jobs and
-- ended_jobs those that ended in it
with started as (
    select
        date_trunc('month', submit_time)::date as month,
        coalesce(project, 'Unallocated') as project,
        coalesce(gpu_model, 'Unknown') as gpu_model,
        epoch(from_time - submit_time) as wait_seconds
    from gpu_jobs
    where submit_time is not null
),
waits as (
    select
        month, project, gpu_model,
        grouping(project, gpu_model) as level,
        count(*) as started_jobs,
        quantile_cont(wait_seconds, 0.5) as wait_p50_seconds,
        quantile_cont(wait_seconds, 0.95) as wait_p95_seconds
    from started
    group by grouping sets ((month, project, gpu_model), (month, project), (month, gpu_model))
),
ended as (
    select
        date_trunc('month', to_time)::date as month,
        coalesce(project, 'Unallocated') as project,
        coalesce(gpu_model, 'Unknown') as gpu_model,
        state
    from gpu_jobs
    where to_time is not null and state is distinct from 'RUNNING'
),
ends as (
    select
        month, project, gpu_model,
        grouping(project, gpu_model) as level,
        count(*) as ended_jobs,
        count(*) filter (state = 'COMPLETED') as completed_jobs
    from ended
    group by grouping sets ((month, project, gpu_model), (month, project), (month, gpu_model))
),
final as (
    select
        coalesce(waits.month, ends.month) as month,
        case coalesce(waits.level, ends.level) when 0 then 'both' when 1 then 'project' else 'gpu_model' end as grouped_by,
        coalesce(waits.project, ends.project) as project,
        coalesce(waits.gpu_model, ends.gpu_model) as gpu_model,
        started_jobs,
        wait_p50_seconds,
        wait_p95_seconds,
        coalesce(ended_jobs, 0) as ended_jobs,
        coalesce(completed_jobs, 0) as completed_jobs
    from waits
    full join ends
        on ends.month = waits.month and ends.level = waits.level
        and ends.project is not distinct from waits.project and ends.gpu_model is not distinct from waits.gpu_model
)
select * from final

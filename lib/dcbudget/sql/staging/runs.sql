-- grain: one row a training run, with its status, final metrics and the job that it ran in
-- key: run_id
-- source: run_metrics, jobs. job_link says how the job was found: 'key', by the job id that the log tells (and its
-- cluster where it tells that; of several such jobs the one that ran at the time); 'host and time', the one job of its
-- host that ran from the run's first to its last time; 'ambiguous', where several fit or the log tells several job
-- ids; 'none'. Final values are the latest by time, then by step; one that is no finite number has diverged.
with told as (
    select
        run_id,
        max(cluster) as cluster,
        case when count(distinct job_id) = 1 then max(job_id) end as job_id,
        count(distinct job_id) as job_ids,
        max(project) as project,
        max(model) as model,
        max(host) as host,
        max(gpus) as gpus,
        arg_max(status, x_load_id) filter (status is not null) as status,
        min(time) as start_time,
        max(time) as end_time,
        max(step) as last_step,
        avg(value) filter (metric = 'mfu' and isfinite(value)) as mean_mfu,
        avg(value) filter (metric = 'tokens_per_second' and isfinite(value)) as mean_tokens_per_second
    from run_metrics
    group by run_id
),
latest as (
    select
        run_id,
        metric,
        value,
        row_number() over (
            partition by run_id, metric order by time desc nulls last, step desc nulls last, x_source_row desc
        ) as recency
    from run_metrics
    where metric in ('loss', 'accuracy', 'f1', 'energy_kwh')
),
finals as (
    select
        run_id,
        max(case when metric = 'loss' then value end) as final_loss,
        max(case when metric = 'accuracy' then value end) as final_accuracy,
        max(case when metric = 'f1' then value end) as final_f1,
        max(case when metric = 'energy_kwh' then value end) as energy_kwh
    from latest
    where recency = 1
    group by run_id
),
ran as (
    select
        job_id, cluster, host, state, gpus, gpus * elapsed_seconds / 3600 as gpu_hours, submit_time, start_time,
        case when state is distinct from 'RUNNING'
            then coalesce(end_time, start_time + to_microseconds((elapsed_seconds * 1000000)::bigint)) end as end_time
    from jobs
),
by_key as (
    select
        told.run_id, 'key' as how, ran.job_id, ran.cluster, ran.state, ran.gpus, ran.gpu_hours,
        told.start_time < coalesce(ran.end_time, told.end_time) and told.end_time >= ran.start_time as at_the_time
    from told
    join ran on ran.job_id = told.job_id and ran.cluster = coalesce(told.cluster, ran.cluster)
),
by_host as (
    select
        told.run_id, 'host and time' as how, ran.job_id, ran.cluster, ran.state, ran.gpus, ran.gpu_hours,
        true as at_the_time
    from told
    join ran
        on ran.host = told.host and ran.cluster = coalesce(told.cluster, ran.cluster)
        and told.start_time >= ran.start_time and (told.end_time < ran.end_time or ran.end_time is null)
    where told.job_ids = 0
),
candidates as (
    select *, count(*) over (partition by run_id) as fitting,
        count(*) filter (at_the_time) over (partition by run_id) as fitting_at_the_time
    from (select * from by_key union all select * from by_host)
),
links as (
    select
        run_id,
        count(*) as fitting,
        max(how) as how,
        max(job_id) as job_id,
        max(cluster) as cluster,
        max(state) as state,
        max(gpus) as gpus,
        max(gpu_hours) as gpu_hours
    from candidates
    where fitting = 1 or at_the_time or fitting_at_the_time = 0
    group by run_id
),
final as (
    select
        told.run_id,
        case when told.job_ids > 0 then told.job_id when links.fitting = 1 then links.job_id end as job_id,
        case
            when told.job_ids > 1 or links.fitting > 1 then 'ambiguous'
            else coalesce(links.how, 'none')
        end as job_link,
        coalesce(told.cluster, case when links.fitting = 1 then links.cluster end) as cluster,
        told.host,
        told.project,
        told.model,
        coalesce(told.status, case when links.fitting = 1 then links.state end) as status,
        told.start_time,
        told.end_time,
        told.last_step,
        finals.final_loss,
        finals.final_accuracy,
        finals.final_f1,
        not isfinite(finals.final_loss) as diverged,
        told.mean_mfu,
        told.mean_tokens_per_second,
        finals.energy_kwh,
        coalesce(told.gpus, case when links.fitting = 1 then links.gpus end) as gpus,
        case when links.fitting = 1 then links.gpu_hours end as gpu_hours
    from told
    left join finals on finals.run_id = told.run_id
    left join links on links.run_id = told.run_id and told.job_ids <= 1
)
select * from final

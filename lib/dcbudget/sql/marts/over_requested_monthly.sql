-- grain: one row a month, cluster, GPU model, project and currency; GPU-hours, money in `currency` on the effective basis
-- key: month, cluster, gpu_model, project, currency
-- source: job_days, gpu_ledger_monthly, jobs. Of the useful jobs whose GPU utilisation was measured, unused is what they
-- held above their use, held x (1 - utilisation), at the average cost of the pool's held GPU-hours in each currency (the
-- hours are the same in all of a pool's currencies). Requested is the wall time asked for, of GPU jobs that ended in the
-- month and asked for one; what ends early is released, so that the rest of it costs the queue and no money.
with useful as (
    select
        date_trunc('month', day)::date as month, cluster, gpu_model, project,
        sum(gpu_hours) as useful_gpu_hours,
        sum(measured_gpu_hours) as measured_gpu_hours,
        sum(used_gpu_hours) as used_gpu_hours
    from job_days
    where bucket = 'useful'
    group by all
),
asked as (
    select
        date_trunc('month', end_time)::date as month, jobs.cluster, jobs.gpu_model, project,
        count(*) as jobs,
        sum(gpus * requested_seconds / 3600) as requested_gpu_hours,
        sum(gpus * elapsed_seconds / 3600) as elapsed_gpu_hours,
        count(*) filter (elapsed_seconds < requested_seconds / 4) as jobs_below_a_quarter
    from jobs
    where end_time is not null and gpus > 0 and requested_seconds > 0 and elapsed_seconds is not null
    group by all
),
rates as (
    select
        month, cluster, gpu_model, currency,
        sum(effective_cost)::double / nullif(sum(sum(gpu_hours)) over (partition by month, cluster, gpu_model), 0)::double
            as effective_cost_per_gpu_hour
    from gpu_ledger_monthly
    where bucket in ('useful', 'failed or restarted', 'held but idle')
    group by month, cluster, gpu_model, currency
),
hours as (
    select
        coalesce(useful.month, asked.month) as month,
        coalesce(useful.cluster, asked.cluster) as cluster,
        coalesce(useful.gpu_model, asked.gpu_model) as gpu_model,
        coalesce(useful.project, asked.project) as project,
        useful_gpu_hours, measured_gpu_hours, used_gpu_hours,
        jobs, requested_gpu_hours, elapsed_gpu_hours, jobs_below_a_quarter
    from useful
    full join asked
        on asked.month = useful.month and asked.cluster = useful.cluster
        and asked.gpu_model is not distinct from useful.gpu_model and asked.project is not distinct from useful.project
),
final as (
    select
        hours.month, hours.cluster, hours.gpu_model, project, currency,
        coalesce(useful_gpu_hours, 0) as useful_gpu_hours,
        measured_gpu_hours,
        used_gpu_hours,
        measured_gpu_hours - used_gpu_hours as unused_gpu_hours,
        (measured_gpu_hours - used_gpu_hours) * effective_cost_per_gpu_hour as unused_effective_cost,
        coalesce(jobs, 0) as jobs,
        requested_gpu_hours,
        elapsed_gpu_hours,
        coalesce(jobs_below_a_quarter, 0) as jobs_below_a_quarter
    from hours
    left join rates
        on rates.month = hours.month and rates.cluster = hours.cluster
        and rates.gpu_model is not distinct from hours.gpu_model
)
select * from final

-- grain: one row a month, project and currency; money in `currency`, effective basis
-- key: month, project, currency
-- source: showback_monthly, job_days; a GPU-hour here is allocated
with hours as (
    select date_trunc('month', day)::date as month, coalesce(project, 'Unallocated') as project,
        sum(gpu_hours) as allocated_gpu_hours,
        sum(gpu_hours) filter (state = 'COMPLETED') as completed_gpu_hours
    from job_days
    group by all
),
completed as (
    select date_trunc('month', end_time)::date as month, coalesce(project, 'Unallocated') as project,
        count(*) as completed_jobs
    from jobs
    where state = 'COMPLETED' and gpus > 0
    group by all
),
money as (
    select month, project, currency, sum(effective_cost) as effective_cost,
        sum(effective_cost) filter (
            category in ('Owned hardware', 'Power', 'Facility and staff', 'Rented GPUs')) as gpu_effective_cost
    from showback_monthly
    group by all
),
final as (
    select
        month, project, currency, effective_cost, gpu_effective_cost,
        allocated_gpu_hours, completed_gpu_hours, completed_jobs,
        gpu_effective_cost / nullif(allocated_gpu_hours, 0) as effective_cost_per_gpu_hour,
        gpu_effective_cost / nullif(completed_jobs, 0) as effective_cost_per_completed_job
    from money
    left join hours using (month, project)
    left join completed using (month, project)
)
select * from final

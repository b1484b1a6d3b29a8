-- grain: one row a month, project and currency; money in `currency`, effective basis
-- key: month, project, currency
-- source: showback_monthly, job_days, tokens_monthly; a GPU-hour here is allocated, a million tokens is of input and
-- output together and bears all that the project cost, what it trained included
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
served as (
    select month, project, sum(requests) as requests,
        sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) / 1e6 as million_tokens
    from tokens_monthly
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
        allocated_gpu_hours, completed_gpu_hours, completed_jobs, requests, million_tokens,
        gpu_effective_cost / nullif(allocated_gpu_hours, 0) as effective_cost_per_gpu_hour,
        gpu_effective_cost / nullif(completed_jobs, 0) as effective_cost_per_completed_job,
        effective_cost / nullif(million_tokens, 0) as effective_cost_per_million_tokens
    from money
    left join hours using (month, project)
    left join completed using (month, project)
    left join served using (month, project)
)
select * from final

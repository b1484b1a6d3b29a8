-- grain: one row a day, project and currency; money in `currency`, effective basis
-- key: day, project, currency
-- source: showback_monthly, cost_lines, job_days. A project's own charges are spread over the days that they cover; the
-- rest of its month (its share of pools) goes by the GPU-hours that it held each day, evenly where it held none. The
-- rows of a month sum to showback_monthly. Sums are of decimals, so that the order of charges and jobs does not show.
with monthly as (
    select month, project, currency, sum(effective_cost)::double as effective_cost
    from showback_monthly
    group by all
),
starts as (
    select
        month, coalesce(project, 'Unallocated') as project, currency, effective_cost::double as effective_cost,
        from_time, to_time,
        unnest(generate_series(
            greatest(date_trunc('day', from_time), month)::timestamp,
            greatest(greatest(date_trunc('day', from_time), month)::timestamp,
                least(to_time, month + interval 1 month) - interval 1 microsecond),
            interval 1 day)) as day_start,
        greatest(0, epoch(least(to_time, month + interval 1 month) - greatest(from_time, month))) as seconds
    from cost_lines
    where not shared and from_time < month + interval 1 month
),
own as (
    select
        month, project, currency, least(day_start, month + interval 1 month - interval 1 day)::date as day,
        sum((case when seconds = 0 then effective_cost
            else effective_cost
                * epoch(least(to_time, day_start + interval 1 day, month + interval 1 month)
                    - greatest(from_time, day_start)) / seconds end)::decimal(38, 12))::double as effective_cost
    from starts
    group by all
),
owned as (
    select month, project, currency, sum(effective_cost::decimal(38, 12))::double as effective_cost
    from own
    group by all
),
held as (
    select day, coalesce(project, 'Unallocated') as project, sum(gpu_hours::decimal(38, 12))::double as gpu_hours
    from job_days
    where gpu_model is not null
    group by all
),
days as (
    select
        monthly.month, monthly.project, monthly.currency, unnest(generate_series(
            monthly.month::timestamp, monthly.month + interval 1 month - interval 1 day, interval 1 day))::date as day,
        monthly.effective_cost - coalesce(owned.effective_cost, 0) as rest
    from monthly
    left join owned using (month, project, currency)
),
shares as (
    select
        days.*, coalesce(held.gpu_hours, 0) as gpu_hours,
        (sum(coalesce(held.gpu_hours, 0)::decimal(38, 12)) over whole)::double as month_gpu_hours,
        count(*) over whole as month_days
    from days
    left join held using (day, project)
    window whole as (partition by days.month, days.project, days.currency)
),
final as (
    select
        shares.month, shares.day, shares.project, shares.currency,
        coalesce(own.effective_cost, 0)
            + rest * case when month_gpu_hours > 0 then gpu_hours / month_gpu_hours else 1 / month_days end
            as effective_cost
    from shares
    left join own using (month, day, project, currency)
)
select * from final

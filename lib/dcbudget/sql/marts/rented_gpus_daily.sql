-- grain: one row a day, GPU model and way of paying; GPU-hours that were rented, and the mean of GPUs at work
-- key: day, gpu_model, paid_as
-- source: cost_lines of rented GPUs; a charge is spread over its period, one of a moment falls on its day. What a
-- commitment could cover is on-demand and the used part of commitments; spot has its own price.
with starts as (
    select
        gpu_model, gpu_hours, from_time, to_time,
        case
            when commitment_status = 'Unused' then 'commitment, unused'
            when commitment_status = 'Used' or pricing_category = 'Committed' then 'commitment, used'
            when pricing_category = 'Dynamic' then 'spot'
            else 'on-demand'
        end as paid_as,
        unnest(generate_series(date_trunc('day', from_time)::timestamp,
            greatest(to_time - interval 1 microsecond, from_time), interval 1 day)) as day_start
    from cost_lines
    where not owned and gpu_hours > 0 and gpu_model is not null
),
days as (
    select
        day_start::date as day, gpu_model, paid_as,
        case when to_time = from_time then gpu_hours
            else gpu_hours * epoch(least(to_time, day_start + interval 1 day) - greatest(from_time, day_start))
                / epoch(to_time - from_time) end as gpu_hours
    from starts
),
final as (
    select day, gpu_model, paid_as, sum(gpu_hours) as gpu_hours, sum(gpu_hours) / 24 as gpus
    from days
    group by all
)
select * from final

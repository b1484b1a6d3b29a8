-- grain: one row a month, GPU model, kind of price and currency; GPU-hours of capacity, effective and list basis
-- key: month, gpu_model, kind, currency
-- source: cost_lines; kind is owned (power, staff and space included), on-demand, committed (unused hours included) or
-- spot; a charge that names GPUs but no GPU-hours (a fee, a commitment bought) has no price and is left out
with kinds as (
    select
        month, gpu_model, currency, gpu_hours, effective_cost, list_cost, owned,
        case
            when owned then 'owned'
            when commitment_status is not null or pricing_category = 'Committed' then 'committed'
            when pricing_category = 'Dynamic' then 'spot'
            else 'on-demand'
        end as kind
    from cost_lines
    where gpu_model is not null
),
final as (
    select
        month, gpu_model, kind, currency,
        sum(gpu_hours) as gpu_hours,
        sum(effective_cost) filter (owned or gpu_hours <> 0) as effective_cost,
        sum(list_cost) filter (gpu_hours <> 0 and not owned) as list_cost,
        sum(effective_cost) filter (owned or gpu_hours <> 0) / nullif(sum(gpu_hours), 0) as effective_cost_per_gpu_hour
    from kinds
    group by all
)
select * from final where gpu_hours > 0

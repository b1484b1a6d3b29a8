-- grain: one row a month, category, GPU model, way of paying and currency; rented usage on four bases
-- key: month, category, gpu_model, paid_as, currency
-- source: cost_lines of providers' usage, prices; purchases of commitments, taxes, credits and owned hardware are left
-- out. On-demand is what the same use would have cost at the list price: the bill's list cost; for spot, whose list cost
-- is that of the spot market, the price list's Standard price of the GPU-hours where it is higher; for the unused part
-- of a commitment nothing, since nothing was used.
with used as (
    select
        month, day, category, gpu_model, provider, currency,
        case
            when commitment_status = 'Unused' then 'commitment, unused'
            when commitment_status = 'Used' or pricing_category = 'Committed' then 'commitment, used'
            when pricing_category = 'Dynamic' then 'spot'
            else 'on-demand'
        end as paid_as,
        gpu_hours, list_cost, contracted_cost, effective_cost, billed_cost
    from cost_lines
    where not owned and charge_category = 'Usage' and category <> 'Tax and support'
),
standard as (
    select
        provider, gpu_model, currency, effective_from,
        min(unit_price / gpus)::double as price_per_gpu_hour,
        lead(effective_from) over (partition by provider, gpu_model, currency order by effective_from) as effective_to
    from prices
    where pricing_category = 'Standard' and gpus > 0 and unit in ('Hours', 'Hour', 'Hrs')
    group by provider, gpu_model, currency, effective_from
),
priced as (
    select
        used.*,
        case paid_as
            when 'commitment, unused' then 0
            when 'spot' then greatest(coalesce(list_cost, effective_cost)::double, gpu_hours * price_per_gpu_hour)
            else coalesce(list_cost, contracted_cost, effective_cost)::double
        end as on_demand_cost
    from used
    left join standard
        on standard.provider = used.provider and standard.gpu_model = used.gpu_model
        and standard.currency = used.currency and used.day >= standard.effective_from
        and (used.day < standard.effective_to or standard.effective_to is null)
),
final as (
    select
        month, category, gpu_model, paid_as, currency,
        sum(gpu_hours) as gpu_hours,
        sum(list_cost) as list_cost,
        sum(on_demand_cost) as on_demand_cost,
        sum(contracted_cost) as contracted_cost,
        sum(effective_cost) as effective_cost,
        sum(billed_cost) as billed_cost
    from priced
    group by all
)
select * from final

-- grain: one row a month, kind of resource (compute, storage, network), ownership and currency; effective basis
-- key: month, resource, owned, unit, currency
-- source: cost_lines; quantity in `unit` where it has one
with final as (
    select
        month,
        case
            when gpu_model is not null then 'compute'
            when category = 'Storage' or (owned and service_kind = 'Storage') then 'storage'
            when category = 'Network' or (owned and service_kind = 'Networking') then 'network'
            when owned then 'compute'
            else 'other'
        end as resource,
        owned,
        currency,
        unit,
        sum(quantity) as quantity,
        sum(effective_cost) as effective_cost
    from (
        select cost_lines.*, null::varchar as service_kind from cost_lines where not owned
        union all by name
        select date_trunc('month', BillingPeriodStart)::date as month, x_gpu_model as gpu_model, true as owned,
            ServiceName as category, ServiceCategory as service_kind, BillingCurrency as currency,
            ConsumedUnit as unit, ConsumedQuantity as quantity, EffectiveCost as effective_cost
        from owned_charges
    )
    group by all
)
select * from final

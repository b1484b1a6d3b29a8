-- grain: one row a month, cluster, kind of unit, GPU model and currency; energy of the owned fleet, effective basis
-- key: month, cluster, kind, gpu_model, currency
-- source: owned_charges, fleet; kWh with the hall's losses, kg of CO2 equivalents, null where a batch does not tell
with final as (
    select
        BillingPeriodStart::date as month,
        x_cluster as cluster,
        ResourceType as kind,
        x_gpu_model as gpu_model,
        BillingCurrency as currency,
        sum(ConsumedQuantity)::double as kwh,
        case when count(kg_co2e_per_kwh) = count(*) then sum(ConsumedQuantity::double * kg_co2e_per_kwh) end as kg_co2e,
        sum(EffectiveCost) as effective_cost
    from owned_charges
    join fleet on fleet.asset_id = owned_charges.ResourceId
    where ServiceName = 'Power'
    group by all
)
select * from final

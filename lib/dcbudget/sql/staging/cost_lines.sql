-- grain: one row a charge, with the names that budgets and pools go by; money in `currency`
-- key: as charges
-- source: charges. A pool is a cluster's GPUs of one model; `shared` charges have a cluster and no project
with final as (
    select
        date_trunc('month', BillingPeriodStart)::date as month,
        ChargePeriodStart::date as day,
        ChargePeriodStart as from_time,
        ChargePeriodEnd as to_time,
        x_project as project,
        x_cluster as cluster,
        x_gpu_model as gpu_model,
        x_project is null and x_cluster is not null as shared,
        ProviderName = 'Owned' as owned,
        case
            when ProviderName = 'Owned' then ServiceName
            when ChargeCategory in ('Tax', 'Credit') or ServiceName ilike '%support%' then 'Tax and support'
            when x_gpu_model is not null then 'Rented GPUs'
            when ServiceCategory = 'Storage' then 'Storage'
            when ServiceCategory = 'Networking' then 'Network'
            else 'Other services'
        end as category,
        ProviderName as provider,
        ServiceName as service,
        BillingCurrency as currency,
        BilledCost as billed_cost,
        EffectiveCost as effective_cost,
        ListCost as list_cost,
        ContractedCost as contracted_cost,
        ConsumedQuantity as quantity,
        ConsumedUnit as unit,
        ChargeCategory as charge_category,
        PricingCategory as pricing_category,
        CommitmentDiscountId as commitment,
        CommitmentDiscountStatus as commitment_status,
        x_gpu_hours as gpu_hours
    from charges
)
select * from final

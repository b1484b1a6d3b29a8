-- Allocated, idle and unallocated money of a month sum to its charges, on both bases.
with shown as (
    select month, currency, sum(effective_cost) as effective, sum(billed_cost) as billed
    from showback_monthly group by all
),
bill as (
    select date_trunc('month', BillingPeriodStart)::date as month, BillingCurrency as currency,
        sum(EffectiveCost) as effective, sum(BilledCost) as billed
    from charges group by all
)
select * from bill full join shown using (month, currency)
where bill.effective is distinct from shown.effective or bill.billed is distinct from shown.billed

-- The daily and the monthly cost sum to the charges, on every basis.
with bill as (
    select BillingCurrency as currency, sum(BilledCost) as billed, sum(EffectiveCost) as effective from charges group by all
),
monthly as (
    select currency, sum(billed_cost) as billed, sum(effective_cost) as effective from cost_monthly group by all
),
daily as (
    select currency, sum(billed_cost) as billed, sum(effective_cost) as effective from cost_daily group by all
)
select * from bill full join monthly using (currency) full join daily using (currency)
where bill.billed is distinct from monthly.billed or bill.effective is distinct from monthly.effective
    or bill.billed is distinct from daily.billed or bill.effective is distinct from daily.effective

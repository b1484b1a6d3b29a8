-- The billed money of each load is still there, apart from what a later load replaced.
with held as (
    select x_load_id as load_id, BillingCurrency as currency, sum(BilledCost) as cost
    from landed.imported group by all
),
replaced as (
    select load_id, currency, sum(cost_replaced) as cost from load_replacements group by all
)
select load_costs.load_id, load_costs.currency, cost_loaded, held.cost as held, replaced.cost as replaced
from load_costs
join loads using (load_id)
left join held on held.load_id = load_costs.load_id and held.currency = load_costs.currency
left join replaced on replaced.load_id = load_costs.load_id and replaced.currency = load_costs.currency
where dataset = 'charges' and cost_loaded <> coalesce(held.cost, 0) + coalesce(replaced.cost, 0)

-- grain: one row a billing month, project, category, provider and currency; money in `currency`, on four bases
-- key: month, project, category, provider, currency
-- source: cost_lines; before the shared pools are shared out (see showback_monthly)
select
    month,
    coalesce(project, case when shared then 'Shared: ' || cluster else 'Unallocated' end) as project,
    category,
    provider,
    currency,
    sum(billed_cost) as billed_cost,
    sum(effective_cost) as effective_cost,
    sum(list_cost) as list_cost,
    sum(contracted_cost) as contracted_cost
from cost_lines
group by all

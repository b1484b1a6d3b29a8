-- grain: one row a day, project, category, provider and currency; money in `currency`, on four bases
-- key: day, project, category, provider, currency
-- source: cost_lines; a charge falls on the day it begins; charges without a project are shared (by cluster) or unallocated
select
    day,
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

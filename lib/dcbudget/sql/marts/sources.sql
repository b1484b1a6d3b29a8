-- grain: one row a loaded file and currency
-- key: load_id, currency
-- source: loads, load_costs
select
    load_id, file, format, dataset, rows_read, rows_loaded, rows_rejected, status,
    currency, cost_read, cost_loaded, cost_rejected
from loads
left join load_costs using (load_id)

-- No budget line is there twice.
select plan_version, month, project, category, currency, count(*) as copies
from budget_lines group by all having count(*) > 1

-- grain: one row a file, column and reason; billed money that was rejected with the rows
-- key: file, column_name, reason, currency
-- source: rejects
select file, column_name, reason, currency, count(*) as rows_rejected, sum(cost) as cost_rejected
from rejects
group by all

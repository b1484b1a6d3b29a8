-- No month has charges in two currencies without a rate between them.
select date_trunc('month', BillingPeriodStart)::date as month, list(distinct BillingCurrency) as currencies
from charges group by 1 having count(distinct BillingCurrency) > 1

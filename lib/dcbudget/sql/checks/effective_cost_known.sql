-- Every charge tells its effective cost; where an export does not, effective sums are too low by an unknown amount.
select ProviderName, BillingAccountId, date_trunc('month', BillingPeriodStart)::date as month, count(*) as charges
from charges where EffectiveCost is null group by all

-- No month has charges in two currencies without rates that lead from one to the other.
with months as (
    select distinct month, currency from cost_monthly where currency is not null
),
either_way as (
    select from_currency, to_currency, min(date) as since from rates group by all
    union all
    select to_currency, from_currency, min(date) from rates group by all
),
joined as (
    select from_currency, to_currency, since from either_way
    union all
    select a.from_currency, b.to_currency, greatest(a.since, b.since)
    from either_way a join either_way b on a.to_currency = b.from_currency
)
select a.month, a.currency, b.currency as other_currency
from months a
join months b on a.month = b.month and a.currency < b.currency
where not exists (
    select 1 from joined
    where from_currency = a.currency and to_currency = b.currency and since < a.month + interval 1 month
)

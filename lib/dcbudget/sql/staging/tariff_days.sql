-- grain: one UTC day and tariff by hour that the fleet names; `price_hours` = sum of price a kWh x hours, in `currency`
-- key: tariff, day, currency
-- source: tariffs, fleet. Each moment has the price of its local hour, daylight saving included; hours without a price
-- are left out. Prices of weekdays or weekends go before those of every day, and later lines before earlier ones.
with versions as (
    select
        tariffs.tariff, effective_from, tariffs.currency, coalesce(tariffs.timezone, 'UTC') as zone,
        min(in_service_date) as first_day
    from tariffs
    join fleet on fleet.tariff = tariffs.tariff
    group by all
),
valid as (
    select
        *,
        timezone('UTC', timezone(zone, effective_from::timestamp)) as local_midnight,
        -- dates of the fleet are UTC: the first price of a tariff holds from its day on in either zone
        case when lag(tariff) over by_date is null then least(local_midnight, effective_from::timestamp)
            else local_midnight end as valid_from,
        coalesce(lead(local_midnight) over by_date, last_month + interval 1 month) as valid_to
    from versions, horizon
    window by_date as (partition by tariff order by effective_from)
),
days as (
    select
        *,
        greatest(day, valid_from) as from_time,
        least(day + interval 1 day, valid_to) as to_time,
        timezone(zone, timezone('UTC', from_time)) - from_time as shift,
        timezone(zone, timezone('UTC', to_time - interval 15 minute)) - to_time + interval 15 minute = shift as whole
    from valid, unnest(generate_series(
        greatest(date_trunc('day', valid_from), first_day::timestamp),
        least(valid_to, last_month + interval 1 month) - interval 1 microsecond,
        interval 1 day
    )) as series (day)
),
-- a day on which the clocks change is taken by quarters of an hour, to which all zones keep
pieces as (
    select tariff, effective_from, currency, day, from_time + shift as local_from, datediff('minute', from_time, to_time) as minutes
    from days
    where whole
    union all
    select tariff, effective_from, currency, day, timezone(zone, timezone('UTC', quarter)), 15
    from days, unnest(generate_series(from_time, to_time - interval 1 microsecond, interval 15 minute)) as series (quarter)
    where not whole
),
hours as (
    select
        *,
        datediff('minute', date_trunc('day', local_from), local_from) as from_minute,
        unnest(range(from_minute // 60, (from_minute + minutes + 59) // 60)) as slot,
        slot % 24 as hour,
        isodow(local_from + to_days((slot // 24)::integer)) > 5 as weekend,
        (least(from_minute + minutes, slot * 60 + 60) - greatest(from_minute, slot * 60)) / 60 as hours
    from pieces
),
prices as (
    select
        tariff, effective_from, weekend, hour,
        last(price_per_kwh order by days is not null, x_source_row)::double as price
    from tariffs, (values (false), (true)) as week (weekend), range(24) as clock (hour)
    where (days is null or (days = 'weekend') = weekend)
        and case when from_hour < to_hour then hour >= from_hour and hour < to_hour
            else hour >= from_hour or hour < to_hour end
    group by all
),
final as (
    select tariff, day::date as day, currency, sum(hours) as hours, sum(hours * price) as price_hours
    from hours
    join prices using (tariff, effective_from, weekend, hour)
    group by all
)
select * from final

-- grain: one price of power of a tariff for some hours of the day, from one date on; hours and dates of `timezone`
-- key: tariff, effective_from, days, from_hour
-- units: price a kWh in `currency`; hours [from_hour, to_hour), over midnight where to_hour is not the later one
create table tariffs (
    tariff varchar not null,
    effective_from date not null,
    days varchar,
    from_hour bigint not null,
    to_hour bigint not null,
    price_per_kwh decimal(38, 24) not null,
    currency varchar not null,
    timezone varchar,
    x_load_id bigint,
    x_source_row bigint
)

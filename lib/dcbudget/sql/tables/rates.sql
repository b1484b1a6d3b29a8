-- grain: one exchange rate of one day: one unit of from_currency is `rate` units of to_currency
-- key: date, from_currency, to_currency
create table rates (
    date date not null,
    from_currency varchar not null,
    to_currency varchar not null,
    rate double not null,
    x_load_id bigint,
    x_source_row bigint
)

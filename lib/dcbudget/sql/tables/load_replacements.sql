-- grain: rows and billed money that a later load took out of an earlier one
-- key: load_id, by_load_id, currency
create table load_replacements (
    load_id bigint not null,
    by_load_id bigint not null,
    currency varchar not null,
    rows_replaced bigint not null,
    cost_replaced decimal(38, 24) not null
)

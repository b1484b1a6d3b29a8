-- grain: billed money of one load and currency; cost_read = cost_loaded + cost_rejected
-- key: load_id, currency
create table load_costs (
    load_id bigint not null,
    currency varchar not null,
    cost_read decimal(38, 24) not null,
    cost_loaded decimal(38, 24) not null,
    cost_rejected decimal(38, 24) not null
)

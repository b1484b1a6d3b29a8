-- grain: one amount of one plan version, month, project, category and currency
-- key: plan_version, month, project, category, currency
create table budget_lines (
    plan_version varchar not null,
    status varchar,
    month date not null,
    project varchar not null,
    category varchar not null,
    amount decimal(38, 24) not null,
    currency varchar not null,
    driver varchar,
    x_load_id bigint,
    x_source_row bigint
)

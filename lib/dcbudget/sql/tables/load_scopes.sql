-- grain: one billing period of one account that a load holds charges of
-- key: load_id, provider, account, billing_period
create table load_scopes (
    load_id bigint not null,
    provider varchar not null,
    account varchar not null,
    billing_period timestamp not null
)

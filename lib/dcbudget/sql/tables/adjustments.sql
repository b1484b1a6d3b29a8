-- grain: one decision that moves money between budget lines
-- key: adjustment_id
create table adjustments (
    adjustment_id varchar not null,
    date date not null,
    owner varchar not null,
    from_project varchar,
    to_project varchar,
    amount decimal(38, 24) not null,
    currency varchar not null,
    promised_saving decimal(38, 24),
    realised_saving decimal(38, 24)
)

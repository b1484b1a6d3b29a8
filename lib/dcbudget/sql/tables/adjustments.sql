-- grain: one decision that moves money between budget lines, or means to save some
-- key: adjustment_id
-- status: proposed, accepted or rejected; from and to are null where the budget as a whole changes, a category where the
-- lines of all categories do. Realised is at the mean, with P10 and P90, against the counterfactual: 'forecast', 'run
-- rate' (both in adjustment_expectations) or 'budget before' (the overrun of the same spend under plan_version).
create table adjustments (
    adjustment_id varchar not null,
    status varchar,
    date date not null,
    owner varchar not null,
    source varchar,
    reason varchar,
    from_project varchar,
    from_category varchar,
    to_project varchar,
    to_category varchar,
    first_month date,
    last_month date,
    amount decimal(38, 24) not null,
    currency varchar not null,
    plan_version varchar,
    counterfactual varchar,
    promised_saving decimal(38, 24),
    decided_on date,
    consent varchar,
    new_plan_version varchar,
    measured_month date,
    realised_saving decimal(38, 24),
    realised_low decimal(38, 24),
    realised_high decimal(38, 24)
)

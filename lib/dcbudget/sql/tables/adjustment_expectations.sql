-- grain: one month of what the line of an adjustment was expected to cost without it, money in its currency
-- key: adjustment_id, month
-- kept as it was when the adjustment was proposed; low and high are P10 and P90
create table adjustment_expectations (
    adjustment_id varchar not null,
    month date not null,
    expected decimal(38, 24) not null,
    low decimal(38, 24) not null,
    high decimal(38, 24) not null
)

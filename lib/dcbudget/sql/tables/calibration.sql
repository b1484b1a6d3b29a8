-- grain: one measured value of one month, the starting value of the next plan
-- key: name, month
create table calibration (
    name varchar not null,
    value double not null,
    unit varchar not null,
    month date not null,
    source varchar not null
)

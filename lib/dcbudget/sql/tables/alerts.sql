-- grain: one alert: what is out of the ordinary in one scope since one moment; money in `currency`, on `basis`
-- key: alert_id
-- until is null while it lasts. state: open, acknowledged or closed, closed_by: itself or hand. found_on and judged_on
-- are the first and the last day that was judged; told says whether news of it were sent.
create table alerts (
    alert_id varchar not null,
    kind varchar not null,
    project varchar not null,
    subject varchar not null,
    since timestamp not null,
    until timestamp,
    money decimal(38, 24),
    currency varchar not null,
    basis varchar not null,
    what varchar not null,
    why varchar not null,
    state varchar not null,
    closed_by varchar,
    note varchar,
    found_on date not null,
    judged_on date not null,
    told boolean not null
)

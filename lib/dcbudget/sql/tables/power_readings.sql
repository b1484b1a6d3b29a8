-- grain: one month's energy of one owned batch, as metered at its units
-- key: asset_id, month
-- units: kWh of all units of the batch, before the hall's losses (PUE)
create table power_readings (
    asset_id varchar not null,
    month date not null,
    kwh double not null,
    x_load_id bigint,
    x_source_row bigint
)

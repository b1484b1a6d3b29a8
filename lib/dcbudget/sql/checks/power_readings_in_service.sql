-- Every power reading is of a month in which its batch was in service.
select power_readings.asset_id, power_readings.month, kwh, in_service_date, retire_date
from power_readings left join fleet using (asset_id)
where fleet.asset_id is null
    or month < date_trunc('month', in_service_date) or month >= retire_date

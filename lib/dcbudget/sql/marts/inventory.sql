-- grain: one row an owned batch of units
-- key: asset_id
-- source: fleet; kW as drawn (measured, else nameplate x fraction); purchase with its interconnect, in `currency`
select
    asset_id, kind, cluster, partition, gpu_model, units,
    units * coalesce(gpus_per_unit, 0) as gpus,
    in_service_date, retire_date, life_months,
    (purchase_price + coalesce(interconnect_price, 0)) * units as purchase_cost,
    currency,
    coalesce(measured_kw, nameplate_kw * coalesce(power_fraction, 1)) * units as kw,
    description
from fleet

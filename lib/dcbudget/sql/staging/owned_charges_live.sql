-- grain: one owned batch, month and kind of cost, as a FOCUS charge; money in the ledger's or the tariff's currency
-- key: ResourceId, ChargePeriodStart, ServiceName, ChargeCategory, BillingCurrency
-- source: fleet, tariff_days, power_readings; nothing later than the last month of bills or jobs (horizon).
-- Hardware with its share of the interconnect: bought in the month of purchase (billed), depreciated from the month of
-- service on (effective), a month begun counting whole, in cents whose sum over the life is exact (macro depreciated).
-- In the month in which it retires, what is not yet depreciated is written off, less the proceeds of a sale.
-- Power: kWh metered, else kW measured or a fraction of the nameplate x hours in service; at the units x price x PUE,
-- less heat sold. The price is the tariff's of the hour, else the flat one; where a tariff is named and neither tells
-- the price of an hour, the amount is null. Staff and space: by the hours in service of the month.
with batches as (
    select
        fleet.*,
        ((purchase_price + coalesce(interconnect_price, 0)) * units)::decimal(38, 24) as cost,
        (coalesce(residual_value, 0) * units)::decimal(38, 24) as residual,
        case when depreciation = 'declining' then least(coalesce(declining_rate / 12, 2 / life_months), 1) end as rate,
        switch_month(cost, residual, rate, life_months) as switch
    from fleet
),
months as (
    select
        batches.*,
        month.m as month_start,
        month.m + interval 1 month as month_end,
        datediff('month', date_trunc('month', in_service_date), month.m) as age_months
    from batches, horizon,
        unnest(generate_series(
            date_trunc('month', in_service_date)::timestamp,
            least(last_month, coalesce(retire_date - interval 1 day, last_month))::timestamp,
            interval 1 month
        )) as month (m)
),
in_service as (
    select
        months.*,
        greatest(month_start, in_service_date::timestamp) as from_time,
        least(month_end, coalesce(retire_date::timestamp, month_end)) as to_time,
        epoch(to_time - from_time) / 3600 as hours,
        hours / (epoch(month_end - month_start) / 3600) as share,
        coalesce(readings.kwh, coalesce(measured_kw, nameplate_kw * coalesce(power_fraction, 1)) * units * hours)
            as metered_kwh,
        (coalesce(staff_cost_per_month, 0) + coalesce(space_cost_per_month, 0)) * units as upkeep
    from months
    left join power_readings as readings
        on readings.asset_id = months.asset_id and readings.month = months.month_start
),
-- once a tariff and month, not once a batch
spans as (
    select distinct tariff, from_time, to_time from in_service where tariff is not null
),
tariff_hours as (
    select spans.*, currency, sum(hours) as hours, sum(price_hours) as price_hours
    from spans
    join tariff_days on tariff_days.tariff = spans.tariff and day >= from_time and day < to_time
    group by all
),
power as (
    select asset_id, month_start, currency, sum(hours) as hours,
        case when count(price_hours) = count(*) then sum(price_hours) end as price_hours
    from (
        select asset_id, month_start, tariff_hours.currency, tariff_hours.hours, price_hours
        from in_service
        join tariff_hours using (tariff, from_time, to_time)
        union all
        select asset_id, month_start, currency, in_service.hours - coalesce(told.hours, 0) as flat_hours,
            flat_hours * case when tariff is null then coalesce(tariff_per_kwh, 0) else tariff_per_kwh end
        from in_service
        left join (select tariff, from_time, to_time, sum(hours) as hours from tariff_hours group by all) as told
            using (tariff, from_time, to_time)
        where flat_hours > 0
    )
    group by all
),
lines as (
    select
        in_service.* exclude (currency), currency,
        'Owned hardware' as service, 'Usage' as charge_category, 'Recurring' as frequency, description as what,
        (units * coalesce(gpus_per_unit, 0) * hours)::double as hours_of_gpus, 'Months' as unit, 1.0 as quantity,
        0::decimal(38, 24) as billed,
        depreciated(cost, residual, rate, switch, life_months, age_months + 1)
            - depreciated(cost, residual, rate, switch, life_months, age_months) as effective,
        from_time as charge_from, to_time as charge_to
    from in_service
    union all by name
    select
        in_service.* exclude (currency, hours), power.currency,
        'Power' as service, 'Usage' as charge_category, 'Usage-Based' as frequency, description as what, 'kWh' as unit,
        metered_kwh * power.hours / in_service.hours * coalesce(pue, 1) as quantity,
        cents(metered_kwh / in_service.hours * (coalesce(pue, 1) * price_hours
            - coalesce(heat_credit_per_kwh, 0) * power.hours)) as billed,
        billed as effective, from_time as charge_from, to_time as charge_to
    from in_service
    join power using (asset_id, month_start)
    where metered_kwh > 0
    union all by name
    select
        *, 'Facility and staff' as service, 'Usage' as charge_category, 'Recurring' as frequency, description as what,
        'Months' as unit, share as quantity,
        case when share = 1 then upkeep else cents(upkeep::double * share) end as billed,
        billed as effective, from_time as charge_from, to_time as charge_to
    from in_service
    where upkeep > 0
    union all by name
    select
        batches.*, 'Owned hardware' as service, 'Purchase' as charge_category, 'One-Time' as frequency,
        description as what, 'Units' as unit, units as quantity, cost as billed, 0 as effective,
        coalesce(purchase_date, in_service_date)::timestamp as charge_from,
        charge_from + interval 1 day as charge_to
    from batches, horizon
    where date_trunc('month', charge_from) <= last_month
    union all by name
    select
        batches.*, 'Owned hardware' as service, 'Adjustment' as charge_category, 'One-Time' as frequency,
        -coalesce(sale_price, 0) * units as billed,
        cost - residual - depreciated(cost, residual, rate, switch, life_months,
            datediff('month', date_trunc('month', in_service_date), date_trunc('month', retire_date - interval 1 day)) + 1)
            + (coalesce(residual_value, 0) - coalesce(sale_price, residual_value, 0)) * units as effective,
        concat_ws(': ', case when effective < 0 then 'Gain on sale' else 'Write-off' end, description) as what,
        retire_date::timestamp as charge_from, charge_from + interval 1 day as charge_to
    from batches, horizon
    where date_trunc('month', retire_date) <= last_month and (effective <> 0 or billed <> 0)
),
final as (
    select
        'Owned' as ProviderName,
        'Owned' as PublisherName,
        'Owned' as InvoiceIssuerName,
        'fleet' as BillingAccountId,
        'Fleet ledger' as BillingAccountName,
        currency as BillingCurrency,
        date_trunc('month', charge_from)::timestamp as BillingPeriodStart,
        (date_trunc('month', charge_from) + interval 1 month)::timestamp as BillingPeriodEnd,
        charge_from as ChargePeriodStart,
        charge_to as ChargePeriodEnd,
        charge_category as ChargeCategory,
        frequency as ChargeFrequency,
        what as ChargeDescription,
        billed::decimal(38, 24) as BilledCost,
        effective::decimal(38, 24) as EffectiveCost,
        case charge_category when 'Purchase' then billed else effective end::decimal(38, 24) as ListCost,
        ListCost as ContractedCost,
        quantity::decimal(38, 18) as ConsumedQuantity,
        unit as ConsumedUnit,
        quantity::decimal(38, 18) as PricingQuantity,
        unit as PricingUnit,
        case kind when 'storage' then 'Storage' when 'network' then 'Networking' else 'Compute' end as ServiceCategory,
        service as ServiceName,
        asset_id as ResourceId,
        description as ResourceName,
        kind as ResourceType,
        cluster as x_cluster,
        gpu_model as x_gpu_model,
        hours_of_gpus as x_gpu_hours,
        x_load_id,
        x_source_row
    from lines
)
select * from final

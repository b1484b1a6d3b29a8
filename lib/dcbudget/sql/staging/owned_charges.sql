-- grain: one owned batch, month and kind of cost, as a FOCUS charge; money in the fleet ledger's currency
-- key: ResourceId, ChargePeriodStart, ServiceName, ChargeCategory
-- source: fleet; straight-line depreciation from the month of service on, in cents whose sum over the life is exact;
-- power = kW x hours in service x PUE x tariff, less heat sold; nothing later than the last month of bills or jobs
with horizon as (
    select date_trunc('month', coalesce(
        (select max(BillingPeriodStart) from landed.imported),
        (select max(coalesce(end_time, start_time, submit_time)) from jobs)
    )) as last_month
),
months as (
    select
        fleet.*,
        month.m::timestamp as month_start,
        month.m::timestamp + interval 1 month as month_end,
        datediff('month', date_trunc('month', in_service_date), month.m) as age_months
    from fleet, horizon,
        unnest(generate_series(
            date_trunc('month', in_service_date)::timestamp,
            least(last_month, coalesce(retire_date - interval 1 day, last_month))::timestamp,
            interval 1 month
        )) as month (m)
    where last_month is not null
),
in_service as (
    select
        *,
        greatest(month_start, in_service_date::timestamp) as from_time,
        least(month_end, coalesce(retire_date::timestamp, month_end)) as to_time,
        epoch(to_time - from_time) / 3600 as hours,
        ((purchase_price - coalesce(residual_value, 0)) * units)::decimal(18, 2) as depreciable,
        coalesce(measured_kw, nameplate_kw * coalesce(power_fraction, 1), 0) * units as kw,
        (units * coalesce(gpus_per_unit, 0) * hours)::double as gpu_hours,
        -- a decimal, because one double would make doubles of all amounts below
        round(kw * hours * (coalesce(pue, 1) * coalesce(tariff_per_kwh, 0) - coalesce(heat_credit_per_kwh, 0)), 2)
            ::decimal(18, 2) as power
    from months
),
lines as (
    select
        *, 'Owned hardware' as service, 'Usage' as charge_category, gpu_hours as hours_of_gpus, 'Months' as unit,
        1.0 as quantity, 0::decimal(38, 24) as billed,
        case when age_months < life_months then
            round((depreciable * (age_months + 1))::double / life_months, 2)::decimal(18, 2)
            - round((depreciable * age_months)::double / life_months, 2)::decimal(18, 2)
        else 0 end::decimal(38, 24) as effective,
        from_time as charge_from, to_time as charge_to
    from in_service
    union all
    select
        *, 'Power', 'Usage', null, 'kWh', kw * hours * coalesce(pue, 1),
        power, power, from_time, to_time
    from in_service
    where kw > 0
    union all
    select
        *, 'Facility and staff', 'Usage', null, 'Months', 1.0,
        (coalesce(staff_cost_per_month, 0) + coalesce(space_cost_per_month, 0)) * units,
        (coalesce(staff_cost_per_month, 0) + coalesce(space_cost_per_month, 0)) * units,
        from_time, to_time
    from in_service
    where coalesce(staff_cost_per_month, 0) + coalesce(space_cost_per_month, 0) > 0
    union all
    select
        *, 'Owned hardware', 'Purchase', null, 'Units', units, (purchase_price * units)::decimal(38, 24), 0,
        coalesce(purchase_date, in_service_date)::timestamp,
        coalesce(purchase_date, in_service_date)::timestamp + interval 1 day
    from in_service
    where age_months = 0
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
        'Recurring' as ChargeFrequency,
        description as ChargeDescription,
        billed::decimal(38, 24) as BilledCost,
        effective::decimal(38, 24) as EffectiveCost,
        greatest(billed, effective)::decimal(38, 24) as ListCost,
        greatest(billed, effective)::decimal(38, 24) as ContractedCost,
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

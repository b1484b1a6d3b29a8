-- grain: one row a month of service, five years past the last bill included, cluster, kind of unit, GPU model and currency
-- key: month, cluster, kind, gpu_model, currency
-- source: fleet as it stands in the ledger; depreciation and upkeep [money] as in owned_charges, without purchases and
-- write-offs; kwh at the units, as measured or by nameplate, before readings, PUE and prices
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
        datediff('month', date_trunc('month', in_service_date), month.m) as age_months,
        epoch(least(month.m + interval 1 month, coalesce(retire_date::timestamp, month.m + interval 1 month))
            - greatest(month.m, in_service_date::timestamp)) / 3600 as hours,
        epoch(month.m + interval 1 month - month.m) / 3600 as hours_of_month
    from batches, horizon,
        unnest(generate_series(
            date_trunc('month', in_service_date)::timestamp,
            least(last_month + interval 60 month,
                coalesce((retire_date - interval 1 day)::timestamp, last_month + interval 60 month)),
            interval 1 month
        )) as month (m)
),
final as (
    select
        month_start::date as month,
        cluster, kind, gpu_model, currency,
        sum(units * coalesce(gpus_per_unit, 0) * hours)::double as gpu_hours,
        sum(coalesce(measured_kw, nameplate_kw * coalesce(power_fraction, 1)) * units * hours)::double as kwh,
        sum(depreciated(cost, residual, rate, switch, life_months, age_months + 1)
            - depreciated(cost, residual, rate, switch, life_months, age_months)) as depreciation,
        sum((coalesce(staff_cost_per_month, 0) + coalesce(space_cost_per_month, 0)) * units * hours / hours_of_month)
            as upkeep
    from months
    group by all
)
select * from final

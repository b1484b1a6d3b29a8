-- grain: one row a month, attempt of a training run and currency; money in `currency`, effective basis
-- key: month, run_id, attempt, currency
-- source: run_attempts, gpu_ledger_monthly, job_days. GPU-hours are those that the attempt's job held in the month, at
-- what its pool cost an hour of capacity in that month (of what jobs held, where they held more), as in the GPU ledger:
-- unused commitments are no run's. currency and cost are null where the pool has no bill
with paid as (
    select month, cluster, gpu_model, currency, sum(effective_cost) as effective_cost, sum(gpu_hours) as gpu_hours
    from gpu_ledger_monthly
    where bucket <> 'reserved but unused' and cluster is not null
    group by all
),
held as (
    select date_trunc('month', day)::date as month, cluster, gpu_model, sum(gpu_hours) as gpu_hours
    from job_days
    group by all
),
prices as (
    select
        paid.month, paid.cluster, paid.gpu_model, currency,
        effective_cost::double / nullif(greatest(sum(paid.gpu_hours) over pool, coalesce(held.gpu_hours, 0)), 0)
            as effective_cost_per_gpu_hour
    from paid
    left join held
        on held.month = paid.month and held.cluster = paid.cluster
        and held.gpu_model is not distinct from paid.gpu_model
    window pool as (partition by paid.month, paid.cluster, paid.gpu_model)
),
starts as (
    select *, unnest(generate_series(date_trunc('month', start_time)::timestamp,
        greatest(end_time - interval 1 microsecond, start_time), interval 1 month)) as month_start
    from run_attempts
    where start_time is not null and end_time is not null
),
months as (
    select
        month_start::date as month, run_id, attempt, project, cluster, gpu_model, has_job,
        gpus * epoch(least(end_time, month_start + interval 1 month) - greatest(start_time, month_start)) / 3600
            as gpu_hours
    from starts
),
final as (
    select
        months.month, run_id, attempt, project, months.cluster, months.gpu_model, currency, gpu_hours,
        gpu_hours * effective_cost_per_gpu_hour as effective_cost
    from months
    left join prices
        on has_job and prices.month = months.month and prices.cluster = months.cluster
        and prices.gpu_model is not distinct from months.gpu_model
)
select * from final

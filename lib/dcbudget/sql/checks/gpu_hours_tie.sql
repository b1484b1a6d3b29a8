-- The GPU-hours of all days sum to those of the jobs, to a second.
with ledger as (select coalesce(sum(gpu_hours), 0) as hours from job_days),
log as (
    select coalesce(sum(gpus * epoch(coalesce(end_time, start_time
        + to_microseconds((elapsed_seconds * 1000000)::bigint)) - start_time) / 3600), 0) as hours
    from jobs where start_time is not null
)
select ledger.hours as ledger_hours, log.hours as log_hours from ledger, log
where abs(ledger.hours - log.hours) > 1 / 3600.0 + 1e-12 * log.hours

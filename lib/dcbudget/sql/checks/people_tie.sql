-- GPU-hours and money of a project's user groups sum to the ledger's, by month, project and bucket.
with shown as (
    select month, nullif(nullif(project, 'Idle capacity'), 'Unallocated') as project, bucket, currency,
        sum(gpu_hours) as gpu_hours, sum(effective_cost) as effective
    from people_monthly
    group by all
),
ledger as (
    select month, nullif(nullif(project, 'Idle capacity'), 'Unallocated') as project, bucket, currency,
        sum(gpu_hours) as gpu_hours, sum(effective_cost) as effective
    from gpu_ledger_monthly
    group by all
)
select ledger.*, shown.gpu_hours as shown_gpu_hours, shown.effective as shown_effective
from ledger
full join shown
    on shown.month = ledger.month and shown.project is not distinct from ledger.project
    and shown.bucket = ledger.bucket and shown.currency = ledger.currency
where coalesce(shown.gpu_hours, 0) <> coalesce(ledger.gpu_hours, 0)
    or coalesce(shown.effective, 0) <> coalesce(ledger.effective, 0)

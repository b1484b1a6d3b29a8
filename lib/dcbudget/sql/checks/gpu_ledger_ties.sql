-- Useful, failed, idle, unused, unallocated, down and unmatched sum to the billed GPU-hours and their money, by pool.
with ledger as (
    select month, cluster, gpu_model, currency, sum(gpu_hours) as gpu_hours, sum(effective_cost) as effective,
        sum(billed_cost) as billed
    from gpu_ledger_monthly
    group by all
),
bill as (
    select month, cluster, gpu_model, currency, sum(coalesce(gpu_hours, 0)) as gpu_hours, sum(effective_cost) as effective,
        sum(billed_cost) as billed
    from cost_lines
    where gpu_model is not null or gpu_hours <> 0
    group by all
)
select bill.*, ledger.gpu_hours as ledger_gpu_hours, ledger.effective as ledger_effective, ledger.billed as ledger_billed
from bill
full join ledger
    on ledger.month = bill.month and ledger.currency = bill.currency
    and ledger.cluster is not distinct from bill.cluster and ledger.gpu_model is not distinct from bill.gpu_model
where abs(coalesce(bill.gpu_hours, 0) - coalesce(ledger.gpu_hours, 0)::double) > 0.001
    or coalesce(bill.effective, 0) <> coalesce(ledger.effective, 0)
    or coalesce(bill.billed, 0) <> coalesce(ledger.billed, 0)

-- grain: one row a month, project, category and currency; money in `currency`, effective and billed basis
-- key: month, project, category, currency
-- source: gpu_ledger_monthly, cost_lines, job_days. A project bears its own charges, and of each shared pool the share
-- of the pool's capacity that its jobs held; what nobody held is 'Idle capacity', what no rule or job log knows is
-- 'Unallocated'. Lines of a cluster without a GPU model (storage, switches) go by the hours of the whole cluster.
-- Shares are cut to whole cents cumulatively and the idle line takes the rest, so that a month's rows sum to its bill.
with held as (
    select date_trunc('month', day)::date as month, cluster, coalesce(project, 'Unallocated') as project,
        sum(gpu_hours) as gpu_hours
    from job_days
    where gpu_model is not null
    group by all
),
capacity as (
    select month, cluster, sum(gpu_hours) as gpu_hours
    from cost_lines
    where cluster is not null and gpu_hours is not null
    group by all
),
common as (
    select month, cluster, category, currency, sum(effective_cost) as effective_cost, sum(billed_cost) as billed_cost
    from cost_lines
    where shared and gpu_model is null and coalesce(gpu_hours, 0) = 0
    group by all
),
shares as (
    select
        common.*, held.project,
        sum(held.gpu_hours) over upto / greatest(capacity.gpu_hours, sum(held.gpu_hours) over whole) as share_upto,
        held.gpu_hours / greatest(capacity.gpu_hours, sum(held.gpu_hours) over whole) as share
    from common
    join capacity on capacity.month = common.month and capacity.cluster = common.cluster
    join held on held.month = common.month and held.cluster = common.cluster
    where capacity.gpu_hours > 0
    window
        upto as (partition by common.month, common.cluster, common.category, common.currency order by held.project),
        whole as (partition by common.month, common.cluster, common.category, common.currency)
),
allocated as (
    select
        month, cluster, category, currency, project,
        (round(effective_cost::double * share_upto, 2)::decimal(18, 2)
            - round(effective_cost::double * (share_upto - share), 2)::decimal(18, 2))::decimal(38, 24) as effective_cost,
        (round(billed_cost::double * share_upto, 2)::decimal(18, 2)
            - round(billed_cost::double * (share_upto - share), 2)::decimal(18, 2))::decimal(38, 24) as billed_cost
    from shares
),
idle as (
    select
        common.month, 'Idle capacity' as project, common.category, common.currency,
        common.effective_cost - coalesce(sum(allocated.effective_cost), 0) as effective_cost,
        common.billed_cost - coalesce(sum(allocated.billed_cost), 0) as billed_cost
    from common
    left join allocated using (month, cluster, category, currency)
    group by common.month, common.cluster, common.category, common.currency, common.effective_cost, common.billed_cost
),
gpus as (
    select
        month,
        case
            when project is not null then project
            when bucket in ('down', 'unallocated', 'reserved but unused') and cluster is not null then 'Idle capacity'
            else 'Unallocated'
        end as project,
        category, currency, effective_cost, billed_cost
    from gpu_ledger_monthly
),
direct as (
    select month, coalesce(project, 'Unallocated') as project, category, currency, effective_cost, billed_cost
    from cost_lines
    where not shared and gpu_model is null and coalesce(gpu_hours, 0) = 0
),
final as (
    select month, project, category, currency,
        sum(effective_cost) as effective_cost, sum(billed_cost) as billed_cost
    from (
        select month, project, category, currency, effective_cost, billed_cost from direct
        union all
        select month, project, category, currency, effective_cost, billed_cost from gpus
        union all
        select month, project, category, currency, effective_cost, billed_cost from allocated
        union all
        select month, project, category, currency, effective_cost, billed_cost from idle
    )
    group by all
)
select * from final

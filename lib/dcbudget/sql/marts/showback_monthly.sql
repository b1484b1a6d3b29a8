-- grain: one row a month, project, category and currency; money in `currency`, effective and billed basis
-- key: month, project, category, currency
-- source: cost_lines, job_days. A project bears its own charges, and of each shared pool (cluster and GPU model) the
-- share of the pool's capacity that its jobs held; what nobody held is 'Idle capacity', what no rule knows is
-- 'Unallocated'. Shares are cut to whole cents cumulatively and the idle line takes the rest, so that a month's rows
-- sum to its bill exactly.
with hours as (
    select date_trunc('month', day)::date as month, cluster, gpu_model, coalesce(project, 'Unallocated') as project,
        sum(gpu_hours) as gpu_hours
    from job_days
    group by all
),
capacity as (
    select month, cluster, gpu_model, sum(gpu_hours) as gpu_hours
    from cost_lines
    where shared and gpu_hours is not null
    group by all
),
-- a line without a GPU model (storage, switches) goes by the hours of its whole cluster
held as (
    select month, cluster, gpu_model, project, gpu_hours from hours
    union all
    select month, cluster, null, project, sum(gpu_hours) from hours where gpu_model is not null group by all
),
available as (
    select month, cluster, gpu_model, gpu_hours from capacity where gpu_model is not null
    union all
    select month, cluster, null, sum(gpu_hours) from capacity group by all
),
pools as (
    select month, cluster, gpu_model, category, currency,
        sum(effective_cost) as effective_cost, sum(billed_cost) as billed_cost
    from cost_lines
    where shared
    group by all
),
shares as (
    select
        pools.*, held.project,
        sum(held.gpu_hours) over upto / greatest(available.gpu_hours, sum(held.gpu_hours) over whole) as share_upto,
        held.gpu_hours / greatest(available.gpu_hours, sum(held.gpu_hours) over whole) as share
    from pools
    join available
        on available.month = pools.month and available.cluster = pools.cluster
        and available.gpu_model is not distinct from pools.gpu_model
    join held
        on held.month = pools.month and held.cluster = pools.cluster
        and held.gpu_model is not distinct from pools.gpu_model
    where available.gpu_hours > 0
    window
        upto as (partition by pools.month, pools.cluster, pools.gpu_model, pools.category, pools.currency
            order by held.project),
        whole as (partition by pools.month, pools.cluster, pools.gpu_model, pools.category, pools.currency)
),
allocated as (
    select
        month, cluster, gpu_model, category, currency, project,
        (round(effective_cost::double * share_upto, 2)::decimal(18, 2)
            - round(effective_cost::double * (share_upto - share), 2)::decimal(18, 2))::decimal(38, 24) as effective_cost,
        (round(billed_cost::double * share_upto, 2)::decimal(18, 2)
            - round(billed_cost::double * (share_upto - share), 2)::decimal(18, 2))::decimal(38, 24) as billed_cost
    from shares
),
idle as (
    select
        pools.month, pools.category, pools.currency, 'Idle capacity' as project,
        pools.effective_cost - coalesce(sum(allocated.effective_cost), 0) as effective_cost,
        pools.billed_cost - coalesce(sum(allocated.billed_cost), 0) as billed_cost
    from pools
    left join allocated
        on allocated.month = pools.month and allocated.cluster = pools.cluster
        and allocated.gpu_model is not distinct from pools.gpu_model
        and allocated.category = pools.category and allocated.currency = pools.currency
    group by pools.month, pools.cluster, pools.gpu_model, pools.category, pools.currency, pools.effective_cost,
        pools.billed_cost
),
direct as (
    select month, category, currency, coalesce(project, 'Unallocated') as project, effective_cost, billed_cost
    from cost_lines
    where not shared
),
final as (
    select month, project, category, currency,
        sum(effective_cost) as effective_cost, sum(billed_cost) as billed_cost
    from (
        select month, project, category, currency, effective_cost, billed_cost from direct
        union all
        select month, project, category, currency, effective_cost, billed_cost from allocated
        union all
        select month, project, category, currency, effective_cost, billed_cost from idle
    )
    group by all
)
select * from final

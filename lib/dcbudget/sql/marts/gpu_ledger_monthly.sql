-- grain: one row a month, pool (cluster and GPU model), category, currency, bucket and project; effective and billed basis
-- key: month, cluster, gpu_model, category, currency, bucket, project
-- source: cost_lines (what was billed or owned), job_days (what held it), downtime. Every GPU-hour that was paid for is
-- in one bucket: useful, failed or restarted, held but idle (the three that jobs held, with their project), down,
-- unallocated, reserved but unused, or unmatched where no job log tells of it. Unused commitments keep their own cost;
-- all else of a pool is at its average cost. Shares are cut to cents and millionths of an hour cumulatively and the
-- bucket that jobs did not hold takes the rest, so that the buckets sum to capacity and bill exactly.
with lines as (
    select
        month, cluster, gpu_model, category, currency, project as owner,
        coalesce(commitment_status = 'Unused', false) as unused,
        sum(coalesce(gpu_hours, 0))::decimal(24, 6) as gpu_hours,
        sum(effective_cost) as effective_cost,
        sum(billed_cost) as billed_cost
    from cost_lines
    where gpu_model is not null or gpu_hours <> 0
    group by all
),
pools as (
    select month, cluster, gpu_model, sum(gpu_hours)::double as gpu_hours
    from lines
    where cluster is not null and not unused
    group by all
),
job_months as (
    select date_trunc('month', day)::date as month, cluster, gpu_model, project, bucket, sum(gpu_hours) as gpu_hours
    from job_days
    group by all
),
logged as (select distinct month, cluster from job_months),
held as (
    select pools.month, pools.cluster, pools.gpu_model, bucket, project, job_months.gpu_hours
    from pools
    join job_months
        on job_months.month = pools.month and job_months.cluster = pools.cluster
        and job_months.gpu_model is not distinct from pools.gpu_model
),
-- what is down cannot be held: where jobs ran all the same, they count
down as (
    select pools.month, pools.cluster, pools.gpu_model, pools.gpu_hours,
        sum(gpus * greatest(epoch(
            least(end_time, pools.month::timestamp + interval 1 month) - greatest(start_time, pools.month::timestamp)
        ), 0) / 3600) as down_hours
    from pools
    join downtime on downtime.cluster = pools.cluster and coalesce(downtime.gpu_model, pools.gpu_model) = pools.gpu_model
    group by all
),
parts as (
    select * from held
    union all
    select month, cluster, gpu_model, 'down', null::varchar,
        least(down_hours, greatest(down.gpu_hours - coalesce(held_hours, 0), 0))
    from down
    left join (select month, cluster, gpu_model, sum(gpu_hours) as held_hours from held group by all) of_jobs
        using (month, cluster, gpu_model)
),
shares as (
    select
        parts.month, parts.cluster, parts.gpu_model, bucket, project,
        parts.gpu_hours / greatest(pools.gpu_hours, sum(parts.gpu_hours) over pool) as share,
        sum(parts.gpu_hours) over (pool order by bucket, project) / greatest(pools.gpu_hours, sum(parts.gpu_hours) over pool)
            as share_upto
    from parts
    join pools
        on pools.month = parts.month and pools.cluster = parts.cluster
        and pools.gpu_model is not distinct from parts.gpu_model
    where pools.gpu_hours > 0 and parts.gpu_hours > 0
    window pool as (partition by parts.month, parts.cluster, parts.gpu_model)
),
allocated as (
    select
        lines.month, lines.cluster, lines.gpu_model, category, currency, owner, bucket, project,
        (round(gpu_hours::double * share_upto, 6)::decimal(24, 6)
            - round(gpu_hours::double * (share_upto - share), 6)::decimal(24, 6)) as gpu_hours,
        (round(effective_cost::double * share_upto, 2)::decimal(18, 2)
            - round(effective_cost::double * (share_upto - share), 2)::decimal(18, 2))::decimal(38, 24) as effective_cost,
        (round(billed_cost::double * share_upto, 2)::decimal(18, 2)
            - round(billed_cost::double * (share_upto - share), 2)::decimal(18, 2))::decimal(38, 24) as billed_cost
    from lines
    join shares
        on shares.month = lines.month and shares.cluster = lines.cluster
        and shares.gpu_model is not distinct from lines.gpu_model
    where not unused
),
rest as (
    select
        lines.month, lines.cluster, lines.gpu_model, lines.category, lines.currency, lines.owner,
        case
            when lines.unused then 'reserved but unused'
            when logged.cluster is null or coalesce(pools.gpu_hours, 0) = 0 then 'unmatched'
            else 'unallocated'
        end as bucket,
        null::varchar as project,
        lines.gpu_hours - coalesce(sum(allocated.gpu_hours), 0) as gpu_hours,
        lines.effective_cost - coalesce(sum(allocated.effective_cost), 0) as effective_cost,
        lines.billed_cost - coalesce(sum(allocated.billed_cost), 0) as billed_cost
    from lines
    left join logged on logged.month = lines.month and logged.cluster = lines.cluster
    left join pools
        on pools.month = lines.month and pools.cluster = lines.cluster
        and pools.gpu_model is not distinct from lines.gpu_model
    left join allocated
        on not lines.unused
        and allocated.month = lines.month and allocated.cluster = lines.cluster
        and allocated.gpu_model is not distinct from lines.gpu_model
        and allocated.category = lines.category and allocated.currency = lines.currency
        and allocated.owner is not distinct from lines.owner
    group by lines.month, lines.cluster, lines.gpu_model, lines.category, lines.currency, lines.owner, lines.unused,
        lines.gpu_hours, lines.effective_cost, lines.billed_cost, logged.cluster, pools.gpu_hours
),
final as (
    select
        month, cluster, gpu_model, category, currency, bucket,
        -- a charge of a project's own stays its own, whoever's jobs ran there
        coalesce(owner, project) as project,
        sum(gpu_hours) as gpu_hours, sum(effective_cost) as effective_cost, sum(billed_cost) as billed_cost
    from (
        select month, cluster, gpu_model, category, currency, owner, bucket, project, gpu_hours, effective_cost, billed_cost
        from allocated
        where gpu_hours <> 0 or effective_cost <> 0 or billed_cost <> 0
        union all
        select month, cluster, gpu_model, category, currency, owner, bucket, project, gpu_hours, effective_cost, billed_cost
        from rest
    )
    group by all
)
select * from final

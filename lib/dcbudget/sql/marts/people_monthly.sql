-- grain: one row a month, project, user group, bucket and currency; GPU-hours, and their money on the effective basis
-- key: month, project, user_group, bucket, currency
-- source: gpu_ledger_monthly, job_days. A user group is the account that jobs run under (a Slurm account, a namespace).
-- What a project's jobs held goes to its groups by the GPU-hours that they held in the pool and bucket; what no job log
-- tells of, or a project pays for and another's jobs held, has no group. Idle capacity and Unallocated are as in
-- showback_monthly. Hours are cut to millionths and money to cents
-- cumulatively, so that the rows of a project and month sum to the ledger's exactly.
with held as (
    select
        date_trunc('month', day)::date as month, cluster, gpu_model, project, bucket, account as user_group,
        sum(gpu_hours) as gpu_hours
    from job_days
    group by all
    having sum(gpu_hours) > 0
),
shares as (
    select
        *,
        gpu_hours / sum(gpu_hours) over whole as share,
        case when row_number() over upto = count(*) over whole then 1
            else sum(gpu_hours) over upto / sum(gpu_hours) over whole end as share_upto,
        row_number() over upto = 1 as first_of_all
    from held
    window
        upto as (partition by month, cluster, gpu_model, project, bucket order by user_group
            rows between unbounded preceding and current row),
        whole as (partition by month, cluster, gpu_model, project, bucket)
),
bounds as (
    select * exclude (share, gpu_hours), case when first_of_all then 0 else share_upto - share end as share_from
    from shares
),
lines as (
    select month, cluster, gpu_model, project, bucket, currency,
        case
            when project is not null then project
            when bucket in ('down', 'unallocated', 'reserved but unused') and cluster is not null then 'Idle capacity'
            else 'Unallocated'
        end as shown_as,
        sum(gpu_hours) as gpu_hours, sum(effective_cost) as effective_cost
    from gpu_ledger_monthly
    group by all
),
parts as (
    select
        lines.month, shown_as as project, user_group, lines.bucket, lines.currency,
        case when share_upto is null then gpu_hours
            else (round(gpu_hours::double * share_upto, 6) - round(gpu_hours::double * share_from, 6))::decimal(24, 6)
        end as gpu_hours,
        case when share_upto is null then effective_cost
            else (round(effective_cost::double * share_upto, 2)
                - round(effective_cost::double * share_from, 2))::decimal(18, 2)::decimal(38, 24)
        end as effective_cost
    from lines
    left join bounds
        on bounds.month = lines.month and bounds.cluster is not distinct from lines.cluster
        and bounds.gpu_model is not distinct from lines.gpu_model and bounds.project is not distinct from lines.project
        and bounds.bucket = lines.bucket
),
final as (
    select month, project, user_group, bucket, currency,
        sum(gpu_hours) as gpu_hours, sum(effective_cost) as effective_cost
    from parts
    group by all
)
select * from final

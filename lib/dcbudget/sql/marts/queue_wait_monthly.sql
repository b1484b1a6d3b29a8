-- grain: one row a month of submission, cluster and partition; seconds from submit to start of GPU jobs that started
-- key: month, cluster, partition
-- source: jobs
select
    date_trunc('month', submit_time)::date as month,
    cluster,
    partition,
    count(*) as jobs,
    avg(epoch(start_time - submit_time)) as wait_mean_seconds,
    quantile_cont(epoch(start_time - submit_time), 0.5) as wait_p50_seconds,
    quantile_cont(epoch(start_time - submit_time), 0.95) as wait_p95_seconds
from jobs
where start_time is not null and gpus > 0
group by all

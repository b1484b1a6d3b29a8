-- grain: one row a month of submission, cluster, partition, GPU model, project and end state
-- key: month, cluster, partition, gpu_model, project, state
-- source: jobs; wait = start - submit of jobs that started
select
    date_trunc('month', submit_time)::date as month,
    cluster,
    partition,
    gpu_model,
    coalesce(project, 'Unallocated') as project,
    state,
    count(*) as jobs,
    sum(gpus * elapsed_seconds / 3600) as gpu_hours,
    quantile_cont(epoch(start_time - submit_time), 0.5) as wait_p50_seconds,
    quantile_cont(epoch(start_time - submit_time), 0.95) as wait_p95_seconds
from jobs
group by all

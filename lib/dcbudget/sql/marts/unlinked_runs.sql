-- grain: one row a training run whose job is not known, so that its GPU-hours and money are not either
-- key: run_id
-- source: runs; job_id is what the log tells. Runs of `dcbudget measure` (measure-*) need no job
select run_id, job_link, job_id, cluster, host, project, model, start_time, end_time
from runs
where job_link in ('none', 'ambiguous') and not starts_with(run_id, 'measure-')

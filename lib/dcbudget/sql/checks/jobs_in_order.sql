-- No job ends before it starts, and none is a step.
select cluster, job_id, start_time, end_time from jobs where end_time < start_time or contains(job_id, '.')

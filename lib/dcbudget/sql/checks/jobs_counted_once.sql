-- No job is there twice.
select cluster, job_id, submit_time, count(*) as copies from jobs group by all having count(*) > 1

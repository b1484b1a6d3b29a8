-- grain: one row a training run, with its job, status and final metrics
-- key: run_id
-- source: run_metrics, jobs
with last_values as (
    select
        run_id,
        max(job_id) as job_id,
        max(project) as project,
        max(model) as model,
        min(time) as first_time,
        max(time) as last_time,
        max(step) as last_step,
        arg_max(value, step) filter (metric = 'loss') as final_loss,
        arg_max(value, step) filter (metric = 'accuracy') as final_accuracy,
        arg_max(value, step) filter (metric = 'f1') as final_f1,
        avg(value) filter (metric = 'mfu') as mean_mfu,
        avg(value) filter (metric = 'tokens_per_second') as mean_tokens_per_second
    from run_metrics
    group by run_id
),
job_states as (
    select job_id, arg_max(state, submit_time) as state, sum(gpus * elapsed_seconds / 3600) as gpu_hours
    from jobs
    group by job_id
),
final as (
    select
        last_values.*,
        job_states.state as status,
        job_states.gpu_hours
    from last_values
    left join job_states using (job_id)
)
select * from final

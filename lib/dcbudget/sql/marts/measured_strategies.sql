-- grain: one row a run of the latest `dcbudget measure`, which trains one model in several ways to one accuracy
-- key: run_id
-- source: run_metrics of runs named measure-*. seconds are of training, without tests; seconds_to_target and
-- epochs_to_target are null where the run never reached its target. A process is a server: server_hours are those that
-- the run's processes trained, up to the target or to the run's end. batch_size is that of a process, before
-- accumulation; a larger batch is one above the smallest that one process trained with; steps are seconds of a step.
-- energy_kwh is that of the processors or GPUs, null where it was not measured
with logged as (
    select *, regexp_extract(run_id, '^measure-(\d{8}T\d{6})-', 1) as measurement
    from run_metrics
    where starts_with(run_id, 'measure-')
),
latest as (select * from logged where measurement = (select max(measurement) from logged)),
settings as (
    select
        run_id,
        max(model) as model,
        max(case when metric = 'processes' then value end)::integer as processes,
        max(case when metric = 'batch_size' then value end)::integer as batch_size,
        max(case when metric = 'accumulation' then value end)::integer as accumulation,
        max(case when metric = 'seed' then value end)::integer as seed,
        max(case when metric = 'target_accuracy' then value end) as target_accuracy
    from latest
    group by run_id
),
epochs as (
    select
        run_id,
        step,
        max(case when metric = 'epoch' then value end)::integer as epoch,
        max(case when metric = 'elapsed_seconds' then value end) as seconds,
        max(case when metric = 'accuracy' then value end) as accuracy,
        max(case when metric = 'f1' then value end) as f1,
        max(case when metric = 'step_time' then value end) as step_seconds,
        max(case when metric = 'step_time_p95' then value end) as p95_step_seconds,
        max(case when metric = 'energy_kwh' then value end) as energy_kwh
    from latest
    group by run_id, step
),
one_process as (
    select model, min(batch_size) as batch_size
    from settings
    where processes = 1 and accumulation = 1
    group by model
),
trained as (
    select
        run_id,
        target_accuracy,
        coalesce(bool_or(accuracy >= target_accuracy), false) as reached,
        min(seconds) filter (accuracy >= target_accuracy) as seconds_to_target,
        min(epoch) filter (accuracy >= target_accuracy) as epochs_to_target,
        max(seconds) as seconds,
        max(step) as steps,
        arg_max(accuracy, step) as final_accuracy,
        arg_max(f1, step) as final_f1,
        -- every epoch has as many steps
        avg(step_seconds) as mean_step_seconds,
        arg_max(p95_step_seconds, step) as p95_step_seconds,
        max(energy_kwh) as energy_kwh
    from epochs
    join settings using (run_id)
    group by run_id, target_accuracy
),
final as (
    select
        run_id,
        model,
        case
            when processes > 1 then 'data parallel'
            when accumulation > 1 then 'larger batch (accumulation)'
            when settings.batch_size > one_process.batch_size then 'larger batch'
            else 'one process'
        end as strategy,
        processes,
        settings.batch_size,
        accumulation,
        seed,
        trained.target_accuracy,
        reached,
        seconds_to_target,
        epochs_to_target,
        coalesce(seconds_to_target, seconds) * processes / 3600 as server_hours,
        final_accuracy,
        final_f1,
        mean_step_seconds,
        p95_step_seconds,
        steps * processes * settings.batch_size * accumulation / nullif(seconds, 0) as samples_per_second,
        energy_kwh
    from settings
    join trained using (run_id)
    left join one_process using (model)
)
select * from final

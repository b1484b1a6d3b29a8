-- grain: one row a training run and quantity that tells where its time goes
-- key: run_id, quantity
-- source: run_metrics, under the names that trainers give their metrics: seconds of a step and of its parts, shares of
-- GPUs and memory in use, bytes through disk and network. A share that goes beyond 1 is logged in per cent. Of a
-- counter that only grows, mean is its growth a second and the rest is null
-- source of names: mlflow.org/docs/latest/ml/tracking/system-metrics, docs.wandb.ai/models/ref/python/experiments/system-metrics,
-- torchtitan/components/metrics.py, Megatron-LM's training log, timm's and MMEngine's data_time
with names as (
    select * from (values
        ('step_time', 'step_seconds', 'value', 1),
        ('step_time_p95', 'step_seconds_p95', 'value', 1),
        ('(.*[/_])?data(_?load(er|ing)?)?[_-](time|seconds|wait)(_s|_seconds)?|time_metrics/data_loading\(s\)', 'data_seconds', 'value', 1),
        ('time_metrics/data_loading\(%\)|data_share|data_wait_share', 'data_share', 'share', 1),
        ('(.*[/_])?(comm(unication)?|all_?reduce|nccl)[_-](time|seconds)', 'communication_seconds', 'value', 1),
        ('(.*[/_])?(save_)?(checkpoint|ckpt)(_save)?[_-](time|seconds)', 'checkpoint_seconds', 'value', 1),
        ('(.*[/_])?gpu_util(i[sz]ation)?(_percent(age)?|_pct)?|system/gpu_\d+_utilization_percentage|(system[./])?gpu\.\d+\.gpu', 'gpu_utilisation', 'share', 1),
        ('(.*[/_])?gpu_mem(ory)?_(share|util(i[sz]ation)?|percent(age)?|pct)|system/gpu_\d+_memory_usage_percentage|(system[./])?gpu\.\d+\.memoryallocated|memory/max_reserved\(%\)', 'gpu_memory_share', 'share', 1),
        ('(.*[/_])?disk_(read_)?(mb_per_second|mbps|mb/s|throughput(_mb)?)', 'disk_bytes_per_second', 'value', 1e6),
        ('(system[./])?disk(\.\d+)?\.in', 'disk_bytes_per_second', 'counter', 1e6),
        ('(.*[/_])?net(work)?_(mb_per_second|mbps|mb/s|throughput(_mb)?)', 'network_bytes_per_second', 'value', 1e6),
        ('system/network_receive_megabytes', 'network_bytes_per_second', 'counter', 1e6),
        ('(system[./])?network\.recv', 'network_bytes_per_second', 'counter', 1),
        ('(system/)?cpu_util(i[sz]ation)?(_percent(age)?)?', 'cpu_utilisation', 'share', 1)
    ) as told(pattern, quantity, kind, factor)
),
logged as (select distinct metric from run_metrics),
known as (
    select metric, quantity, kind, factor
    from logged
    join names on regexp_full_match(lower(metric), pattern)
),
of_metric as (
    select
        run_id,
        quantity,
        kind,
        count(*) as readings,
        case when kind = 'share' and max(value) > 1 then 0.01 else any_value(factor) end as factor,
        avg(value) as mean,
        quantile_cont(value, 0.5) as p50,
        quantile_cont(value, 0.95) as p95,
        max(value) as peak,
        (arg_max(value, time) - arg_min(value, time)) / nullif(epoch(max(time) - min(time)), 0) as growth
    from run_metrics
    join known using (metric)
    where isfinite(value) and (value >= 0 or kind <> 'share')
    group by run_id, quantity, kind, metric
),
final as (
    select
        run_id,
        quantity,
        sum(readings)::bigint as readings,
        -- several GPUs: mean over them; several disks or networks: their sum
        case
            when quantity like '%bytes%' then sum(factor * case when kind = 'counter' then growth else mean end)
            else sum(readings * factor * mean) / sum(readings)
        end as mean,
        avg(factor * p50) filter (kind <> 'counter') as p50,
        max(factor * p95) filter (kind <> 'counter') as p95,
        max(factor * peak) filter (kind <> 'counter') as peak
    from of_metric
    group by run_id, quantity
)
select * from final

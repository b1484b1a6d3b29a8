-- grain: one value of one metric at one step of a training run; NaN and Infinity are values: a loss that diverged
-- key: run_id, metric, step, time
-- cluster, job_id, host (its short name), gpus and status are what the log tells of the run, on any of its rows
create table run_metrics (
    run_id varchar not null,
    cluster varchar,
    job_id varchar,
    project varchar,
    model varchar,
    host varchar,
    gpus double,
    status varchar,
    step bigint,
    time timestamp,
    metric varchar not null,
    value double not null,
    x_load_id bigint,
    x_source_row bigint
)

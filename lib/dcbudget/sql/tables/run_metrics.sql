-- grain: one value of one metric at one step of a training run
-- key: run_id, metric, step, time
create table run_metrics (
    run_id varchar not null,
    job_id varchar,
    project varchar,
    model varchar,
    step bigint,
    time timestamp,
    metric varchar not null,
    value double not null,
    x_load_id bigint,
    x_source_row bigint
)

-- grain: one row a job, never a step; times UTC
-- key: cluster, job_id, submit_time
create table jobs (
    job_id varchar not null,
    job_name varchar,
    cluster varchar not null,
    partition varchar,
    qos varchar,
    account varchar,
    project varchar,
    user_id varchar,
    submit_time timestamp,
    start_time timestamp,
    end_time timestamp,
    elapsed_seconds double,
    requested_seconds double,
    state varchar,
    gpus double not null,
    gpu_model varchar,
    nodes double,
    cpus double,
    memory_gb double,
    gpu_utilisation double,
    energy_kwh double,
    x_load_id bigint,
    x_source_row bigint
)

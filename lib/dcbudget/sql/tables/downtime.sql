-- grain: one span in which some GPUs of a cluster could not run jobs; times UTC, half-open
-- key: cluster, gpu_model, host, start_time
create table downtime (
    cluster varchar not null,
    gpu_model varchar,
    host varchar,
    gpus double not null,
    start_time timestamp not null,
    end_time timestamp not null,
    reason varchar,
    x_load_id bigint,
    x_source_row bigint
)

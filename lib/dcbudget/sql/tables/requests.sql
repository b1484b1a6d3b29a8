-- grain: one request to a served model; two alike are two requests, no log numbers them
-- key: x_load_id, x_source_row
create table requests (
    time timestamp not null,
    project varchar,
    model varchar,
    input_tokens bigint,
    output_tokens bigint,
    latency_seconds double,
    x_load_id bigint,
    x_source_row bigint
)

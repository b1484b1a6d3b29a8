-- grain: one kind of card or chip; peak dense (no sparsity) TFLOP/s by precision; null where the vendor publishes none
-- key: name; gpu_model is the name in jobs and charges, `usual` holds for one kind of each
create table accelerators (
    name varchar not null,
    gpu_model varchar not null,
    usual boolean not null,
    kind varchar not null,
    vendor varchar not null,
    memory_gb double,
    memory_gb_per_second double,
    fp32_tflops double,
    tf32_tflops double,
    fp16_tflops double,
    bf16_tflops double,
    fp8_tflops double,
    tdp_watts double,
    slices integer,
    note varchar,
    source varchar not null,
    as_of varchar not null
)

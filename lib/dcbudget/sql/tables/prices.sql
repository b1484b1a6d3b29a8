-- grain: one unit price of one SKU from one date on
-- key: provider, region, sku, pricing_category, effective_from
create table prices (
    provider varchar not null,
    region varchar,
    sku varchar not null,
    gpu_model varchar,
    gpus double,
    pricing_category varchar,
    unit varchar not null,
    unit_price decimal(38, 24) not null,
    currency varchar not null,
    effective_from date not null,
    x_load_id bigint,
    x_source_row bigint
)

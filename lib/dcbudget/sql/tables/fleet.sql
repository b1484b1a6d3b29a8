-- grain: one batch of like owned units; prices, power and monthly costs are per unit
-- key: asset_id
create table fleet (
    asset_id varchar not null,
    kind varchar not null,
    cluster varchar,
    partition varchar,
    gpu_model varchar,
    gpus_per_unit bigint,
    units bigint not null,
    description varchar,
    purchase_date date,
    in_service_date date not null,
    retire_date date,
    life_months bigint not null,
    purchase_price decimal(38, 24) not null,
    residual_value decimal(38, 24),
    currency varchar not null,
    nameplate_kw double,
    power_fraction double,
    measured_kw double,
    pue double,
    tariff_per_kwh double,
    heat_credit_per_kwh double,
    staff_cost_per_month decimal(38, 24),
    space_cost_per_month decimal(38, 24),
    x_load_id bigint,
    x_source_row bigint
)

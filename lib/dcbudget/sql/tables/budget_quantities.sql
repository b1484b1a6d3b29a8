-- grain: GPU-hours that one plan version counts of a month, project, GPU model, way of paying and currency
-- key: plan_version, month, project, gpu_model, paid_as, currency
-- paid_as is owned or rented; amount is their part of the version's lines of these categories, useful_gpu_hours those that
-- are not expected to fail (for idle capacity: of the whole model). A version that tells amounts alone has none.
create table budget_quantities (
    plan_version varchar not null,
    month date not null,
    project varchar not null,
    gpu_model varchar not null,
    paid_as varchar not null,
    gpu_hours double not null,
    useful_gpu_hours double not null,
    amount decimal(38, 24) not null,
    currency varchar not null
)

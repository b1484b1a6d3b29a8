-- grain: one row a month, commitment and currency; effective basis
-- key: month, commitment, currency
-- source: cost_lines of commitment discounts; unused is what was paid for and nobody used
select
    month,
    commitment,
    any_value(gpu_model) as gpu_model,
    currency,
    sum(effective_cost) filter (commitment_status = 'Used') as used_effective_cost,
    sum(effective_cost) filter (commitment_status = 'Unused') as unused_effective_cost,
    sum(gpu_hours) filter (commitment_status = 'Used') as used_gpu_hours,
    sum(gpu_hours) filter (commitment_status = 'Unused') as unused_gpu_hours
from cost_lines
where commitment_status is not null
group by all

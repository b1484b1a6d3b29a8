-- grain: one row a month, project and model; requests by the time that the log gives them
-- key: month, project, model
-- source: requests
select
    date_trunc('month', time)::date as month,
    coalesce(project, 'Unallocated') as project,
    coalesce(model, 'Unknown') as model,
    count(*) as requests,
    sum(input_tokens) as input_tokens,
    sum(output_tokens) as output_tokens
from requests
group by all

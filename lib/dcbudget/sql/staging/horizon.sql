-- grain: one row, the last month of bills or, without one, of jobs; none where there is neither
-- key: last_month
-- source: load_scopes, jobs; the owned fleet is charged up to the end of this month
with final as (
    select date_trunc('month', coalesce(
        (select max(billing_period) from load_scopes),
        (select max(coalesce(end_time, start_time, submit_time)) from jobs)
    ))::timestamp as last_month
)
select * from final where last_month is not null

-- grain: one row a plan version, month, project, category and currency; money in `currency`, actual on the effective basis
-- key: plan_version, month, project, category, currency
-- source: budget_lines of every plan version, showback_monthly; variance = actual - budget, positive is over
with plans as (
    select distinct plan_version, date_trunc('year', min(month)) as first_year, min(month) as first_month,
        max(month) as last_month
    from budget_lines
    group by plan_version
),
budget as (
    select plan_version, month, project, category, currency, sum(amount) as budget
    from budget_lines
    group by all
),
actual as (
    select plans.plan_version, showback_monthly.*
    from plans
    join showback_monthly on showback_monthly.month between plans.first_month and plans.last_month
),
final as (
    select
        coalesce(budget.plan_version, actual.plan_version) as plan_version,
        coalesce(budget.month, actual.month) as month,
        coalesce(budget.project, actual.project) as project,
        coalesce(budget.category, actual.category) as category,
        coalesce(budget.currency, actual.currency) as currency,
        coalesce(budget, 0) as budget,
        coalesce(effective_cost, 0) as actual,
        coalesce(effective_cost, 0) - coalesce(budget, 0) as variance
    from budget
    full join actual
        on actual.plan_version = budget.plan_version and actual.month = budget.month
        and actual.project = budget.project and actual.category = budget.category
        and actual.currency = budget.currency
)
select * from final

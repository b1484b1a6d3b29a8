-- grain: one row a charge, imported or of the owned fleet; money in BillingCurrency, periods UTC and half-open
-- key: x_load_id, x_source_row (imported)
-- source: every published landing table, and owned_charges
select * from landed.imported
union all by name
select * from owned_charges

-- The tables that keep charges for quick reading hold what the bills and the fleet's ledger say now.
select 'owned_charges' as kept, * from (
    (from owned_charges except all from owned_charges_live)
    union all
    (from owned_charges_live except all from owned_charges)
)
